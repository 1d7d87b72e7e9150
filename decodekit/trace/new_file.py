"""Writing a new file completely or not at all: it is written under another name and then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from decodekit.errors import TraceError
from decodekit.types import PathLike

__all__ = ["NewFile", "write_new"]


class NewFile:
    """An empty file beside its final name, readable by its owner only, until it is published or discarded.

    Args:
        path: the final name.
        replace: a file of this name is replaced.

    Attributes:
        draft: the file to write to.

    Raises:
        TraceError: there is a file of the final name, or none can be created; here and in `publish`.
    """

    def __init__(self, path: PathLike, *, replace: bool = False) -> None:
        self._target = Path(path)
        self._replace = replace
        self.draft = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.part")
        with self.typed():
            if self._target.exists() and not replace:
                raise FileExistsError
            os.close(os.open(self.draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def publish(self) -> None:
        """Give the file its name once it is on the disk. If that fails, no file remains."""
        try:
            with self.typed():
                with self.draft.open("rb") as file:
                    os.fsync(file.fileno())  # some file systems report a full disk only here
                if self._replace:
                    self.draft.replace(self._target)
                else:
                    _name(self.draft, self._target)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the draft, if it is there."""
        with suppress(OSError):
            self.draft.unlink()

    @contextmanager
    def typed(self) -> Iterator[None]:
        """Raise what the system raises in this block as a `TraceError` that names the file."""
        target = self._target
        try:
            yield
        except FileExistsError:
            raise TraceError(f"{target} exists; a trace is written once. Choose another path or remove it") from None
        except OSError as error:
            why = (error.strerror or error) if target.parent.is_dir() else f"there is no folder {str(target.parent)!r}"
            raise TraceError(f"cannot write {target}: {why}") from error
        except ValueError as error:  # a name with a zero byte
            raise TraceError(f"cannot write {os.fspath(target)!r}: {error}") from error


def write_new(path: PathLike, data: bytes, *, replace: bool = False) -> None:
    """Write a file, readable by its owner only.

    Args:
        path: its name.
        data: all of it.
        replace: a file of this name is replaced.

    Raises:
        TraceError: it exists, or cannot be written; then no file remains.
    """
    file = NewFile(path, replace=replace)
    try:
        with file.typed():
            file.draft.write_bytes(data)
        file.publish()
    finally:
        file.discard()


def _name(draft: Path, target: Path) -> None:
    """Rename a file, unless the name was taken in the meantime."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an existing file cannot be detected
        draft.rename(target)
