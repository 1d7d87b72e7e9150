"""A file of results, one JSON object a line: each is written when it is whole, and never changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

from decodekit.errors import DecodekitError

__all__ = ["OutError", "RowFile"]


class RowFile:
    """A file of JSON rows that only grows; a row reaches the operating system in one write.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row.

        Raises:
            OutError: it could not be written in full. The file is complete up to its last whole line.
        """
        data = json.dumps(row, allow_nan=False).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise OutError(
                f"cannot write to {self.path}: {error.strerror}. All whole lines are kept; the same call goes on there"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)


class OutError(DecodekitError):
    """A file of results cannot be written."""
