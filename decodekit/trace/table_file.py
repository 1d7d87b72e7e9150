"""A Parquet file: how it is encoded, and that it gets its name only when it is whole. Extra: ``parquet``."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from decodekit.errors import TraceError, message_of
from decodekit.fork import after_fork
from decodekit.trace.columns import DELTA, DICTIONARIES, SPLIT, pyarrow
from decodekit.trace.new_file import NewFile
from decodekit.types import PathLike

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROW_GROUP", "TableFile"]

ROW_GROUP = 16384  # steps
_GROUP_BYTES = 64 * 2**20  # of columns that wait for a row group to be written
_OF_STEPS = dict.fromkeys(SPLIT, "BYTE_STREAM_SPLIT") | dict.fromkeys(DELTA, "DELTA_BINARY_PACKED")


class TableFile:
    """Takes batches of rows, and writes a row group when there are enough, or 64 MiB of them.

    Args:
        path: the file; it must not exist.
        schema: of the batches; its metadata becomes that of the file.
        row_group: rows in each row group, at most.
        dictionaries: columns with a dictionary; by default those of steps.
        encodings: of other columns, by their path; by default those of steps.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: the file exists, or cannot be written; here and in `add` and `publish`.
    """

    def __init__(
        self,
        path: PathLike,
        schema: pa.Schema,
        row_group: int = ROW_GROUP,
        *,
        dictionaries: Sequence[str] = DICTIONARIES,
        encodings: Mapping[str, str] = MappingProxyType(_OF_STEPS),
    ) -> None:
        self._table = pyarrow().Table
        from pyarrow import parquet

        self._path, self._row_group = path, row_group
        self._batches: list[Any] = []  # of the next row group
        self._steps = 0  # before them
        self._waiting = self._bytes = 0  # in them
        self._file = NewFile(path)
        try:
            with self.typed():
                self._parquet = parquet.ParquetWriter(
                    str(self._file.draft),
                    schema,
                    compression="zstd",
                    use_dictionary=list(dictionaries),
                    column_encoding=dict(encodings),
                    write_page_index=True,
                )
            _open.add(self)
        except BaseException:
            self._file.discard()
            raise

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some steps."""
        self._batches.append(batch)
        self._waiting += batch.num_rows
        self._bytes += batch.nbytes
        if self._waiting >= self._row_group or self._bytes >= _GROUP_BYTES:
            with self.typed():
                self._flush()

    def publish(self, metadata: Mapping[str, bytes | str]) -> None:
        """Write the rest and more metadata, and give the file its name. If that fails, no file remains."""
        with self.typed():
            self._flush()
            self._parquet.add_key_value_metadata(dict(metadata))
            self._parquet.close()
        self._file.publish()

    def discard(self) -> None:
        """Remove what is not published."""
        with suppress(Exception):
            self._parquet.close()
        self._file.discard()

    @contextmanager
    def typed(self) -> Iterator[None]:
        """Raise what the system or pyarrow raises in this block as a `TraceError` that names the file."""
        try:
            with self._file.typed():
                yield
        except TraceError:
            raise
        except Exception as error:  # of pyarrow, which has its own
            raise TraceError(f"cannot write {os.fspath(self._path)}: {message_of(error)}", step=self._steps) from error

    def _flush(self) -> None:
        if self._batches:
            self._parquet.write_table(self._table.from_batches(self._batches), row_group_size=self._row_group)
            self._steps += self._waiting
            self._batches, self._waiting, self._bytes = [], 0, 0


_open: WeakSet[TableFile] = WeakSet()


@after_fork
def _leave_to_the_parent() -> None:
    """In a forked process: what a writer of pyarrow writes when it is freed would stand in the parent's file."""
    for each in list(_open):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each._parquet))
