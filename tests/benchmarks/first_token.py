"""How soon a short request has its first token while a long prompt is being evaluated, with portions and without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from typing import Any
from unittest.mock import patch

import decodekit

from .decoding import PROMPT, Fresh
from .timing import Ratio, in_turns, ratio_of, seconds


def _at_once(_: object, prefix: decodekit.Prefix, __: object) -> Generator[Any, Any, int]:
    """No portions: the whole prompt is left to evaluate."""
    yield from ()
    return len(prefix)


def measure(rounds: int = 2, length: int = 3000) -> Iterator[Ratio]:
    """The row of the table. The short request comes when half of the long prompt's time has passed."""

    def make() -> Any:
        return decodekit.adapter("llamacpp", model="smollm2")

    fresh = Fresh(make, decodekit.Chain(sampler="greedy"))
    ids = fresh.session.adapter.tokenizer.encode(PROMPT)  # type: ignore[union-attr]
    long = decodekit.Prefix((ids * length)[:length])
    half = seconds(lambda: fresh.session.generate(long, max_tokens=1)) / 2

    async def short() -> float:
        session = decodekit.AsyncSession(fresh.session.adapter, decodekit.Chain(sampler="greedy"))  # type: ignore[arg-type]
        evaluating = asyncio.create_task(session.generate(long, max_tokens=1))
        await asyncio.sleep(half)
        assert not evaluating.done()
        begun = time.perf_counter()
        async with session.stream(decodekit.Prefix(ids), max_tokens=1) as steps:
            await anext(steps)
            taken = time.perf_counter() - begun
        evaluating.cancel()
        await asyncio.gather(evaluating, return_exceptions=True)
        await session.generate(decodekit.Prefix([1]), max_tokens=1)  # no forward pass runs any more
        return taken

    def ours() -> float:
        fresh.renew()
        return asyncio.run(short())

    def theirs() -> float:
        with patch("decodekit.session.driving.portions", _at_once):
            return ours()

    pairs = in_turns(ours, theirs, rounds)
    yield ratio_of(f"first token of a short request beside a prompt of {length}", "without portions", pairs, 5)
