"""Which run an event belongs to: of threads, tasks, interleaved generators, and rounds that are shared."""

from __future__ import annotations

import ast
import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from decodekit import AsyncSession, Disclosure, Session, Undisclosed
from decodekit.log import asking_runs, get_logger
from tests.session.conftest import Around, table

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def events() -> Iterator[list[Any]]:
    structlog.configure()
    try:
        with capture_logs() as events:
            yield events
    finally:
        structlog.reset_defaults()


def talking() -> Around:
    """An adapter that logs while it answers."""

    def predict(inner: Any, prefixes: Any, wanted: Any) -> Any:
        get_logger().info("answering", prefixes=len(prefixes))
        return inner.predict(prefixes, wanted)

    return Around(table(), predict)


def of_one(events: list[Any], run: str) -> list[str]:
    return [event["event"] for event in events if event.get("run") == run]


def test_interleaved_generators_keep_their_runs_apart(events: list[Any]) -> None:
    Context().run(_interleaved, events)  # a new one: a test of interrupts may have left a run in this one


def _interleaved(events: list[Any]) -> None:
    session = Session(talking(), seed=1)
    streams = [session.stream([1], max_tokens=2) for _ in range(2)]
    for _ in range(2):
        for stream in streams:
            next(stream)
            assert asking_runs() == ()  # what the caller does now is of no run
            get_logger().info("the caller's")
    for stream in streams:
        stream.close()
    runs = list(dict.fromkeys(event["run"] for event in events if "run" in event))
    assert len(runs) == 2
    for run in runs:
        assert of_one(events, run) == ["generation started", "answering", "answering", "generation finished"]
    assert [event for event in events if event["event"] == "the caller's" and "run" in event] == []


def test_tasks_keep_their_runs_apart(events: list[Any]) -> None:
    async def main() -> None:
        async with AsyncSession(talking(), seed=1) as session:
            await asyncio.gather(*(session.generate([1], max_tokens=2) for _ in range(3)))

    asyncio.run(main())
    answered = defaultdict(int)
    for event in events:
        if event["event"] == "answering":  # one question may be of several runs
            asked = event["runs"] if "runs" in event else [event["run"]]
            assert len(asked) == event["prefixes"]
            for run in asked:
                answered[run] += 1
    started = {event["run"] for event in events if event["event"] == "generation started"}
    assert dict(answered) == dict.fromkeys(started, 2) and len(started) == 3


def test_threads_that_share_a_round_are_all_named(events: list[Any]) -> None:
    session = Session(talking(), seed=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: session.generate([1], max_tokens=8), range(4)))
    told = [event for event in events if event["event"] == "answering"]
    assert all(len(event["runs"] if "runs" in event else [event["run"]]) == event["prefixes"] for event in told)
    assert sum(event["prefixes"] for event in told) == 32


def test_scoring_is_a_run_of_its_own(events: list[Any]) -> None:
    async def in_task() -> None:
        async with AsyncSession(talking()) as session:
            await session.score([1], [2, 3])
            await session.rank([1], [[2], [3]])

    session = Session(talking())
    session.score([1], [2, 3])
    session.rank([1], [[2], [3]])
    asyncio.run(in_task())
    assert [event for event in events if "run" not in event] == []
    runs = list(dict.fromkeys(event["run"] for event in events))
    assert [of_one(events, run) for run in runs] == [["scoring started", "answering", "scoring finished"]] * 4
    assert [event["tokens"] for event in events if event["event"] == "scoring finished"] == [2, 2, 2, 2]


def test_a_score_that_fails_has_its_last_event_too(events: list[Any]) -> None:
    with pytest.raises(Undisclosed):
        Session(table(most=Disclosure(3))).score([1], list(range(20)))
    assert [event["event"] for event in events] == ["scoring started", "asking for more", "scoring finished"]
    assert len({event["run"] for event in events}) == 1


def test_an_adapters_event_says_its_reason_to_a_plain_formatter(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    with caplog.at_level(logging.INFO, logger="decodekit"):
        Session(talking(), seed=1).generate([1], max_tokens=1)
    (record,) = caplog.records
    assert logging.Formatter("%(message)s").format(record).startswith("answering ")
    assert f"run='{record.run}' adapter='table' seconds=" in record.message and record.message.endswith("prefixes=1")


# Keys that structlog, a processor of it, or the record of the standard library has for itself.
TAKEN = {
    *("event", "level", "log_level", "level_number", "logger", "logger_name", "timestamp", "exception", "exc_info"),
    *("stack_info", "stack", "stacklevel", "stackLevel", "positional_args", "message", "asctime", "severity", "extra"),
    *vars(logging.makeLogRecord({})),
}
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def logged(path: Path) -> Iterator[tuple[int, str]]:
    """The fields of the events that a file logs, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            yield from ((node.lineno, keyword.arg) for keyword in node.keywords if keyword.arg)


def test_no_field_takes_the_key_of_a_severity_or_of_a_record() -> None:
    found = {
        (str(path.relative_to(ROOT)), line, field)
        for folder in ("decodekit", "adapters", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for line, field in logged(path)
    }
    assert len(found) > 30 and {"error", "trace_level"} <= {field for _, _, field in found}
    assert {each for each in found if each[2] in TAKEN | {"run", "adapter", "seconds"}} == set()
