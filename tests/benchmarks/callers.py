"""Many callers of one model: against a blocking session, one batch in bare C, and calls one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import decodekit
from decodekit import AsyncSession, processor

from .bare_batch import BareBatch
from .decoding import PROMPT, Fresh, parameters_of
from .timing import Ratio, in_turns, ratio_of, seconds

TOKENS = 32


def measure(tokens: int = TOKENS, rounds: int = 3, most: int = 32) -> Iterator[Ratio]:
    """All rows of the table. Every run starts from an empty cache; making it is not timed."""

    def make() -> Any:
        return decodekit.adapter("llamacpp", model="smollm2", n_threads=1, n_ctx=4096)

    fresh = Fresh(make, decodekit.Chain())
    bare = BareBatch(parameters_of(make), (("top_k", 26), ("temperature", 0.9), ("min_p", 0.02)))
    prompts = [fresh.session.adapter.tokenizer.encode(prompt_of(i)) for i in range(most)]  # type: ignore[union-attr]

    async def together(count: int, tokens: int) -> object:
        session = AsyncSession(fresh.session.adapter)
        return await asyncio.gather(*(session.generate(prompt_of(i), **call_of(i, tokens)) for i in range(count)))

    def in_tasks(count: int, tokens: int = tokens) -> float:
        fresh.renew()
        return seconds(lambda: runner.run(together(count, tokens)))

    def in_turn(count: int, tokens: int = tokens) -> float:
        fresh.renew()
        return seconds(lambda: [fresh.session.generate(prompt_of(i), **call_of(i, tokens)) for i in range(count)])

    def batch() -> float:
        return seconds(lambda: bare.run(prompts, 1, tokens))

    def row(count: int, against: str, theirs: Callable[[], float], rounds: int, goal: float) -> Ratio:
        pairs = in_turns(lambda: in_tasks(count), theirs, rounds)
        return ratio_of(f"{count} async callers with their own chains, {tokens} tokens each", against, pairs, goal)

    with asyncio.Runner() as runner:
        in_tasks(1), batch()  # once to warm up
        alone = in_turns(lambda: in_tasks(1, 4 * tokens), lambda: in_turn(1, 4 * tokens), 2 * rounds)
        yield ratio_of(f"one caller, AsyncSession, {4 * tokens} tokens", "Session", alone, 1 / 1.03)
        yield row(most, f"bare C API, one batch of {most}, one chain", batch, rounds, 0.8)
        for count in (most // 4, most):
            yield row(count, "one after the other", lambda count=count: in_turn(count), 2, 1.5)  # type: ignore[misc]
    bare.close()


def prompt_of(caller: int) -> str:
    return f"{caller}. {PROMPT}"


def call_of(caller: int, tokens: int) -> dict[str, Any]:
    """A chain of its own, and equal work: nothing ends it but the number of tokens."""
    chain = [processor("top_k", top_k=10 + caller), processor("temperature", temperature=0.6 + caller / 50)]
    chain += [processor("min_p", min_p=0.02)] if caller % 2 else []
    return {"chain": chain, "seed": 1, "stream": caller, "max_tokens": tokens}
