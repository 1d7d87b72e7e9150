"""A distribution as one line of text, and as a table in a notebook."""

from __future__ import annotations

import math

from decodekit.distribution.disclosure import Interval
from decodekit.distribution.fields import Fields
from decodekit.types import Floats, Ids

__all__ = ["as_line", "as_table"]


def as_line(dist: Fields, ids: Ids, logprobs: Floats) -> str:
    """Its shape and its most likely tokens with their probabilities."""
    shape = "dense" if dist.row.ids is None else "sparse" if dist.hidden is None else "head"
    leading = ", ".join(f"{i}: {math.exp(lp):.3g}" for i, lp in zip(ids, logprobs, strict=True))
    return f"Distribution({shape}, {_size(dist)}, {dist.stage}, {{{leading}, …}})"


def as_table(dist: Fields, ids: Ids, logprobs: Floats, entropy: Interval) -> str:
    """A static table of the most likely tokens in HTML: ids, probabilities, bars. No script, no texts."""
    lines = "".join(
        f'<tr><td style="text-align:right">{int(i)}</td><td style="text-align:right">{math.exp(lp):.4f}</td>'
        f'<td><div style="background:#4878d0;height:0.8em;width:{math.exp(lp) * 12:.2f}em"></div></td></tr>'
        for i, lp in zip(ids, logprobs, strict=True)
    )
    known = f"{entropy.low:.3f}" if entropy.low == entropy.high else f"{entropy.low:.3f} to {entropy.high:.3f}"
    return (
        f"<table><caption>{dist.stage}, {_size(dist)}, entropy {known} nats</caption>"
        f"<thead><tr><th>token</th><th>p</th><th></th></tr></thead><tbody>{lines}</tbody></table>"
    )


def _size(dist: Fields) -> str:
    return f"{len(dist.row)} of {dist.row.vocab_size}"
