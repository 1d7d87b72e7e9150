"""Many callers of one model: against a blocking session, and against the same calls one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import decodekit
from decodekit import AsyncSession, Chain, Session, processor

from .decoding import Endless
from .timing import Ratio, paired

TOKENS = 32
PROMPT = "Once upon a time in a small village by the sea"


def measure() -> Iterator[Ratio]:
    adapter: Any = Endless(decodekit.adapter("llamacpp", model="smollm2", n_threads=1, n_ctx=8192))
    runner = asyncio.Runner()
    try:
        yield paired(
            "one caller, AsyncSession", "Session",
            tasks(runner, adapter, 1, 4 * TOKENS), in_turn(adapter, 1, 4 * TOKENS), rounds=6, goal=1 / 1.03,
        )  # fmt: skip
        for count in (8, 32):
            yield paired(
                f"{count} async callers with their own chains", "one after the other",
                tasks(runner, adapter, count), in_turn(adapter, count), rounds=3, goal=1.5,
            )  # fmt: skip
        ids = adapter.tokenizer.encode(PROMPT)
        long = decodekit.Prefix((ids * 512)[:512])
        yield paired(
            "16 samples of a prompt of 512 tokens, 64 new ones", "16 runs, the prompt kept",
            samples(adapter, long), one_by_one(adapter, long), rounds=2, goal=1.5,
        )  # fmt: skip
    finally:
        runner.close()
        adapter.close()


def chain_of(caller: int) -> Chain:
    chain = [processor("top_k", top_k=10 + caller), processor("temperature", temperature=0.6 + caller / 50)]
    return Chain([*chain, processor("min_p", min_p=0.02)] if caller % 2 else chain)


def calls_of(count: int, tokens: int) -> list[dict[str, Any]]:
    return [{"chain": chain_of(i), "seed": 1, "stream": i, "max_tokens": tokens} for i in range(count)]


def tasks(runner: asyncio.Runner, adapter: Any, count: int, tokens: int = TOKENS) -> Callable[[], object]:
    session = AsyncSession(adapter)

    async def together() -> object:
        calls = (session.generate(f"{i}. {PROMPT}", **each) for i, each in enumerate(calls_of(count, tokens)))
        return await asyncio.gather(*calls)

    return lambda: runner.run(together())


def in_turn(adapter: Any, count: int, tokens: int = TOKENS) -> Callable[[], object]:
    session = Session(adapter)
    return lambda: [session.generate(f"{i}. {PROMPT}", **each) for i, each in enumerate(calls_of(count, tokens))]


def samples(adapter: Any, prompt: decodekit.Prefix) -> Callable[[], object]:
    session = Session(adapter, chain_of(0), seed=1)
    return lambda: session.generate_many([prompt], n=16, max_tokens=64)


def one_by_one(adapter: Any, prompt: decodekit.Prefix) -> Callable[[], object]:
    session = Session(adapter, chain_of(0), seed=1)
    return lambda: [session.generate(prompt, stream=i, max_tokens=64) for i in range(16)]
