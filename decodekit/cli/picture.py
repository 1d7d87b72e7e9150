"""What a plugin does to a sample distribution, as bars: nine tokens before and after."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import PROCESSORS, Randomness
from decodekit.errors import ConfigError
from decodekit.trace.stages import bar, share_text
from decodekit.types import Floats

__all__ = ["CAPTION", "SAMPLE", "SAMPLE_CONTEXT", "draw_picture", "effect"]

CAPTION = "a to i are the ids 0 to 8; b occurred twice before, d once"
_SHARES = (0.38, 0.24, 0.13, 0.09, 0.06, 0.04, 0.03, 0.02, 0.01)
_DRAWS = 1_000
_CELLS = 20

SAMPLE = Distribution.dense(
    [math.log(share) + 3.0 for share in _SHARES]
)  # scores of both signs, because some formulas depend on the sign
SAMPLE_CONTEXT = Context(TokenIds([1]), TokenIds([3, 1]), rng=Randomness(0).at(2, PROCESSORS))
_FIRST_STEP = Context(TokenIds([1, 3, 1]), rng=Randomness(0).at(0, PROCESSORS))


def effect(part: Any, group: str) -> list[tuple[float, float]]:
    """The probability of each token of the sample before and after a processor; after a sampler, its share of draws.

    A processor that does not change the third token of the output is shown at the first.

    Raises:
        DecodekitError: the plugin cannot work on the sample: it needs a tokenizer, or a larger vocabulary.
    """
    if group == "processors":
        shares = _after(part, SAMPLE_CONTEXT)
        if np.allclose(shares, _SHARES, rtol=0, atol=1e-12):
            shares = _after(part, _FIRST_STEP)
        return list(zip(_SHARES, shares.tolist(), strict=True))
    chain = Chain([], part)
    if not chain.pure:
        raise ConfigError("it must not run twice in one step")
    counts = [0] * len(_SHARES)
    for stream in range(_DRAWS):
        _, choice, _, _ = chain.step(
            SAMPLE, SAMPLE_CONTEXT, chain.initial(SAMPLE_CONTEXT), Randomness(0, stream).at(SAMPLE_CONTEXT.step)
        )
        counts[choice.token_id] += 1
    return [(share, count / _DRAWS) for share, count in zip(_SHARES, counts, strict=True)]


def _after(part: Any, ctx: Context) -> Floats:
    return np.exp(Chain([part]).apply(SAMPLE, ctx).logprobs_of(range(len(_SHARES))))


def draw_picture(shares: list[tuple[float, float]], group: str, *, unicode: bool = True) -> list[str]:
    """The lines of the picture, at most 80 wide."""
    drawn = "after" if group == "processors" else f"share of {_DRAWS:,} draws"
    lines = [f"   {'before':<{_CELLS + 11}}{drawn}"]
    for token, (before, after) in zip("abcdefghi", shares, strict=True):
        cells = [f"{bar(share, _CELLS, unicode=unicode)} {share_text(share):>8}" for share in (before, after)]
        lines.append(f"{token}  {'  '.join(cells)}".rstrip())
    return lines
