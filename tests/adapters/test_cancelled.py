"""The cells of a sequence that has ended, failed or was cancelled are there for the very next call.

No adapter is told that a sequence is over: what it held is kept for who continues it, until room is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from decodekit import AsyncSession, Chain, Context, Distribution, PluginError, Prefix, Session, processor

CHAIN = Chain([processor("top_k", top_k=20), processor("temperature", temperature=1.2)])
CONTEXT, SEQUENCES = 120, 4
Make = Callable[[], Any]


@pytest.fixture(params=["llamacpp", "torch"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Adapters with room for little more than one prefix of the longest kind."""
    pytest.importorskip("llama_cpp" if request.param == "llamacpp" else "transformers")
    pytest.importorskip("gguf")
    built: list[Any] = []

    def build() -> Any:
        if request.param == "llamacpp":
            from decodekit_llamacpp import LlamaCppAdapter
            from tests.families import gguf_file

            path = str(gguf_file("legacy.gguf"))
            built.append(LlamaCppAdapter(model=path, n_ctx=CONTEXT, max_sequences=SEQUENCES, n_threads=1))
        else:
            from decodekit_torch import TorchAdapter
            from tests.adapters.torch.models import tiny

            built.append(TorchAdapter(model=tiny("Llama"), n_ctx=CONTEXT, max_sequences=SEQUENCES, cells=256))
        return built[-1]

    yield build
    for adapter in built:
        adapter.close()


def prompt(number: int, length: int) -> list[int]:
    return [(number * 31 + place * 7) % 150 + 30 for place in range(length)]


def failing(dist: Distribution, ctx: Context) -> Distribution:
    if ctx.step == 2:
        raise RuntimeError("the third token")
    return dist


def call(number: int) -> dict[str, Any]:
    return {"seed": 3, "stream": number, "max_tokens": 10}


def test_after_many_cancelled_calls_the_next_one_has_all_the_room(make: Make) -> None:
    adapter = make()
    session = Session(adapter, CHAIN)
    for number in range(32):
        steps = session.stream(prompt(number, 90 + number % 25), **call(number))
        next(steps), next(steps)
        steps.close()
    found = session.generate(prompt(99, CONTEXT - 10), **call(99))
    assert (found.finish_reason, len(found.token_ids)) == ("length", 10)
    assert found.token_ids == Session(make(), CHAIN).generate(prompt(99, CONTEXT - 10), **call(99)).token_ids


def test_neighbours_of_cancelled_and_failing_calls_have_their_own_tokens(make: Make) -> None:
    """Callers come and go, more than there are slots, with prompts that do not fit together."""
    adapter = make()
    calls = {number: prompt(number, (100, 20, 60, 5)[number % 4]) for number in range(16)}

    async def one(session: AsyncSession, number: int) -> Any:
        if number % 5 == 2:  # leaves after some steps
            async with session.stream(calls[number], **call(number)) as steps:
                return [(await anext(steps)).token_id for _ in range(3)]
        if number % 5 == 3:  # fails at its third token
            with pytest.raises(PluginError) as caught:
                await session.generate(calls[number], chain=[*CHAIN.processors, failing], **call(number))
            return list(caught.value.partial.token_ids)
        return list((await session.generate(calls[number], **call(number))).token_ids)

    async def main() -> list[Any]:
        session = AsyncSession(adapter, CHAIN)
        return await asyncio.gather(*(one(session, number) for number in calls))

    alone = Session(make(), CHAIN)
    for number, tokens in zip(calls, asyncio.run(main()), strict=True):
        assert tokens == list(alone.generate(Prefix(calls[number]), **call(number)).token_ids)[: len(tokens)], number
