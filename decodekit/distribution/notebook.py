"""A distribution in a line, and in a notebook."""

from __future__ import annotations

import math

from decodekit.distribution.disclosure import Interval
from decodekit.distribution.partly_hidden import PartlyHidden

__all__ = ["as_table", "in_a_line"]


def in_a_line(dist: PartlyHidden) -> str:
    """Its shape and its three leading tokens."""
    shape = "dense" if dist._ids is None else "sparse" if dist._hidden is None else "head"
    ids, logprobs = dist.leading(3)
    leaders = ", ".join(f"{i}: {math.exp(lp):.3g}" for i, lp in zip(ids, logprobs, strict=True))
    return f"Distribution({shape}, {len(dist._row)} of {dist.vocab_size}, {dist.stage}, {{{leaders}, …}})"


def as_table(dist: PartlyHidden, entropy: Interval) -> str:
    """A static table of the leading tokens in HTML: ids, probabilities, bars. No script, no texts."""
    ids, logprobs = dist.leading(10)
    rows = "".join(
        f'<tr><td style="text-align:right">{int(i)}</td><td style="text-align:right">{math.exp(lp):.4f}</td>'
        f'<td><div style="background:#4878d0;height:0.8em;width:{math.exp(lp) * 12:.2f}em"></div></td></tr>'
        for i, lp in zip(ids, logprobs, strict=True)
    )
    known = f"{entropy.low:.3f}" if entropy.low == entropy.high else f"{entropy.low:.3f} to {entropy.high:.3f}"
    return (
        f"<table><caption>{dist.stage}, {len(dist._row)} of {dist.vocab_size}, entropy {known} nats</caption>"
        f"<thead><tr><th>token</th><th>p</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
    )
