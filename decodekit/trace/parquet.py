"""A trace as a Parquet file, one row per step, for analysis with other tools. Extra: ``parquet``."""

from __future__ import annotations

import os
from collections.abc import Sequence

from decodekit.draw.whole import whole
from decodekit.threads import Job, Worker
from decodekit.trace.collecting import batch, bytes_of
from decodekit.trace.columns import BATCH, BATCH_BYTES, ends_of, run_of, schema, without_row
from decodekit.trace.header import Header, Resumption, SequenceEnd
from decodekit.trace.step import Step
from decodekit.trace.table_file import ROW_GROUP, TableFile
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["Parquet", "write_parquet"]


class Parquet:
    """A Parquet file, for analysis: a table of steps whose columns docs/traces.md describes.

    It is no proof: scores and the lists are rounded to 32 bits. Give a path of JSON Lines beside it
    (``trace=["run.jsonl", "run.parquet"]``) where the run must be proved, replayed or resumed.

    Steps are collected and written in another thread. The file has its name when the run has ended, also by an error or
    an interrupt. A killed process leaves no such file, and the steps are then only in the other sinks. The end of
    a run waits for its last steps, at most 1,024, and for the disk; an event loop waits too.

    Args:
        parquet: the file; it must not exist.
        row_group: steps in each row group, from 4,096 to 65,536; fewer where their columns take 64 MiB. More make a
            smaller file, fewer a faster search.

    Raises:
        ConfigError: when a run begins: pyarrow is not installed.
        TraceError: the file exists, or cannot be written.
    """

    def __init__(self, *, parquet: PathLike, row_group: int = ROW_GROUP) -> None:
        self.path = parquet
        self.row_group = whole(row_group, "row_group", 4096, 65536)

    def __repr__(self) -> str:
        return f"Parquet(parquet={os.fspath(self.path)!r})"

    def open(self, header: Header) -> _ParquetWriter:
        """Begin the file."""
        return _ParquetWriter(self.path, header, self.row_group)


class _ParquetWriter:
    """Collects steps; one thread makes columns of them and writes row groups, one batch behind at most."""

    def __init__(self, path: PathLike, header: Header, row_group: int) -> None:
        self._run, self._schema = run_of(header), schema(header)
        self._steps: list[Step] = []
        self._bytes = 0
        self._ready = 0  # steps that the thread was not told of
        self._written = 0
        self._file = TableFile(path, self._schema, row_group)
        self._thread = Worker("decodekit-parquet")
        self._busy: Job | None = None

    def write(self, step: Step) -> None:
        """Collect one step. The last one always waits here: `close` may have to leave it out."""
        self._steps.append(without_row(step))
        self._ready += 1
        if self._ready > BATCH or (self._bytes >= BATCH_BYTES and self._ready > 1):
            self._wait()
            count, self._bytes = self._ready - 1, 0
            self._busy = self._thread.run(lambda: self._add(min(count, len(self._steps) - 1)))
            self._ready -= count
        self._bytes += bytes_of(step)

    def resumed(self, resumption: Resumption) -> None:
        """A table of steps has no place for it."""

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        """Write the rest, and give the file its name."""
        self._thread.drain()
        del self._steps[max(0, sum(end.tokens for end in ends) - self._written) :]
        self.finish(ends)

    def finish(self, ends: Sequence[SequenceEnd] | None) -> None:
        """As `close`, with all steps; no ends are written where there are None."""
        try:
            self._wait()
            self._thread.run(lambda: self._add(len(self._steps))).result()
            self._file.publish({} if ends is None else {"decodekit.ends": ends_of(ends)})
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is not published."""
        if self._busy is not None:
            self._busy.give_up()
        self._thread.drain()
        self._file.discard()

    def _wait(self) -> None:
        if self._busy is not None:
            self._busy.result()
            self._busy = None

    def _add(self, count: int) -> None:
        """In the thread: make columns of the first steps, and write a row group when there are enough.

        Here they leave the list and are counted, so that an interrupt of the caller loses none.
        """
        steps = self._steps[:count]
        if steps:
            with self._file.typed():
                made = batch(steps, self._run, self._schema)
            self._file.add(made)
            self._written += len(steps)
            del self._steps[: len(steps)]


def write_parquet(trace: Trace, path: PathLike) -> None:
    """Write the steps of a trace to a new Parquet file, with the columns of `Parquet`.

    Args:
        trace: a trace.
        path: the file to write; it must not exist.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: the file exists, or cannot be written.
    """
    writer = Parquet(parquet=path).open(trace.header)
    try:
        for step in trace.steps:
            writer.write(step)
        writer.finish(None if trace.footer is None else trace.footer.ends)
    except BaseException:
        writer.discard()
        raise
