"""What tracing costs: sinks beside a model, bytes, and conversion. A step's line is in `against.py`."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import decodekit
from decodekit.testing import TableAdapter
from decodekit.trace.converting import convert

from .decoding import CHAIN, PROMPT, Endless
from .timing import Ratio, paired

ROWS = [np.random.default_rng(seed).normal(0, 2.2, 2048).astype(np.float32) for seed in range(64)]
TOP_P = (("top_p", 0.95),)


def chain_of(parts: tuple[tuple[str, Any], ...]) -> decodekit.Chain:
    return decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts])


def measure(rounds: int = 9) -> Iterator[Ratio]:
    """All rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from conversion(folder, rounds)
        yield from beside_a_model(folder, rounds)


def table_run(parts: tuple[tuple[str, Any], ...], top: int, tokens: int, trace: Any = None) -> decodekit.Trace:
    """Random rows of 2,048 tokens."""
    adapter = TableAdapter(lambda ids: ROWS[len(ids) % len(ROWS)], 2048)
    session = decodekit.Session(adapter, chain_of(parts), seed=1, top_logprobs=top)
    return session.generate(decodekit.Prefix([1]), max_tokens=tokens, trace=trace).trace


def conversion(folder: Path, rounds: int, tokens: int = 6000) -> Iterator[Ratio]:
    """A trace file to Parquet, against parsing its lines alone."""
    source = folder / "long.jsonl"
    table_run(TOP_P, 20, tokens, [source, folder / "long.parquet"])
    sizes = [path.stat().st_size / tokens for path in (source, folder / "long.parquet")]
    print(f"top 20 and the proof of a draw of top-p 0.95: {sizes[0]:.0f} bytes a step in JSON Lines, {sizes[1]:.0f} in "
          f"Parquet, {sizes[1] / sizes[0]:.3f} of it")  # fmt: skip
    target = folder / "converted.parquet"

    def parsed() -> None:
        with source.open("rb") as file:
            for line in file:
                json.loads(line)

    yield paired(
        f"convert {tokens} steps to Parquet", "json.loads of its lines", lambda: convert(source, target), parsed,
        rounds=rounds, goal=2, before=lambda: target.unlink(missing_ok=True), clock=time.process_time,
    )  # fmt: skip


def beside_a_model(folder: Path, rounds: int, tokens: int = 200) -> Iterator[Ratio]:
    """Runs of SmolLM2 at level proof, with a file and without; and at level none."""
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_ctx=2048, n_threads=1)
    session = decodekit.Session(Endless(adapter), chain_of(CHAIN))  # type: ignore[arg-type]
    turn = iter(range(10**9))

    def run(suffix: str, level: Any) -> None:
        trace = folder / f"{next(turn)}.{suffix}" if suffix else None
        for _ in session.stream(PROMPT, max_tokens=tokens, seed=1, level=level, trace=trace):
            pass

    for suffix, goal in (("jsonl", 0.97), ("parquet", 0.98)):
        yield paired(
            f"{tokens} tokens of SmolLM2, level proof, {suffix}", "no file, level proof",
            lambda suffix=suffix: run(suffix, "proof"), lambda: run("", "proof"), rounds=rounds, goal=goal,
        )  # fmt: skip
        yield paired(
            f"{tokens} tokens of SmolLM2, level proof, {suffix}", "no file, level none",
            lambda suffix=suffix: run(suffix, "proof"), lambda: run("", "none"), rounds=rounds, goal=goal,
        )  # fmt: skip
