"""Making the units of a sweep that are not there yet, and checking their texts meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Self

from decodekit.analysis.sweeps.check_running import Checked, Checker, started
from decodekit.analysis.sweeps.checks import Check
from decodekit.analysis.sweeps.folder import FORMAT, SweepFolder
from decodekit.analysis.sweeps.units import Task, Unit
from decodekit.chain import Chain
from decodekit.errors import DecodekitError, message_of
from decodekit.session import Result, Session
from decodekit.session.blocking import begun
from decodekit.session.completed import as_completed
from decodekit.session.options import GenerationKeywords
from decodekit.session.progress import Progress, ProgressCallback
from decodekit.session.prompts import as_prefix
from decodekit.session.row_file import RowFile

__all__ = ["Checks", "Output", "made"]

_AT_ONCE = 4096  # sequences of one run: their outcomes are kept until it ends


class Output:
    """The file of one worker, made for its first row; without a folder nothing is written. Threads may share it.

    Args:
        folder: where it lies.
        label: the beginning of its name.
    """

    def __init__(self, folder: SweepFolder | None, label: str) -> None:
        self._folder, self._label = folder, label
        self._file: RowFile | None = None
        self._one = threading.Lock()

    def write(self, row: dict[str, Any]) -> None:
        """Append a row. Raises `OutError` if it cannot be written."""
        with self._one:
            if self._folder is not None and self._file is None:
                self._file = self._folder.append(self._label)
            if self._file is not None:
                self._file.write({"format": FORMAT, **row})

    def close(self) -> None:
        """End it."""
        if self._file is not None:
            self._file.__exit__()


def _processes() -> int:
    """How many processes check: half of the cores, so that a deadline is not missed for want of one; at most 4."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


class Checks:
    """Checks texts in threads, so that the model does not wait.

    A check that has processes of its own (see the module `check_running`) has several of them, each for one
    text at a time; a second one starts when a text waits. Other checks run one at a time.

    Args:
        check: the check; None for none.
        deadline: seconds for one text.
        out: gets a row for each.
        processes: how many at most.

    Attributes:
        said: what was said, by the key of the sample.

    Raises:
        ConfigError: the check cannot be loaded.
    """

    def __init__(self, check: Check | None, deadline: float, out: Output, processes: int | None = None) -> None:
        self.said: dict[str, Checked] = {}
        self._check, self._deadline, self._out = check, deadline, out
        self._started: list[Checker] = []
        self._free: SimpleQueue[Checker] = SimpleQueue()
        several = check is not None and check.spec is not None
        self._threads = ThreadPoolExecutor((processes or _processes()) if several else 1, "decodekit-checks")
        if check is not None:
            self._free.put(self._start(check))
        self._failed: list[BaseException] = []

    def add(self, key: str, text: str, answer: Any) -> None:
        """Check this text when it is its turn."""
        if self._failed:
            raise self._failed[0]
        if self._check is not None:
            self._threads.submit(self._do, self._check, key, text, answer)

    def finish(self) -> None:
        """Wait until all are checked. Raises `OutError` if a row could not be written."""
        self._threads.shutdown()
        if self._failed:
            raise self._failed[0]

    def _start(self, check: Check) -> Checker:
        checker = started(check, self._deadline)
        self._started.append(checker)
        return checker

    def _do(self, check: Check, key: str, text: str, answer: Any) -> None:
        try:
            try:
                checker = self._free.get_nowait()
            except Empty:  # all of them are at work: one more, of which each thread has at most one
                checker = self._start(check)
            said = checker.check(text, answer)
            self._free.put(checker)
            self.said[key] = said
            facts = {"value": said.value, "vote": said.vote, "error": said.error}
            row = {"key": key, "check": check.identity, "answer": answer}
            if check.identity is not None:
                self._out.write(row | {name: value for name, value in facts.items() if value is not None})
        except BaseException as error:
            self._failed.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for checker in self._started:
            checker.close()


@dataclass
class _Told:
    """Calls the caller's ``progress``."""

    progress: ProgressCallback | None
    total: int
    done: int
    tokens: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._begun = time.monotonic()

    def take(self, row: dict[str, Any]) -> None:
        self.done += 1
        self.tokens += len(row.get("token_ids", ()))
        self.failed += "error" in row
        if self.progress is not None:
            spent = time.monotonic() - self._begun
            self.progress(Progress(self.done, self.total, self.tokens, self.failed, spent))


def made(
    session: Session,
    tasks: Sequence[Task],
    chains: Sequence[tuple[str, Chain]],
    units: Sequence[Unit],
    seed: int,
    options: GenerationKeywords,
    progress: tuple[ProgressCallback | None, int, int],
) -> Iterator[tuple[Unit, dict[str, Any]]]:
    """Each unit with its row, as soon as it has ended; the row has an ``error`` where it failed.

    Args:
        session: the model.
        tasks, chains: of the sweep; chains with their names.
        units: those to make.
        seed: of the sweep.
        options: of the calls.
        progress: a function, how many units this worker has, and how many of them were there before.

    Raises:
        DecodekitError: what concerns all units: an option that this model cannot have.
    """
    told = _Told(*progress)
    for group in _groups(units):
        by_stream = {unit.stream: unit for unit in group}
        for result in _results(session, tasks, chains[group[0].chain][1], group, seed, options):
            unit = by_stream.pop(result.stream)
            row = _row(unit, tasks[unit.task], chains[unit.chain][0], seed, result)
            yield unit, row
            told.take(row)


def _groups(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Units that one run can make: of one chain, with as many samples of each prompt, and different streams."""
    waiting: dict[tuple[int, int], list[Unit]] = defaultdict(list)  # by chain and task
    for unit in units:
        waiting[unit.chain, unit.task].append(unit)
    open_groups: dict[tuple[int, int], list[Unit]] = defaultdict(list)
    streams: dict[tuple[int, int], set[int]] = defaultdict(set)
    for (chain, _), all_own in waiting.items():
        for start in range(0, len(all_own), _AT_ONCE):
            own = all_own[start : start + _AT_ONCE]
            kind = (chain, len(own))
            new = {unit.stream for unit in own}
            if open_groups[kind] and (len(open_groups[kind]) + len(own) > _AT_ONCE or new & streams[kind]):
                yield open_groups.pop(kind)
                del streams[kind]
            open_groups[kind] += own
            streams[kind] |= new
    yield from open_groups.values()


def _results(
    session: Session, tasks: Sequence[Task], chain: Chain, group: list[Unit], seed: int, options: GenerationKeywords
) -> Iterator[Result | _Refused]:
    """The results of one run; a prompt that this model cannot have costs its own units only."""
    given = session.options_of({**options, "chain": chain, "seed": seed, "level": "none"})
    settings = session.settings_of(given)
    indices = list(dict.fromkeys(unit.task for unit in group))
    try:
        run = begun(settings, [tasks[at].prompt for at in indices], [unit.stream for unit in group], given)
    except DecodekitError:
        faults = {at: fault for at in indices if (fault := _fault(session, tasks[at], at)) is not None}
        if not faults:
            raise
        yield from (_Refused(unit.stream, faults[unit.task]) for unit in group if unit.task in faults)
        others = [unit for unit in group if unit.task not in faults]
        if others:
            yield from _results(session, tasks, chain, others, seed, options)
        return
    yield from as_completed(run)


def _fault(session: Session, task: Task, index: int) -> DecodekitError | None:
    """Why this is no prompt for this model."""
    try:
        as_prefix(session.adapter, task.prompt, index)
        return None
    except DecodekitError as error:
        return error


@dataclass
class _Refused:
    """A unit whose prompt is no prompt for this model."""

    stream: int
    error: DecodekitError


def _row(unit: Unit, task: Task, chain: str, seed: int, result: Result | _Refused) -> dict[str, Any]:
    row: dict[str, Any] = {"key": unit.key} | ({} if task.label is None else {"id": task.label})
    row |= {"prompt": task.prompt_data(), "chain": chain, "sample": unit.sample, "seed": seed, "stream": unit.stream}
    if isinstance(result, Result):
        row |= {"text": result.text, "token_ids": list(result.token_ids), "finish_reason": result.finish_reason}
    if result.error is not None:
        row["error"] = message_of(result.error)
    return row
