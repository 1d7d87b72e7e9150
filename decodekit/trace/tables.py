"""The steps of any trace as batches of columns: of a trace file, which is read step by step, or of a Parquet table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from decodekit.errors import TraceError, brief, message_of
from decodekit.local.files import open_regular
from decodekit.trace.collecting import batches
from decodekit.trace.columns import (
    BATCH,
    BATCH_BYTES,
    IDS,
    OLDER_SCHEMA,
    SCHEMA,
    ends_of,
    pyarrow,
    run_of,
    schema,
)
from decodekit.trace.header import FORMAT, Header
from decodekit.trace.parsing import parse_header, parse_json
from decodekit.trace.reader import open_trace
from decodekit.types import PathLike

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetSteps", "Steps", "TraceSteps", "is_table", "open_steps"]


class Steps(Protocol):
    """The steps of a file.

    Attributes:
        header: what the run started from.
        schema: of the batches.
    """

    header: Header
    schema: pa.Schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The steps, in bounded memory. Raises `TraceError` for a fault behind them."""

    def ends(self) -> bytes | None:
        """How the sequences ended, as `ends_of`, once all batches were read; None where that is not recorded."""


def is_table(path: PathLike) -> bool:
    """Whether a file begins as a Parquet table does, whatever its name. Raises `TraceError` if it cannot be read."""
    if not isinstance(path, str | os.PathLike):
        raise TraceError(f"a trace is read from the path of its file, not from {brief(path)}")
    try:
        with open_regular(path) as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise TraceError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a name with a zero byte
        raise TraceError(f"cannot read {os.fspath(path)!r}: {error}") from error


def open_steps(path: PathLike) -> Steps:
    """The steps of a trace file or of a table.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: no such file, no usable header, or a table with other columns.
    """
    return ParquetSteps(path) if is_table(path) else TraceSteps(path)


class TraceSteps:
    """Those of a trace file; its digests are checked while it is read."""

    def __init__(self, path: PathLike) -> None:
        self.reader = open_trace(path)
        self.header, self.schema = self.reader.header, schema(self.reader.header)
        self._path = path

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The steps, 1,024 at a time, or fewer where these are long."""
        made = batches(self.reader, run_of(self.header), self.schema)
        while True:
            try:
                batch = next(made, None)
            except TraceError:
                raise
            except Exception as error:  # such as a number that a column has no place for
                raise TraceError(f"{self._path} does not fit into a table: {message_of(error)}") from error
            if batch is None:
                return
            yield batch

    def ends(self) -> bytes | None:
        """From the footer."""
        return None if self.reader.footer is None else ends_of(self.reader.footer.ends)


class ParquetSteps:
    """Those of a table of this version or an older one, with the columns of this one.

    Attributes:
        metadata: of the file.
        rows: how many steps it has.
    """

    def __init__(self, path: PathLike) -> None:
        pyarrow()
        from pyarrow import parquet

        self._path = path
        with self._typed():
            self._file = parquet.ParquetFile(os.fspath(path), read_dictionary=["run"])
            self.metadata: dict[bytes, bytes] = self._file.metadata.metadata or {}
            self.rows: int = self._file.metadata.num_rows
            self.schema = self._file.schema_arrow
        self.header, self._older = self._header()
        version, expected = SCHEMA, schema(self.header)
        if self._older:
            version, expected = OLDER_SCHEMA, _with_ids(expected, pyarrow().int32())
        for each in expected:
            at = self.schema.get_field_index(each.name)
            if at < 0 or not self.schema.field(at).type.equals(each.type):
                raise TraceError(f"{path} has no column {each.name} of the type {each.type}, as {version} has")
        if self._older:
            widened = _with_ids(self.schema, pyarrow().int64())
            self.schema = widened.with_metadata({**(self.schema.metadata or {}), b"decodekit.schema": SCHEMA})

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, 1,024 at a time, or fewer where these are long."""
        with self._typed():
            for group in range(self._file.num_row_groups):
                size = _rows_at_a_time(self._file.metadata.row_group(group))
                for batch in self._file.iter_batches(batch_size=size, row_groups=[group]):
                    yield self._widened(batch) if self._older else batch

    def _widened(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [column.cast(field.type) for column, field in zip(batch.columns, self.schema, strict=True)]
        return pyarrow().RecordBatch.from_arrays(columns, schema=self.schema)

    def ends(self) -> bytes | None:
        """From the metadata."""
        return self.metadata.get(b"decodekit.ends")

    def _header(self) -> tuple[Header, bool]:
        """The header, and whether the columns are of the older version."""
        named = self.metadata.get(b"decodekit.schema")
        if named is None:
            raise TraceError(f"{self._path} is a Parquet file, but no table of decodekit: its metadata names no schema")
        if named not in (SCHEMA.encode(), OLDER_SCHEMA.encode()):
            raise TraceError(
                f"{self._path} has the schema {named.decode(errors='replace')[:60]!r}; this version reads {SCHEMA!r} "
                f"and {OLDER_SCHEMA!r}"
            )
        try:
            content: Any = parse_json(self.metadata.get(b"decodekit", b""))
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise ValueError("its header is of another format")
            return parse_header(content), named == OLDER_SCHEMA.encode()
        except (ValueError, RecursionError) as error:
            raise TraceError(f"the metadata of {self._path} has no usable header: {message_of(error)[:300]}") from None

    @contextmanager
    def _typed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # pyarrow's own errors of reading are of this kind too, without a number
            raise TraceError(f"cannot read {self._path}: {error.strerror or message_of(error)}") from error
        except ValueError as error:
            raise TraceError(f"{self._path} is a damaged Parquet file: {message_of(error)[:300]}") from error


def _rows_at_a_time(group: Any) -> int:
    """Of a row group: as many as have about 8 MiB of numbers."""
    numbers: int = sum(group.column(at).num_values for at in range(group.num_columns))
    rows: int = group.num_rows
    return max(1, min(BATCH, BATCH_BYTES * rows // (8 * max(numbers, 1))))


def _with_ids(of: pa.Schema, kind: Any) -> pa.Schema:
    """A schema of steps with ids of this type."""
    for name in IDS:
        at = of.get_field_index(name)
        if at >= 0:
            listed = name.endswith("_ids")
            of = of.set(at, of.field(at).with_type(pyarrow().list_(kind) if listed else kind))
    return of
