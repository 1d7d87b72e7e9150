"""Rounds: callers that wait for one adapter share its calls, and nothing else."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import decodekit.threads
from decodekit import AdapterError, ContextOverflow, Prefix, Session
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.model import question, rounds
from decodekit.model.asking import ask, rounds_of
from decodekit.model.asking_from_task import ask_from_task
from decodekit.model.loops import OutOfTime
from decodekit.model.rounds import Rounds
from decodekit.threads import Bell
from tests.interrupts import LOOKS, count_opcodes, interrupt
from tests.session.conftest import Around, plain, table


class Gate:
    """An adapter whose first call waits until it is opened, so that the other callers are waiting by then."""

    def __init__(self, fault: Callable[[Sequence[Prefix]], object] = lambda _: None, **info: Any) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self.batches: list[int] = []

        def act(inner, prefixes, wanted):
            self.batches.append(len(prefixes))
            self.entered.set()
            assert self.opened.wait(20)
            fault(prefixes)
            return inner.predict(prefixes, wanted)

        self.adapter = Around(table(), act, **info)


def waiting(adapter: object, count: int) -> Callable[[], bool]:
    """Whether so many questions wait for this adapter, the one that is being answered included."""
    return lambda: rounds_of(adapter).waiting == count  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool]) -> bool:
    return any(condition() or threading.Event().wait(0.002) for _ in range(5000))


def threads(count: int, work: Callable[[int], None]) -> list[threading.Thread]:
    made = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in made:
        thread.start()
    return made


def test_those_that_wait_are_answered_together_and_in_their_own_order() -> None:
    gate, found = Gate(), {}

    def work(i: int) -> None:
        found[i] = ask(gate.adapter, [Prefix([i, j]) for j in range(i % 3 + 1)])

    started = threads(1, work)
    assert gate.entered.wait(20)
    started += threads(6, lambda i: work(i + 1))
    assert eventually(waiting(gate.adapter, 7))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    assert gate.batches[0] == 1 and sum(gate.batches[1:]) == sum(i % 3 + 1 for i in range(1, 7))
    assert len(gate.batches) == 2
    for i, answers in found.items():
        expected = table().predict([Prefix([i, j]) for j in range(i % 3 + 1)])
        assert [answer.scores.tolist() for answer in answers] == [each.scores.tolist() for each in expected]


def test_a_question_that_the_adapter_cannot_take_fails_alone() -> None:
    def fault(prefixes: Sequence[Prefix]) -> None:
        if Prefix([3]) in prefixes:
            raise ContextOverflow("three is too much")

    gate, found = Gate(fault), {}

    def work(i: int) -> None:
        try:
            found[i] = ask(gate.adapter, [Prefix([i])])[0]
        except ContextOverflow as error:
            found[i] = error

    started = threads(1, work)
    assert gate.entered.wait(20)
    started += threads(4, lambda i: work(i + 1))
    assert eventually(waiting(gate.adapter, 5))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    assert isinstance(found.pop(3), ContextOverflow) and sorted(found) == [0, 1, 2, 4]
    assert all(not isinstance(answer, Exception) for answer in found.values())


def test_a_round_has_no_more_rows_than_the_adapter_serves_well_and_the_urgent_go_first() -> None:
    gate = Gate(concurrency=2)
    order: list[int] = []

    def work(i: int) -> None:
        ask(gate.adapter, [Prefix([i])], priority=int(i == 4))
        order.append(i)

    started = threads(1, work)
    assert gate.entered.wait(20)
    for i in range(1, 5):
        started += threads(1, lambda _, i=i: work(i))
        assert eventually(waiting(gate.adapter, i + 1))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    assert gate.batches == [1, 2, 2]
    assert [prefix.token_ids[0] for prefixes, _ in gate.adapter.asked for prefix in prefixes] == [0, 4, 1, 2, 3]


def test_a_caller_that_is_out_of_time_leaves_and_the_round_goes_on() -> None:
    gate = Gate()
    first = threads(1, lambda _: ask(gate.adapter, [Prefix([1])]) and None)
    assert gate.entered.wait(20)
    with pytest.raises(OutOfTime):
        ask(gate.adapter, [Prefix([2])], until=0.0)
    gate.opened.set()
    first[0].join(20)
    assert len(ask(gate.adapter, [Prefix([3])])) == 1 and gate.batches == [1, 1]


def test_tasks_share_calls_with_threads_and_a_cancelled_one_leaves() -> None:
    gate = Gate()

    async def main() -> list[object]:
        first = threads(1, lambda _: ask(gate.adapter, [Prefix([0])]) and None)
        assert await asyncio.to_thread(gate.entered.wait, 20)
        tasks = [asyncio.create_task(ask_from_task(gate.adapter, [Prefix([i])], [CHEAP])) for i in range(1, 5)]
        assert await asyncio.to_thread(eventually, waiting(gate.adapter, 5))
        tasks[0].cancel()
        assert await asyncio.to_thread(eventually, waiting(gate.adapter, 4))
        gate.opened.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        first[0].join(20)
        return found

    found = asyncio.run(main())
    assert isinstance(found[0], asyncio.CancelledError) and gate.batches == [1, 3]
    for i, answers in enumerate(found[1:], 2):
        assert answers[0].scores.tolist() == table().predict([Prefix([i])])[0].scores.tolist()  # type: ignore[index]


def test_an_error_reaches_the_task_that_asked() -> None:
    adapter = Around(table(), lambda *_: 1 / 0)
    with pytest.raises(AdapterError, match="ZeroDivisionError"):
        asyncio.run(ask_from_task(adapter, [Prefix([1])], [CHEAP]))


@pytest.mark.parametrize("others", [0, 1])
def test_an_interrupt_anywhere_in_a_round_stops_only_its_caller(others: int) -> None:
    """Alone, and while another caller is being answered."""

    def action(shared: Rounds) -> None:
        shared.ask(table(), [Prefix([1])], [CHEAP])

    def rounds_with_others() -> tuple[Rounds, list[threading.Thread]]:
        entered = Bell()

        def predict(adapter: object, prefixes: Sequence[Prefix], needs: Sequence[Disclosure]) -> list[object]:
            entered.ring()
            if Prefix([9]) in prefixes:  # until the caller waits, if it comes so far
                any(shared.waiting > 1 or time.sleep(0.002) for _ in range(10))
            return table().predict(prefixes, needs)  # type: ignore[return-value]

        shared = Rounds(predict)  # type: ignore[arg-type]
        started = threads(others, lambda _: shared.ask(table(), [Prefix([9])], [CHEAP]) and None)
        assert not others or entered.heard(20)
        return shared, started

    files = {rounds.__file__, question.__file__, decodekit.threads.__file__, threading.__file__}
    first, _ = rounds_with_others()
    total = count_opcodes(lambda: action(first), files, LOOKS)
    assert total > (2, 25)[others]
    for at in range(total):
        shared, started = rounds_with_others()
        interrupt(lambda shared=shared: action(shared), files, at, LOOKS)
        answers: list[object] = []
        started += threads(
            1, lambda _, shared=shared, answers=answers: answers.extend(shared.ask(table(), [Prefix([2])], [CHEAP]))
        )
        for thread in started:
            thread.join(5)
        assert len(answers) == 1 and not any(thread.is_alive() for thread in started), at


def test_sessions_in_threads_have_the_tokens_that_each_has_alone() -> None:
    adapter, found, seeds = Around(table(), plain), {}, range(8)

    def work(seed: int) -> None:
        found[seed] = Session(adapter, seed=seed).generate([seed], max_tokens=12).token_ids

    for thread in threads(len(seeds), work):
        thread.join(20)
    assert found == {seed: Session(table(), seed=seed).generate([seed], max_tokens=12).token_ids for seed in seeds}


def test_a_caller_that_leads_for_others_still_leaves_in_time() -> None:
    """A round has room for one, and whenever an urgent one is answered the next is there already."""
    over, urgent = threading.Event(), list[threading.Thread]()

    def next_urgent(_: Sequence[Prefix]) -> None:
        if not over.is_set() and len(urgent) < 2000:
            before = rounds_of(gate.adapter).waiting
            urgent.extend(threads(1, lambda _: ask(gate.adapter, [Prefix([1])], priority=1000) and None))
            assert eventually(waiting(gate.adapter, before + 1))

    gate, ends = Gate(next_urgent, concurrency=1), list[type]()

    def last(_: int) -> None:
        try:
            ask(gate.adapter, [Prefix([2])], until=time.monotonic() + 0.1, priority=-1000)
        except OutOfTime:
            ends.append(OutOfTime)
        over.set()

    started = threads(1, lambda _: ask(gate.adapter, [Prefix([0])]) and None)
    assert gate.entered.wait(20)
    started += threads(1, last)
    assert eventually(waiting(gate.adapter, 2))
    gate.opened.set()
    for thread in started:
        thread.join(20)
    for thread in urgent:
        thread.join(20)
    assert ends == [OutOfTime] and len(urgent) < 2000


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, KeyboardInterrupt])
def test_no_error_ends_the_thread_that_drives_for_tasks(error: type[BaseException]) -> None:
    """Even one that is no `Exception` reaches the task that asked, and the others are answered."""

    def act(inner, prefixes, wanted):
        if Prefix([1]) in prefixes:
            raise error("from the model")
        return inner.predict(prefixes, wanted)

    adapter = Around(table(), act)

    async def asked(i: int) -> object:
        try:
            return await ask_from_task(adapter, [Prefix([i])], [CHEAP])
        except BaseException as raised:
            return raised

    async def main() -> list[object]:
        async with asyncio.timeout(20):
            return [await asked(1), *await asyncio.gather(*map(asked, range(4)))]

    first, *found = asyncio.run(main())
    assert isinstance(first, AdapterError if error is asyncio.CancelledError else error)
    failed = [i for i, each in enumerate(found) if isinstance(each, BaseException)]
    assert 1 in failed and len(failed) <= 2  # whoever's thread it was learns of it too


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda answers: answers[:-1], "gave . answers to . prefixes"),
        (lambda answers: answers * 2, "gave . answers to . prefixes"),
        (lambda _: None, "answered with None, "),
        (lambda answers: ["a", *answers[1:]], "answered with str"),
    ],
)
def test_a_wrong_answer_is_an_error_of_the_question_that_it_answers(answer, message: str) -> None:
    """The others, which were in the same call, are asked again."""

    def act(inner, prefixes, wanted):
        answers = inner.predict(prefixes, wanted)
        return answer(answers) if Prefix([1]) in prefixes else answers

    adapter = Around(table(), act)

    async def main() -> list[object]:
        calls = (ask_from_task(adapter, [Prefix([i])], [CHEAP]) for i in (1, 0, 2, 3))
        return await asyncio.gather(*calls, return_exceptions=True)

    failed, *found = asyncio.run(main())
    error = failed if isinstance(failed, Exception) else failed[0]  # type: ignore[index]
    assert isinstance(error, AdapterError)
    assert re.search(message, str(error))
    for i, answers in zip((0, 2, 3), found, strict=True):
        assert answers[0].scores.tolist() == table().predict([Prefix([i])])[0].scores.tolist()  # type: ignore[index]


def test_callers_with_a_deadline_do_not_wait_for_a_model_that_hangs() -> None:
    gate = Gate()
    first = threads(1, lambda _: ask(gate.adapter, [Prefix([0])]) and None)
    assert gate.entered.wait(20)

    async def main() -> list[object]:
        until = time.monotonic() + 0.05
        calls = (ask_from_task(gate.adapter, [Prefix([i])], [CHEAP], until=until) for i in range(3))
        found = await asyncio.gather(*calls, return_exceptions=True)
        gate.opened.set()  # the worker thread of this loop still waits for it
        return found

    found = asyncio.run(main())
    assert [type(each) for each in found] == [OutOfTime] * 3
    first[0].join(20)
    assert waiting(gate.adapter, 0)()
