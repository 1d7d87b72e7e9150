"""Bands of surprisal, by which tokens are coloured."""

from __future__ import annotations

import math

__all__ = ["BANDS", "band_of", "bits_of"]

_LIMITS = (1.0, 2.0, 4.0, 8.0)  # bits

BANDS = ("up to 1 bit", "up to 2 bits", "up to 4 bits", "up to 8 bits", "more")
"""What each band is called."""


def bits_of(logprob: float | None) -> float | None:
    """The surprisal of a token in bits; None where it is not known.

    Args:
        logprob: in nats.
    """
    return None if logprob is None else max(0.0, -logprob / math.log(2))


def band_of(logprob: float | None) -> int | None:
    """The band of a token's surprisal under the model, from 0 for up to 1 bit to 4 for more than 8 bits.

    Args:
        logprob: in nats; None where it is not known.
    """
    bits = bits_of(logprob)
    return None if bits is None else sum(bits > limit for limit in _LIMITS)
