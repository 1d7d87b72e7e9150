"""From a trace file to a Parquet table, and a part of either as a smaller table or as rows. All of it is streamed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decodekit.errors import ConfigError, TraceError
from decodekit.trace.codec import to_line
from decodekit.trace.columns import pyarrow
from decodekit.trace.new_file import NewFile
from decodekit.trace.plain_values import plain_value
from decodekit.trace.table_file import TableFile
from decodekit.trace.tables import Steps, TraceSteps, is_table, open_steps
from decodekit.types import PathLike

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Part", "convert", "slice_trace"]


@dataclass(frozen=True, slots=True)
class Part:
    """Which steps of a trace.

    Args:
        streams: of these sequences; None for all.
        first: from this number of tokens before the step.
        end: up to the step before this one; None for no end.
    """

    streams: Collection[int] | None = None
    first: int = 0
    end: int | None = None

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """These steps of a batch."""
        from pyarrow import compute

        pa = pyarrow()
        kept = compute.greater_equal(batch.column("step"), self.first)
        if self.end is not None:
            kept = compute.and_(kept, compute.less(batch.column("step"), self.end))
        if self.streams is not None:
            streams = pa.array(sorted(self.streams), pa.uint64())
            kept = compute.and_(kept, compute.is_in(batch.column("stream"), value_set=streams))
        return batch.filter(kept)

    def note(self) -> bytes:
        """As JSON, for the metadata of a table."""
        streams = None if self.streams is None else sorted(self.streams)
        return to_line({"streams": streams, "first": self.first, "end": self.end})


def convert(source: PathLike, target: PathLike) -> int:
    """Write a trace file as a new Parquet table, with the columns of `decodekit.trace.parquet.Parquet`.

    Returns:
        the number of steps.

    Raises:
        ConfigError: pyarrow is not installed; or the source is no trace file, or the target's name not that of a table.
        TraceError: the source cannot be read to its end, or the target exists or cannot be written; then no file is
            left.
    """
    if is_table(source):
        raise ConfigError(
            f"{os.fspath(source)} is a table already, and no trace can be made of one: scores and lists are rounded to "
            "32 bits there, so nothing could be proved. Its rows as JSON: decodekit trace slice"
        )
    if not _names_table(target):
        raise ConfigError(f"a trace is converted to a Parquet table; {os.fspath(target)!r} must end in .parquet")
    steps = TraceSteps(source)
    return _write_table(steps, target, None)


def slice_trace(source: PathLike, target: PathLike, part: Part) -> int:
    """Write some steps of a trace file or a table.

    A part of a run is no run: its digests would be of a file that nobody recorded. So it is not a trace. It is a table
    that names the part in its metadata (``decodekit.slice``) and has no ends; or, if the target's name does not end in
    ``.parquet``, rows as JSON Lines, whose keys are the columns.

    Returns:
        the number of steps.

    Raises:
        ConfigError: pyarrow is not installed; or the run has no such stream, or no step of this part; or the target's
            name is that of a table in another form.
        TraceError: the source cannot be read to its end, or the target exists or cannot be written; then no file is
            left.
    """
    if not _names_table(target) and Path(target).suffix.lower() in (".csv", ".tsv", ".xlsx"):
        raise ConfigError(
            f"{os.fspath(target)!r}: a slice is a Parquet table (.parquet) or rows as JSON Lines (any other name, "
            "such as .rows); for comma-separated values: decodekit trace query --csv"
        )
    steps = open_steps(source)
    known = {stream for stream, _ in steps.header.sequences}
    unknown = sorted(set(part.streams or ()) - known)
    if unknown:
        raise ConfigError(f"{os.fspath(source)} has no stream {unknown[0]}; it has {_listed(sorted(known))}")
    return _write_table(steps, target, part) if _names_table(target) else _write_rows(steps, target, part)


def _write_table(steps: Steps, target: PathLike, part: Part | None) -> int:
    of, count = steps.schema, 0
    if part is not None:
        of = of.with_metadata({**(of.metadata or {}), b"decodekit.slice": part.note()})
    file = TableFile(target, of)
    try:
        for batch in steps.batches():
            kept = batch if part is None else part.of(batch)
            if kept.num_rows:
                file.add(kept if part is None else kept.replace_schema_metadata(of.metadata))
                count += kept.num_rows
        if part is not None:
            _require_steps(count, part)
        ends = steps.ends() if part is None else None
        file.publish({} if ends is None else {"decodekit.ends": ends})
    finally:
        file.discard()
    return count


def _write_rows(steps: Steps, target: PathLike, part: Part) -> int:
    count = 0
    with _new_lines(target) as write:
        for batch in steps.batches():
            for row in part.of(batch).to_pylist():
                write(to_line(plain_value(row)) + b"\n")
                count += 1
        _require_steps(count, part)
    return count


def _require_steps(count: int, part: Part) -> None:
    if not count:
        end = "" if part.end is None else part.end
        raise ConfigError(f"no sequence has a step of {part.first}:{end}, so there is nothing to write")


@contextmanager
def _new_lines(target: PathLike) -> Iterator[Any]:
    """A function that adds bytes to a new file, which has its name only after this block."""
    file = NewFile(target)
    try:
        with file.typed():
            opened = file.draft.open("wb")
        try:

            def write(data: bytes) -> None:
                with file.typed():
                    opened.write(data)

            yield write
            with file.typed():
                opened.close()
        finally:
            with suppress(OSError):  # what is left cannot be written either, and the first error says why
                opened.close()
        file.publish()
    finally:
        file.discard()


def _names_table(target: PathLike) -> bool:
    try:
        return Path(target).suffix.lower() == ".parquet"
    except TypeError:
        raise TraceError(f"a file is written to a path, not to {type(target).__name__}") from None


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
