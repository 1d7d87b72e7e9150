"""One token by mirostat 2, and by temperature and a draw, against llama.cpp's C samplers with their candidate fill.

Ours is the whole step with its entry; memories go on from token to token on both sides.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import decodekit
from decodekit.draw.context import Context, TokenIds

from .chains import LogitRows, V, real_rows, synthetic_rows
from .timing import Ratio, paired

SEED = 7


def ours(rows: LogitRows, chain: decodekit.Chain) -> Callable[[], object]:
    """The next token of this chain on the next row."""
    context, randomness, turn = Context(TokenIds([1])), decodekit.Randomness(SEED), iter(range(10**9))
    states = chain.initial(context)

    def step() -> object:
        nonlocal states
        index = next(turn)
        dist = decodekit.Distribution.dense(rows[index % len(rows)])
        final, choice, _, states = chain.step(dist, context, states, randomness.at(index))
        return final, choice

    return step


def theirs(rows: LogitRows, samplers: list[Any]) -> Callable[[], object]:
    """The next token of these C samplers on the next row."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
    for sampler in samplers:
        C.llama_sampler_chain_add(chain, sampler)
    candidates = np.zeros(V, dtype=np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)]))
    ids, turn = np.arange(V, dtype=np.int32), iter(range(10**9))

    def step() -> object:
        candidates["id"] = ids
        candidates["logit"] = rows[next(turn) % len(rows)]
        array = C.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data)),
            size=V,
            selected=-1,
            sorted=False,
        )
        C.llama_sampler_apply(chain, ctypes.byref(array))
        return array.data[array.selected].id

    return step


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    flat = [np.random.default_rng(seed).normal(0, 0.1, V).astype(np.float32) for seed in range(4)]
    foreign = decodekit.sampler("llamacpp_dist", llamacpp_dist=SEED, law="discrete")
    hot, mirostat = (
        decodekit.processor("temperature", temperature=0.8),
        decodekit.processor("mirostat_v2", mirostat_v2=5.0),
    )
    for kind, rows in (
        ("SmolLM2 tiled", real_rows()),
        ("N(0, 2.2), heavy head", synthetic_rows()),
        ("N(0, 0.1), flat", flat),
    ):
        for what, chain, samplers, goal in (
            ("mirostat v2, multinomial", decodekit.Chain([mirostat]), ["mirostat"], 2.0),
            ("mirostat v2, llama.cpp's draw", decodekit.Chain([mirostat], foreign), ["mirostat"], 2.0),
            ("temperature and draw", decodekit.Chain([hot]), ["temperature", "dist"], 0.8),
        ):
            build = {
                "mirostat": lambda: C.llama_sampler_init_mirostat_v2(SEED, 5.0, 0.1),
                "temperature": lambda: C.llama_sampler_init_temp(0.8),
                "dist": lambda: C.llama_sampler_init_dist(SEED),
            }
            other = theirs(rows, [build[name]() for name in samplers])
            yield paired(f"{what}; {kind}", "llama.cpp C", ours(rows, chain), other, rounds=100, goal=goal)
