"""What one round takes, how many may wait, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from decodekit import AsyncSession, Overloaded, Prefix, Session
from decodekit.model.admission import waiting_for
from decodekit.model.asking import ask
from decodekit.model.token_budget import TokenBudget
from tests.model.test_asking import Waited
from tests.model.test_rounds import Gate, eventually, threads, waiting
from tests.session.conftest import Around, plain, table


def test_a_round_has_no_more_tokens_of_prompts_than_its_budget_and_all_single_tokens() -> None:
    gate = Gate()
    started = threads(1, lambda _: ask(gate.adapter, [Prefix([0])]) and None)
    assert gate.entered.wait(20)
    for i, tokens in enumerate((200, 200, 200, 0, 100, 200, 0), 1):
        started += threads(1, lambda _, i=i, tokens=tokens: ask(gate.adapter, [Prefix([i])], tokens=tokens) and None)
        assert eventually(waiting(gate.adapter, i + 1))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    rounds = [sorted(prefix.token_ids[0] for prefix in prefixes) for prefixes, _ in gate.adapter.asked]
    assert rounds[:2] == [[0], [1, 2, 4, 5, 7]]  # 200 + 200 + 100 of 512
    assert sorted(i for each in rounds for i in each) == list(range(8))


def test_a_prompt_that_is_larger_than_the_budget_goes_when_it_is_first() -> None:
    gate = Gate()
    started = threads(1, lambda _: ask(gate.adapter, [Prefix([0])]) and None)
    assert gate.entered.wait(20)
    for i, tokens in enumerate((5000, 1, 0), 1):
        started += threads(1, lambda _, i=i, tokens=tokens: ask(gate.adapter, [Prefix([i])], tokens=tokens) and None)
        assert eventually(waiting(gate.adapter, i + 1))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    assert gate.batches == [1, 2, 1]


def test_the_budget_follows_the_time_that_rounds_take() -> None:
    budget = TokenBudget()
    first = budget.tokens
    budget.took(300, 0.2, left_out=True)
    budget.took(300, 0.01, left_out=False)
    assert budget.tokens == first
    budget.took(500, 0.01, left_out=True)
    assert budget.tokens == 2 * first
    budget.took(600, 1.0, left_out=False)
    assert budget.tokens == 300
    for _ in range(20):
        budget.took(budget.tokens, 9.0, left_out=True)
    assert budget.tokens == 64
    budget.took(1, 9.0, left_out=False)  # a slow model, not a long prompt
    assert budget.tokens == 64


@pytest.mark.parametrize(("rows", "priority"), [(1, -1), (4, 0)])
def test_nobody_waits_for_ever_among_endless_others(rows: int, priority: int) -> None:
    """A caller with a low priority, and one that needs all rows of a round, among callers that always wait."""
    served: list[int] = []
    answered = threading.Event()

    def act(inner: Any, prefixes: Sequence[Prefix], wanted: Any) -> Any:
        served.append(len(prefixes))
        return inner.predict(prefixes, wanted)

    adapter = Around(table(), act, concurrency=4)

    def others(i: int) -> None:
        while not answered.is_set() and len(served) < 5000:
            ask(adapter, [Prefix([i])], priority=1)

    started = threads(8, others)
    assert eventually(lambda: len(served) > 3)
    before = len(served)
    ask(adapter, [Prefix([9, i]) for i in range(rows)], priority=priority)
    after = len(served)
    answered.set()
    for thread in started:
        thread.join(20)
    assert after - before <= 64 * (1 - priority) + 8 + 2  # one unit of priority overtakes 64 callers


@pytest.mark.parametrize("kind", ["blocking", "async", "facade"])
def test_a_call_is_refused_where_too_many_wait_and_nothing_of_it_is_begun(kind: str, tmp_path) -> None:
    path = tmp_path / "refused"
    gate = Gate()
    adapter: Any = gate.adapter if kind == "blocking" else Waited(wait=600)

    async def refused(session: AsyncSession) -> object:
        if kind == "facade":
            with Session(adapter, seed=1) as blocking:
                return await asyncio.to_thread(blocking.generate, [9], max_waiting=2, trace=path)
        return await session.generate([9], max_waiting=2, trace=path)

    async def main() -> None:
        session = AsyncSession(adapter, seed=1)
        calls = [asyncio.ensure_future(session.generate([i], max_tokens=2)) for i in range(3)]
        while waiting_for(adapter) < 3:
            await asyncio.sleep(0.001)
        with pytest.raises(Overloaded, match=r"max_waiting: 3 callers wait for adapter .* at most 2 do") as caught:
            await refused(session)
        assert not path.exists() and caught.value.partial is None
        if kind == "blocking":
            admitted = asyncio.ensure_future(session.generate([9], max_tokens=2, max_waiting=3, trace=path))
            while waiting_for(adapter) < 4:
                await asyncio.sleep(0.001)
            gate.opened.set()
            assert (await admitted).finish_reason == "length"
        for call in calls if kind != "blocking" else ():
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(main())
    assert waiting_for(adapter) == 0


def test_of_many_tasks_at_once_those_that_are_admitted_get_what_each_gets_alone() -> None:
    gate = Gate()
    ends: list[object] = []

    async def call(session: AsyncSession, i: int) -> None:
        try:
            ends.append((i, (await session.generate([i % 50], max_tokens=2, max_waiting=20)).token_ids))
        except Overloaded:
            ends.append(None)

    async def main() -> None:
        session = AsyncSession(gate.adapter, seed=1)
        calls = [asyncio.ensure_future(call(session, i)) for i in range(100)]
        while len(ends) < 79:
            await asyncio.sleep(0.001)
        gate.opened.set()
        await asyncio.gather(*calls)

    asyncio.run(main())
    answered = [each for each in ends if isinstance(each, tuple)]
    assert len(answered) == 21  # one is being answered while twenty wait
    for i, ids in answered:
        assert ids == Session(table(), seed=1).generate([i % 50], max_tokens=2).token_ids


def test_a_call_that_may_not_wait_at_all_begins_where_nobody_does() -> None:
    assert Session(Around(table(), plain), seed=1).generate([1], max_tokens=2, max_waiting=0).finish_reason == "length"
