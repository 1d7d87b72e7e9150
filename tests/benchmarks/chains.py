"""Chain, draw, entropy and top-20 at a vocabulary of 151,936, against llama.cpp's C samplers and transformers.

Ours also computes the raw entropy, the top 20, an entry for each processor and the evidence-ready choice; the C chain
only draws. The C side includes filling its candidate array, as ``llama_sampler_sample`` does for each token.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import decodekit
from decodekit.draw.context import Context, TokenIds
from decodekit.trace.summary import RawSummary

from .timing import Ratio, paired

V = 151_936
LogitRows = list[NDArray[np.float32]]


def synthetic_rows() -> LogitRows:
    """N(0, 2.2) with a heavy head: 30 tokens lifted so that they hold almost all of the mass."""
    rows = []
    for seed in range(8):
        noise = np.random.default_rng(seed)
        row = noise.normal(0, 2.2, V).astype(np.float32)
        row[noise.choice(V, 30, replace=False)] = noise.normal(20, 1.5, 30)
        rows.append(row)
    return rows


def real_rows() -> LogitRows:
    """Rows of SmolLM2 on English prose, tiled to the vocabulary, the copies 20 nats down with a little noise."""
    adapter = decodekit.adapter("llamacpp", model="smollm2")
    prompts = ["The capital of France is", "Once upon a time", "In the beginning", "She opened the door and"]
    prefixes = [decodekit.Prefix(adapter.tokenizer.encode(text)) for text in prompts * 2]
    prefixes[4:] = [prefix.extend(adapter.tokenizer.encode(" the old")) for prefix in prefixes[4:]]
    rows = []
    for seed, answer in enumerate(adapter.predict(prefixes)):
        row = answer.scores.astype(np.float32)
        noise = np.random.default_rng(seed)
        tiles = [row] + [row - 20 + noise.normal(0, 0.1, len(row)).astype(np.float32) for _ in range(3)]
        rows.append(np.concatenate(tiles)[:V].astype(np.float32))
    adapter.close()
    return rows


def ours(rows: LogitRows, *parts: tuple[str, float]) -> Callable[[], object]:
    """One token from the next row: raw summary with the top 20, chain with entries, draw."""
    chain = decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts])
    context = Context(TokenIds([1]), TokenIds())
    states, randomness, turn = chain.initial(context), decodekit.Randomness(7), iter(range(10**9))

    def step() -> object:
        index = next(turn)
        dist = decodekit.Distribution.dense(rows[index % len(rows)])
        chosen = chain.step(dist, context, states, randomness.at(index))
        return RawSummary.of(dist, 20), chosen

    return step


def c_chain(rows: LogitRows, *parts: tuple[str, float]) -> Callable[[], object]:
    """The same samplers in C, with their candidate fill and the final draw."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    sampler = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
    build = {
        "top_k": lambda value: C.llama_sampler_init_top_k(int(value)),
        "top_p": lambda value: C.llama_sampler_init_top_p(value, 1),
        "min_p": lambda value: C.llama_sampler_init_min_p(value, 1),
        "temperature": C.llama_sampler_init_temp,
    }
    for name, value in parts:
        C.llama_sampler_chain_add(sampler, build[name](value))
    C.llama_sampler_chain_add(sampler, C.llama_sampler_init_dist(7))
    apply = c_apply(rows, sampler)

    def step() -> object:
        array = apply()
        return array.data[array.selected].id

    return step


def c_apply(rows: LogitRows, sampler: Any) -> Callable[[], Any]:
    """Fill the candidates from the next row and apply a C sampler; the array it leaves."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    layout = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    candidates = np.zeros(V, dtype=layout)
    ids = np.arange(V, dtype=np.int32)
    turn = iter(range(10**9))

    def step() -> Any:
        candidates["id"] = ids
        candidates["logit"] = rows[next(turn) % len(rows)]
        array = C.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data)),
            size=V,
            selected=-1,
            sorted=False,
        )
        C.llama_sampler_apply(sampler, ctypes.byref(array))
        return array

    return step


def transformers_chain(rows: LogitRows, *parts: tuple[str, float]) -> Callable[[], object]:
    """The same processors of transformers, then softmax and ``torch.multinomial``."""
    import torch
    from transformers import generation

    build = {
        "top_k": lambda value: generation.TopKLogitsWarper(int(value)),
        "top_p": generation.TopPLogitsWarper,
        "min_p": generation.MinPLogitsWarper,
        "temperature": generation.TemperatureLogitsWarper,
    }
    warpers = [build[name](value) for name, value in parts]
    tensors = [torch.from_numpy(row)[None] for row in rows]
    ids = torch.ones((1, 1), dtype=torch.long)
    turn = iter(range(10**9))

    def step() -> object:
        scores = tensors[next(turn) % len(tensors)]
        for warper in warpers:
            scores = warper(ids, scores)
        return int(torch.multinomial(torch.softmax(scores, -1), 1))

    return step


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    full = (("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8))
    for kind, rows in (("SmolLM2 tiled", real_rows()), ("N(0, 2.2), heavy head", synthetic_rows())):
        for what, parts, goal in (
            ("top_k, top_p, min_p, temperature", full, 0.3),
            ("top_p alone", (("top_p", 0.95),), 3.0),
            ("temperature alone", (("temperature", 0.8),), 0.6),
        ):
            yield paired(
                f"{what}; {kind}", "llama.cpp C chain", ours(rows, *parts), c_chain(rows, *parts), rounds=200, goal=goal
            )
        try:
            theirs = transformers_chain(rows, *full)
        except ImportError:
            continue
        yield paired(
            f"top_k, top_p, min_p, temperature; {kind}", "transformers", ours(rows, *full), theirs, rounds=60, goal=30
        )
