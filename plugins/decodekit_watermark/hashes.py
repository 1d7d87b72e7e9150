"""The keyed uniform numbers of vLLM and SGLang: a function of key, context and token id, bit for bit.

Sources: vLLM 0.32 ``PhiloxPRF`` (Philox4x32-10, Salmon et al. 2011) and ``uint32_to_uniform``; SGLang 0.5.23
``hash_context`` and ``watermark_hash`` (MurmurHash3, x86, 32 bits).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["murmur_contexts", "murmur_uniforms", "philox_uniforms"]

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

_LOW = 0xFFFFFFFF
_MASK = np.uint64(_LOW)
_HALF = np.uint64(32)


def philox_uniforms(key: int, contexts: Ids, ids: Ids) -> Floats:
    """vLLM's numbers for these tokens, as float64[n] that are exact in float32: 24 bits, strictly inside (0, 1).

    Args:
        key: 0 to 2**64 - 1.
        contexts: int64[n, width], the ids before each token, oldest first, -1 where there is none; or int64[1, width],
            the same for all.
        ids: int64[n], the tokens.
    """
    low, high = key & _LOW, key >> 32
    width = contexts.shape[1]
    before = (contexts & _LOW).astype(np.uint64)
    state = [np.full(len(before), word, dtype=np.uint64) for word in (0x574D4358, width, 0, 0)]
    for start in range(0, width, 4):
        block = [before[:, start + i] if start + i < width else np.uint64(_LOW - i) for i in range(4)]
        state = _philox4x32([one ^ other for one, other in zip(state, block, strict=True)], low ^ start, high)
    # Four tokens share a block: those whose ids differ in the last two bits only.
    blocks, place = np.unique(ids >> 2, return_inverse=True) if len(before) == 1 else (ids >> 2, np.arange(len(ids)))
    counter = [blocks.astype(np.uint64) & _MASK, *(np.broadcast_to(word, blocks.shape) for word in state[:3])]
    made = np.stack(_philox4x32(counter, np.uint64(low) ^ state[3], high ^ 0x574D544B))
    mantissas = (made[ids & 3, place] >> np.uint64(8)).astype(np.float64)
    uniforms: Floats = ((mantissas + 1.0) / (2**24 + 1)).astype(np.float32).astype(np.float64)
    return uniforms


def _philox4x32(counter: Sequence[Words], low: int | Words, high: int) -> list[Words]:
    """The blocks at these counters, four words each."""
    one, two, three, four = counter
    keys = np.asarray(low, dtype=np.uint64)
    for _ in range(10):
        first, second = one * np.uint64(0xD2511F53), three * np.uint64(0xCD9E8D57)
        one, two = (second >> _HALF) ^ two ^ keys, second & _MASK
        three, four = (first >> _HALF) ^ four ^ np.uint64(high), first & _MASK
        keys, high = (keys + np.uint64(0x9E3779B9)) & _MASK, (high + 0xBB67AE85) & _LOW
    return [one, two, three, four]


def murmur_contexts(contexts: Ids) -> Words:
    """SGLang's hash of each context, as uint64[n] of 32 bits.

    Args:
        contexts: int64[n, width], oldest first; -1 at the beginning of a shorter one.
    """
    state = np.zeros(len(contexts), dtype=np.uint64)
    for column in contexts.T:
        state = np.where(column < 0, state, _mixed(state, (column & _LOW).astype(np.uint64)))
    return _finished(state, (contexts >= 0).sum(axis=1))


def murmur_uniforms(key: int, contexts: Ids, ids: Ids) -> Floats:
    """SGLang's numbers for these tokens, as float64[n]: ``(H + 0.5) / 2**32``, exact, strictly inside (0, 1).

    The arguments are those of `philox_uniforms`; a -1 makes the context shorter.
    """
    state = np.zeros(len(ids), dtype=np.uint64)
    hashed = np.broadcast_to(murmur_contexts(contexts), state.shape)
    for part in (np.uint64(key & _LOW), np.uint64(key >> 32), hashed, ids.astype(np.uint64) & _MASK):
        state = _mixed(state, part)
    uniforms: Floats = (_finished(state, 4).astype(np.float64) + 0.5) / 2.0**32
    return uniforms


def _mixed(state: Words, part: Words | np.uint64) -> Words:
    """MurmurHash3: one more word of 32 bits."""
    word = _turned(np.asarray(part) * np.uint64(0xCC9E2D51) & _MASK, 15) * np.uint64(0x1B873593) & _MASK
    return _turned(state ^ word, 13) * np.uint64(5) + np.uint64(0xE6546B64) & _MASK


def _finished(state: Words, words: int | Ids) -> Words:
    """MurmurHash3 of so many words."""
    state = state ^ np.asarray(words).astype(np.uint64) * np.uint64(4)
    state ^= state >> np.uint64(16)
    state = state * np.uint64(0x85EBCA6B) & _MASK
    state ^= state >> np.uint64(13)
    state = state * np.uint64(0xC2B2AE35) & _MASK
    return state ^ (state >> np.uint64(16))


def _turned(word: Words, bits: int) -> Words:
    return (word << np.uint64(bits) | word >> np.uint64(32 - bits)) & _MASK
