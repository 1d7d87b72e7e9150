"""Callers that one round answers draw together; each is recorded as if it were alone."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from decodekit import CHEAP, AsyncSession, Context, Distribution, DistributionError, PluginError, Session, processor
from decodekit.model.asking import rounds_of
from decodekit.model.company import Company
from decodekit.session import together
from tests.session.conftest import V, wide
from tests.session.test_together import Heads, lines

CALLERS = 8
CHAINS: list[Any] = [  # texts, so that each call makes a chain of its own
    "top_k=9 top_p=0.9 min_p=0.02 temperature=0.8",
    "top_k=9 top_p=0.9",
    "temperature=1.3 greedy",
    "mirostat_v2=3.0",
    "top_p=0.9 repetition_penalty=1.2",
]


class Gathers(Heads):
    """Its first answer comes when all callers have asked, so that the next round has them all."""

    begun = False

    def predict(self, prefixes: Any, disclose: Any = CHEAP) -> list[Any]:
        if not self.begun:
            self.begun, until = True, time.monotonic() + 30
            while rounds_of(self).crowd < CALLERS and time.monotonic() < until:
                time.sleep(0.0005)
        return super().predict(prefixes, disclose)


def call(i: int, folder: Path, level: Any) -> dict[str, Any]:
    return {
        "chain": CHAINS[i % len(CHAINS)],
        "seed": 1 + i % 2,
        "stream": i,
        "max_tokens": 4 + i % 3,
        "level": level,
        "trace": folder / f"{i}.jsonl",
    }


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were drawn at once, each time."""
    found: list[int] = []

    def counting(rows: Any) -> Any:
        found.append(len(rows))
        return original(rows)

    original = together.draw_rows
    monkeypatch.setattr(together, "draw_rows", counting)
    return found


async def in_tasks(session: AsyncSession, calls: list[dict[str, Any]]) -> list[Any]:
    return await asyncio.gather(*(session.generate([3], **each) for each in calls), return_exceptions=True)


def alone(folder: Path, level: Any) -> dict[Any, Any]:
    folder.mkdir()
    expected: dict[Any, Any] = {}
    for i in range(CALLERS):
        Session(Heads(wide, V)).generate([3], **call(i, folder, level))
        expected |= lines(folder / f"{i}.jsonl")
    return expected


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
@pytest.mark.parametrize("way", ["tasks", "threads"])
def test_calls_with_chains_of_their_own_record_what_each_records_alone(
    tmp_path: Path, level: Any, way: str, sizes: list[int]
) -> None:
    calls = [call(i, tmp_path, level) for i in range(CALLERS)]
    adapter = Gathers(wide, V)
    if way == "tasks":
        asyncio.run(in_tasks(AsyncSession(adapter), calls))
        assert max(sizes) >= CALLERS - 1
    else:
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda each: Session(adapter).generate([3], **each), calls))
    found: dict[Any, Any] = {}
    for i in range(CALLERS):
        found |= lines(tmp_path / f"{i}.jsonl")
    assert len(found) == sum(each["max_tokens"] for each in calls)
    assert found == alone(tmp_path / "alone", level)


def test_a_function_of_the_users_runs_for_its_own_caller_only(tmp_path: Path, sizes: list[int]) -> None:
    """It may be slow or hang, and its neighbours have deadlines."""
    running: dict[str, str] = {}

    def own(dist: Distribution, ctx: Context) -> Distribution:
        task = asyncio.current_task()
        assert task is not None
        running[str(ctx.metadata["name"])] = task.get_name()
        return dist

    async def main() -> None:
        session, tasks = AsyncSession(Heads(wide, V)), []
        for name in ("a", "b", "c"):
            called = session.generate([3], chain=[own], seed=1, max_tokens=3, metadata={"name": name})
            tasks.append(asyncio.create_task(called, name=name))  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(session.generate([3], chain="top_k=3", max_tokens=3)))  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(session.generate([3], chain="top_k=4", max_tokens=3)))  # type: ignore[arg-type]
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert running == {name: name for name in "abc"}
    assert set(sizes) <= {2}


def test_a_row_that_fails_ends_its_own_call_with_its_own_error(tmp_path: Path) -> None:
    calls = [call(i, tmp_path, "proof") for i in range(CALLERS)]
    last = int(wide([3]).argmin())
    calls[2] = {
        "chain": [processor("top_k", top_k=3), processor("allowed_tokens", allowed_tokens=[last])],
        "max_tokens": 3,
        "level": "proof",
    }
    ends = asyncio.run(in_tasks(AsyncSession(Heads(wide, V)), calls))
    for i, end in enumerate(ends):
        if i == 2:
            assert isinstance(end, DistributionError) and end.step == 0 and "allowed_tokens" in str(end)
        else:
            solo = Session(Heads(wide, V)).generate([3], **{**calls[i], "trace": None})
            assert end.token_ids == solo.token_ids


def test_an_error_nobody_expects_leaves_each_to_draw_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rows: Any) -> Any:
        raise MemoryError("too many rows")

    calls = [call(i, tmp_path, "proof") for i in range(CALLERS)]
    with monkeypatch.context() as patch:
        patch.setattr(together, "draw_rows", broken)
        ends = asyncio.run(in_tasks(AsyncSession(Heads(wide, V)), calls))
    for each, end in zip(calls, ends, strict=True):
        assert end.token_ids == Session(Heads(wide, V)).generate([3], **{**each, "trace": None}).token_ids


def test_an_interrupt_while_one_makes_for_all_leaves_it_to_the_next() -> None:
    company, made = Company(), []
    one, other = object(), object()
    company.add(one, [])
    company.add(other, [])

    def make(members: Any) -> list[str]:
        made.append(len(members))
        if len(made) == 1:
            raise KeyboardInterrupt
        return ["for one", "for other"]

    with pytest.raises(KeyboardInterrupt):
        company.made_for(one, make)
    assert company.made_for(other, make) == "for other"
    assert company.made_for(one, make) == "for one"
    assert made == [2, 2]


def test_what_is_made_for_all_is_made_once_by_whichever_thread_comes_first() -> None:
    company, callers, made = Company(), [object() for _ in range(16)], []
    for caller in callers:
        company.add(caller, [])
    start = threading.Barrier(16)

    def make(members: Any) -> list[int]:
        made.append(1)
        return list(range(16))

    def take(caller: object) -> Any:
        start.wait()
        return company.made_for(caller, make)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(take, callers)) == list(range(16))
    assert made == [1]


def test_a_plugin_that_fails_for_a_neighbour_is_its_own_plugin_error() -> None:
    def failing(dist: Distribution, ctx: Context) -> Distribution:
        raise ValueError("this one")

    calls = [{"chain": "top_k=3", "max_tokens": 3}, {"chain": [failing], "max_tokens": 3}]
    well, ill = asyncio.run(in_tasks(AsyncSession(Heads(wide, V)), calls))
    assert len(well.token_ids) == 3 and isinstance(ill, PluginError)
