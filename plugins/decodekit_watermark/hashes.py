"""The keyed uniform numbers of vLLM and SGLang: a function of key, context and token id, bit for bit.

Sources: vLLM 0.32 ``PhiloxPRF`` (Philox4x32-10, Salmon et al. 2011) and ``uint32_to_uniform``; SGLang 0.5.23
``hash_context``, ``watermark_hash`` (MurmurHash3, x86, 32 bits).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["murmur_context", "murmur_uniforms", "philox_uniforms"]

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

_LOW = 0xFFFFFFFF
_MASK = np.uint64(_LOW)
_HALF = np.uint64(32)


def philox_uniforms(key: int, context: Sequence[int], ids: Ids) -> Floats:
    """vLLM's numbers for these tokens, as float64[n] that are exact in float32: 24 bits, strictly inside (0, 1).

    Args:
        key: 0 to 2**64 - 1.
        context: the ids before, oldest first; -1 where there is none.
        ids: int64[n], the tokens.
    """
    low, high = key & _LOW, key >> 32
    state = [0x574D4358, len(context), 0, 0]
    for start in range(0, len(context), 4):
        block = [context[start + i] & _LOW if start + i < len(context) else _LOW - i for i in range(4)]
        counter = [np.array([one ^ other], dtype=np.uint64) for one, other in zip(state, block, strict=True)]
        state = [int(word[0]) for word in _philox4x32(counter, low ^ start, high)]
    # Four tokens share a block: those whose ids differ in the last two bits only.
    blocks, place = np.unique(ids >> 2, return_inverse=True)
    counter = [blocks.astype(np.uint64) & _MASK, *(np.full(len(blocks), word, dtype=np.uint64) for word in state[:3])]
    made = np.stack(_philox4x32(counter, low ^ state[3], high ^ 0x574D544B))
    mantissas = (made[ids & 3, place] >> np.uint64(8)).astype(np.float64)
    uniforms: Floats = ((mantissas + 1.0) / (2**24 + 1)).astype(np.float32).astype(np.float64)
    return uniforms


def _philox4x32(counter: Sequence[Words], low: int, high: int) -> list[Words]:
    """The blocks at these counters, four words each."""
    one, two, three, four = counter
    for _ in range(10):
        first, second = one * np.uint64(0xD2511F53), three * np.uint64(0xCD9E8D57)
        one, two = (second >> _HALF) ^ two ^ np.uint64(low), second & _MASK
        three, four = (first >> _HALF) ^ four ^ np.uint64(high), first & _MASK
        low, high = (low + 0x9E3779B9) & _LOW, (high + 0xBB67AE85) & _LOW
    return [one, two, three, four]


def murmur_context(context: Sequence[int]) -> int:
    """SGLang's hash of a context, 32 bits."""
    return int(_murmur([np.array([token & _LOW], dtype=np.uint64) for token in context])[0])


def murmur_uniforms(key: int, context: Sequence[int], ids: Ids) -> Floats:
    """SGLang's numbers for these tokens, as float64[n]: ``(H + 0.5) / 2**32``, exact, strictly inside (0, 1).

    Args:
        key: 0 to 2**64 - 1.
        context: the ids before, oldest first, at least one.
        ids: int64[n], the tokens.
    """
    fixed = (key & _LOW, key >> 32, murmur_context(context))
    parts = [np.full(len(ids), word, dtype=np.uint64) for word in fixed]
    uniforms: Floats = (_murmur([*parts, ids.astype(np.uint64) & _MASK]).astype(np.float64) + 0.5) / 2.0**32
    return uniforms


def _murmur(parts: Sequence[Words]) -> Words:
    """MurmurHash3 of words of 32 bits, seed 0, for each row."""
    state = np.zeros_like(parts[0])
    for part in parts:
        mixed = _turned(part * np.uint64(0xCC9E2D51) & _MASK, 15) * np.uint64(0x1B873593) & _MASK
        state = _turned(state ^ mixed, 13) * np.uint64(5) + np.uint64(0xE6546B64) & _MASK
    state ^= np.uint64(4 * len(parts))
    state ^= state >> np.uint64(16)
    state = state * np.uint64(0x85EBCA6B) & _MASK
    state ^= state >> np.uint64(13)
    state = state * np.uint64(0xC2B2AE35) & _MASK
    return state ^ (state >> np.uint64(16))


def _turned(word: Words, bits: int) -> Words:
    return (word << np.uint64(bits) | word >> np.uint64(32 - bits)) & _MASK
