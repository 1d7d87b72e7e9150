"""DRY and the penalties after 4,096 tokens at a vocabulary of 151,936, against llama.cpp's C samplers of the same name.

Ours includes the row it is given, what it asks for in advance and the next state; the C side its candidate fill and
the accepted token. Two histories: words drawn by Zipf's law, and one passage over and over.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import decodekit
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds

from .chains import LogitRows, V, real_rows, synthetic_rows
from .timing import Ratio, paired

TOKENS = 4096


def histories() -> dict[str, list[int]]:
    """Two histories of 4,096 tokens."""
    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.2, TOKENS), V - 1).tolist()
    passage = rng.integers(0, V, 37).tolist()
    return {"Zipf": words, "a loop of 37 tokens": (passage * (TOKENS // 37 + 1))[:TOKENS]}


def ours(rows: LogitRows, ids: list[int], name: str, **parameters: Any) -> Callable[[], object]:
    """One token: the row, what the processor asks for, the processor, its next state."""
    plugin = decodekit.processor(name, **parameters)
    context = Context(TokenIds(), TokenIds(ids))
    stateful = hasattr(plugin, "initial")
    state = plugin.initial(context) if stateful else None
    choice = Choice(ids[0], None)
    turn = iter(range(10**9))

    def step() -> object:
        dist = decodekit.Distribution.dense(rows[next(turn) % len(rows)])
        plugin.needs(context)
        if not stateful:
            return plugin(dist, context)
        return plugin(dist, context, state), plugin.advance(state, choice, context)

    return step


def c_sampler(rows: LogitRows, ids: list[int], build: Callable[[Any], Any]) -> Callable[[], object]:
    """The C sampler after the same history, which rolls on by one token each time."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    sampler = build(C)
    for token in ids:
        C.llama_sampler_accept(sampler, token)
    candidates = np.zeros(V, dtype=np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)]))
    numbers = np.arange(V, dtype=np.int32)
    turn = iter(range(10**9))

    def step() -> object:
        index = next(turn)
        candidates["id"] = numbers
        candidates["logit"] = rows[index % len(rows)]
        array = C.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data)),
            size=V,
            selected=-1,
            sorted=False,
        )
        C.llama_sampler_apply(sampler, ctypes.byref(array))
        C.llama_sampler_accept(sampler, ids[index % len(ids)])
        return candidates

    return step


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    same = {"scope": "both", "window": TOKENS}
    for kind, rows in (("SmolLM2 tiled", real_rows()), ("N(0, 2.2), heavy head", synthetic_rows())):
        for how, ids in histories().items():
            for name, parameters, build in (
                (
                    "dry",
                    {"dry": 0.8, "breakers": [], "window": TOKENS},
                    lambda api: api.llama_sampler_init_dry(None, 0.8, 1.75, 2, TOKENS, None, 0),
                ),
                (
                    "repetition_penalty",
                    {"repetition_penalty": 1.1, **same},
                    lambda api: api.llama_sampler_init_penalties(V, TOKENS, 1.1, 0.0, 0.0),
                ),
                (
                    "frequency_penalty",
                    {"frequency_penalty": 0.5, **same},
                    lambda api: api.llama_sampler_init_penalties(V, TOKENS, 1.0, 0.5, 0.0),
                ),
                (
                    "presence_penalty",
                    {"presence_penalty": 0.5, **same},
                    lambda api: api.llama_sampler_init_penalties(V, TOKENS, 1.0, 0.0, 0.5),
                ),
            ):
                yield paired(
                    f"{name} after {how}; {kind}",
                    "llama.cpp C sampler",
                    ours(rows, ids, name, **parameters),
                    c_sampler(rows, ids, build),
                    rounds=100,
                    goal=1.0,
                )
