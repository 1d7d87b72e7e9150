"""Making the units of a sweep that are not there yet, and checking their texts meanwhile."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

from decodekit.analysis.check_running import Checked, started
from decodekit.analysis.checks import Check
from decodekit.analysis.sweep_folder import FORMAT, SweepFolder
from decodekit.analysis.units import Task, Unit
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


class Checks:
    """Checks texts in a thread, so that the model does not wait.

    Args:
        check: the check; None for none.
        deadline: seconds for one text.
        out: gets a row for each.

    Attributes:
        said: what was said, by the key of the sample.

    Raises:
        ConfigError: the check cannot be loaded.
    """

    def __init__(self, check: Check | None, deadline: float, out: Output) -> None:
        self.said: dict[str, Checked] = {}
        self._check, self._out = check, out
        self._checker = None if check is None else started(check, deadline)
        self._thread = ThreadPoolExecutor(1, "decodekit-checks")
        self._failed: list[BaseException] = []

    def add(self, key: str, text: str, answer: Any) -> None:
        """Check this text when it is its turn."""
        if self._failed:
            raise self._failed[0]
        if self._checker is not None:
            self._thread.submit(self._do, key, text, answer)

    def finish(self) -> None:
        """Wait until all are checked. Raises `OutError` if a row could not be written."""
        self._thread.shutdown()
        if self._failed:
            raise self._failed[0]

    def _do(self, key: str, text: str, answer: Any) -> None:
        assert self._checker is not None and self._check is not None
        try:
            said = self._checker.check(text, answer)
            self.said[key] = said
            facts = {"value": said.value, "vote": said.vote, "error": said.error}
            row = {"key": key, "check": self._check.identity, "answer": answer}
            if self._check.identity is not None:
                self._out.write(row | {name: value for name, value in facts.items() if value is not None})
        except BaseException as error:
            self._failed.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._checker is not None:
            self._checker.close()


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
