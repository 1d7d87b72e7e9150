"""The steps of any trace as batches of columns: of a trace file, which is read step by step, or of a Parquet table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from decodekit.errors import TraceError, brief, message_of
from decodekit.local.files import open_regular
from decodekit.trace.columns import BATCH, SCHEMA, batches, ends_of, pyarrow, run_of, schema
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
        """The steps, 1,024 at a time."""
        made = batches(self.reader, run_of(self.header), self.schema)
        while True:
            try:
                batch = next(made, None)
            except TraceError:
                raise
            except Exception as error:  # of pyarrow, or of numpy: an id that a table has no place for
                raise TraceError(f"{self._path} does not fit into a table: {message_of(error)}") from error
            if batch is None:
                return
            yield batch

    def ends(self) -> bytes | None:
        """From the footer."""
        return None if self.reader.footer is None else ends_of(self.reader.footer.ends)


class ParquetSteps:
    """Those of a table that this version knows.

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
        self.header = self._header()
        expected = schema(self.header)
        for each in expected:
            at = self.schema.get_field_index(each.name)
            if at < 0 or not self.schema.field(at).type.equals(each.type):
                raise TraceError(f"{path} has no column {each.name} of the type {each.type}, as {SCHEMA} has")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, 1,024 at a time."""
        with self._typed():
            yield from self._file.iter_batches(batch_size=BATCH)

    def ends(self) -> bytes | None:
        """From the metadata."""
        return self.metadata.get(b"decodekit.ends")

    def _header(self) -> Header:
        named = self.metadata.get(b"decodekit.schema")
        if named is None:
            raise TraceError(f"{self._path} is a Parquet file, but no table of decodekit: its metadata names no schema")
        if named != SCHEMA.encode():
            raise TraceError(
                f"{self._path} has the schema {named.decode(errors='replace')[:60]!r}; this version reads {SCHEMA!r}"
            )
        try:
            content: Any = parse_json(self.metadata.get(b"decodekit", b""))
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise ValueError("its header is of another format")
            return parse_header(content)
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
