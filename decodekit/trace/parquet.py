"""A trace as a Parquet file, one row per step, for analysis with other tools. Extra: ``parquet``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from decodekit.draw.whole import whole
from decodekit.errors import TraceError, message_of
from decodekit.trace.columns import BATCH, DELTA, DICTIONARIES, SPLIT, batch, ends_of, pyarrow, run_of, schema
from decodekit.trace.header import Header, Resumption, SequenceEnd
from decodekit.trace.new_file import NewFile
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["Parquet", "write_parquet"]

_BATCH_BYTES = 32 * 2**20  # of evidence; a step of an untruncated draw has up to 2,048 scores, and of a head any number


class Parquet:
    """A Parquet file, for analysis: a table of steps whose columns docs/traces.md describes.

    It is no proof: scores and the lists are rounded to 32 bits. Give a path of JSON Lines beside it
    (``trace=["run.jsonl", "run.parquet"]``) where the run must be proved, replayed or resumed.

    Steps are collected and written in another thread. The file has its name when the run has ended, also by an error or
    an interrupt. A killed process leaves no such file, and the steps are then only in the other sinks. The end of
    a run waits for its last steps, at most 1,024, and for the disk; an event loop waits too.

    Args:
        parquet: the file; it must not exist.
        row_group: steps in each row group, from 4,096 to 65,536. More make a smaller file, fewer a faster search.

    Raises:
        ConfigError: when a run begins: pyarrow is not installed.
        TraceError: the file exists, or cannot be written.
    """

    def __init__(self, *, parquet: PathLike, row_group: int = 16384) -> None:
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
        pa = pyarrow()
        from pyarrow import parquet

        self._path, self._run, self._schema = path, run_of(header), schema(header)
        self._table, self._row_group = pa.Table, row_group
        self._steps: list[Step] = []
        self._bytes = 0
        self._written = 0
        self._batches: list[Any] = []  # of the next row group; the thread's own
        self._file = NewFile(path)
        try:
            with self._file.typed():
                self._parquet = parquet.ParquetWriter(
                    str(self._file.draft),
                    self._schema,
                    compression="zstd",
                    use_dictionary=list(DICTIONARIES),
                    column_encoding=dict.fromkeys(SPLIT, "BYTE_STREAM_SPLIT")
                    | dict.fromkeys(DELTA, "DELTA_BINARY_PACKED"),
                    write_page_index=True,
                )
        except BaseException:
            self._file.discard()
            raise
        self._thread = ThreadPoolExecutor(1, "decodekit-parquet")
        self._busy: Future[None] | None = None

    def write(self, step: Step) -> None:
        """Collect one step. The last one always waits here: `close` may have to leave it out."""
        if len(self._steps) >= BATCH or self._bytes >= _BATCH_BYTES:
            self._hand_over(self._steps)
            self._steps, self._bytes = [], 0
        self._steps.append(step if step.row is None else replace(step, row=None))
        self._bytes += 0 if step.evidence is None else step.evidence.scores.nbytes

    def resumed(self, resumption: Resumption) -> None:
        """A table of steps has no place for it."""

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        """Write the rest, and give the file its name."""
        total = sum(end.tokens for end in ends)
        self._steps = self._steps[: max(0, total - self._written)]
        self.finish(ends)

    def finish(self, ends: Sequence[SequenceEnd] | None) -> None:
        """As `close`, with all steps; no ends are written where there are None."""
        try:
            self._hand_over(self._steps)
            self._wait()
            self._raising(lambda: self._end(ends))
            self._file.publish()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is not published."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        with suppress(Exception):
            self._parquet.close()
        self._file.discard()

    def _hand_over(self, steps: Sequence[Step]) -> None:
        self._wait()
        self._written += len(steps)
        self._busy = self._thread.submit(self._add, steps)

    def _wait(self) -> None:
        if self._busy is not None:
            busy, self._busy = self._busy, None
            self._raising(busy.result)

    def _raising(self, act: Any) -> None:
        try:
            with self._file.typed():
                act()
        except TraceError:
            raise
        except Exception as error:  # of pyarrow, which has its own
            raise TraceError(f"cannot write {self._path}: {message_of(error)}", step=self._written) from error

    def _add(self, steps: Sequence[Step]) -> None:
        """In the thread: make columns, and write a row group when there are enough."""
        if steps:
            self._batches.append(batch(steps, self._run, self._schema))
        if sum(each.num_rows for each in self._batches) >= self._row_group:
            self._flush()

    def _flush(self) -> None:
        if self._batches:
            self._parquet.write_table(self._table.from_batches(self._batches), row_group_size=self._row_group)
            self._batches = []

    def _end(self, ends: Sequence[SequenceEnd] | None) -> None:
        self._flush()
        if ends is not None:
            self._parquet.add_key_value_metadata({"decodekit.ends": ends_of(ends)})
        self._parquet.close()


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
