"""Whether a text was drawn with a given seed: a check from its token ids alone, without trace and without model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from decodekit.draw.detection import Detection, log_gamma_tail
from decodekit.draw.philox import WORDS_PER_BLOCK, blocks
from decodekit.draw.randomness import TOKENS, Randomness, uniform_of
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = ["was_drawn_with"]

_LARGEST_ID = 2**63 - 1
_NEAR = range(-8, 9)


def was_drawn_with(ids: Iterable[int], seed: int, stream: int = 0, *, offsets: Sequence[int] = _NEAR) -> Detection:
    """Whether `multinomial` drew these tokens with this seed and stream.

    The draw prefers tokens whose uniform number ``u`` is near 1. So the sum of ``-ln(1 - u)`` over the tokens is large
    in a text that was drawn with this seed. In any other text the sum has the distribution Gamma(n, 1). The numbers
    belong to steps, so that a missing or an additional token moves all later ones: several offsets are tried, and the
    p-value of the best one is multiplied by their number.

    Args:
        ids: the tokens of the text, or of a part of it; end of text included if it was drawn.
        seed: the seed of the run.
        stream: the stream of the sequence.
        offsets: the steps at which the first id may have been drawn. A negative one leaves out that many ids.

    Returns:
        How many tokens count, their sum of ``-ln(1 - u)``, the logarithm of the corrected p-value, and the best offset.

    Raises:
        ParameterError: an id, the seed, the stream or an offset is no whole number of 64 bits, or there is no offset.

    Source: the score of Aaronson's Gumbel watermark (2022), with the noise of RNG.md in place of a keyed one; the
    alignment is that of Kuditipudi et al. 2023 (arXiv 2307.15593), with offsets in place of an edit distance.
    """
    tokens = np.array([whole(each, "an id", 0, _LARGEST_ID) for each in ids], dtype=np.int64)
    places = [whole(each, "an offset", -_LARGEST_ID, _LARGEST_ID // 2) for each in offsets]
    if not places:
        raise ParameterError("offsets: at least one is needed; (0,) if the first id is the first that was drawn")
    noise = Randomness(whole(seed, "seed", 0, 2**64 - 1), stream)
    found = [_at(tokens, noise, place) for place in places]
    best = min(found, key=lambda each: (each.log_p_value, abs(each.offset)))
    corrected = min(0.0, best.log_p_value + math.log(len(places)))
    return Detection(best.scored, best.statistic, corrected, best.offset)


def _at(tokens: Ids, noise: Randomness, offset: int) -> Detection:
    """The detection if the first token was drawn at this step."""
    kept = tokens[max(0, -offset) :]
    total = float((-np.log1p(-_uniforms(kept, noise, max(0, offset)))).sum())
    return Detection(len(kept), total, log_gamma_tail(total, len(kept)), offset)


def _uniforms(tokens: Ids, noise: Randomness, first: int) -> Floats:
    """The uniform number of each token at its own step."""
    counters = np.zeros((4, len(tokens)), dtype=np.uint64)
    counters[0] = tokens // WORDS_PER_BLOCK + 1
    counters[1] = np.arange(first, first + len(tokens), dtype=np.uint64)
    counters[2] = noise.stream
    words = blocks(counters, np.array([[noise.seed], [TOKENS]], dtype=np.uint64))
    return uniform_of(words[tokens % WORDS_PER_BLOCK, np.arange(len(tokens))])
