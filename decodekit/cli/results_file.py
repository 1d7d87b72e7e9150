"""The file of ``--out``: one JSON object a line, written when it is whole; read again to go on where a run ended."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError
from decodekit.session.row_file import OutError, RowFile

__all__ = ["ResultsFile"]


class ResultsFile:
    """What an earlier run left in a file. Nothing is changed before `open`.

    Args:
        path: the file; it may be missing, or no regular file, such as a pipe.

    Attributes:
        done: the keys of the prompts that are done.
        failed: how many rows have an error in place of a result.
        cut: how many bytes of an incomplete last line there are.
        seed: of the run that wrote it; None for a new file.

    Raises:
        ConfigError: the folder does not exist, or the file has a line that is no result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: set[str] = set()
        self.failed = 0
        self.cut = 0
        self.seed: int | None = None
        if not path.parent.is_dir():
            raise ConfigError(f"cannot create {path}: there is no folder {str(path.parent)!r}")
        if str(path) == "-":
            raise ConfigError("--out: '-' is no file, and the next call goes on from it; for stdout write /dev/stdout")
        if path.is_dir():
            raise ConfigError(f"--out: {str(path)!r} is a directory")
        self._regular = path.is_file()
        self._whole = 0
        for line, row in self._rows():
            self._whole += len(line)
            if "error" in row:
                self.failed += 1
            else:
                self.done.add(row["key"])
            if self.seed not in (None, row["run_seed"]):
                raise ConfigError(f"{path} has results of the seeds {self.seed} and {row['run_seed']}")
            self.seed = row["run_seed"]

    def require_known(self, keys: Collection[str]) -> None:
        """Refuse a file with results that this call would not make.

        Raises:
            ConfigError: a result of another prompt, model, chain, seed or option.
        """
        strange = len(self.done.difference(keys))
        if strange:
            raise ConfigError(
                f"{self.path} has {strange} results that this call would not make: a prompt, the model, the chain, the "
                "seed or an option is another one. Choose another --out, or remove the file"
            )

    def open(self) -> RowFile:
        """Open it for new results: without an incomplete last line, and without the rows of errors, which are redone.

        Raises:
            OutError: it cannot be written.
        """
        try:
            if self.failed:
                self._rewrite()
            elif self._regular and self.cut:
                os.truncate(self.path, self._whole)
            return RowFile(self.path)
        except OSError as error:
            raise OutError(f"cannot write {self.path}: {error.strerror}") from error

    def _rewrite(self) -> None:
        kept = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with kept.open("wb") as file:
                for line, row in self._rows():
                    if "error" not in row:
                        file.write(line)
                file.flush()
                os.fsync(file.fileno())
            kept.replace(self.path)
        except BaseException:
            with suppress(OSError):
                kept.unlink()
            raise

    def _rows(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The complete lines."""
        if not self._regular:
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    self.cut = len(line)
                    return
                try:
                    row = json.loads(line)
                    if not (isinstance(row["key"], str) and isinstance(row["run_seed"], int)):
                        raise TypeError
                except (ValueError, TypeError, KeyError, RecursionError):
                    raise ConfigError(
                        f"{self.path}, line {number}, was not written by --out; choose another file"
                    ) from None
                yield line, row
