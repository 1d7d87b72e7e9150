"""A distribution as one line of text, and as a table in a notebook."""

from __future__ import annotations

import math

from decodekit.distribution.disclosure import Interval
from decodekit.distribution.fields import Fields
from decodekit.html.bars import bar
from decodekit.html.markup import block, table
from decodekit.types import Floats, Ids

__all__ = ["as_line", "as_table"]


def as_line(dist: Fields, ids: Ids, logprobs: Floats) -> str:
    """Its shape and its most likely tokens with their probabilities."""
    shape = "dense" if dist.row.ids is None else "sparse" if dist.hidden is None else "head"
    leading = ", ".join(f"{i}: {math.exp(lp):.3g}" for i, lp in zip(ids, logprobs, strict=True))
    return f"Distribution({shape}, {_size(dist)}, {dist.stage}, {{{leading}, …}})"


def as_table(dist: Fields, ids: Ids, logprobs: Floats, entropy: Interval) -> str:
    """The most likely tokens as a table in HTML: ids, probabilities, bars. A distribution knows no texts."""
    shares = [math.exp(logprob) for logprob in logprobs]
    rows = [(str(int(i)), f"{share:.4f}", bar(share)) for i, share in zip(ids, shares, strict=True)]
    known = f"{entropy.low:.3f}" if entropy.low == entropy.high else f"{entropy.low:.3f} to {entropy.high:.3f}"
    caption = f"{dist.stage}, {_size(dist)}, entropy {known} nats"
    return block(table(caption, ["token", "p", ""], rows))


def _size(dist: Fields) -> str:
    return f"{len(dist.row)} of {dist.row.vocab_size}"
