"""Writing a new file completely or not at all: it is written under another name and then renamed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from decodekit.errors import TraceError
from decodekit.types import PathLike

__all__ = ["write_new"]


def write_new(path: PathLike, data: bytes) -> None:
    """Write a file, readable by its owner only.

    Raises:
        TraceError: it exists, or cannot be written; then no file remains.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.exists():
            raise FileExistsError
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # some file systems report a full disk only here
            _name(draft, target)
        finally:
            with suppress(OSError):
                draft.unlink()
    except FileExistsError:
        raise TraceError(f"{target} exists; a trace is written once. Choose another path or remove it") from None
    except OSError as error:
        why = error.strerror if target.parent.is_dir() else f"there is no folder {str(target.parent)!r}"
        raise TraceError(f"cannot write {target}: {why}") from error
    except ValueError as error:  # a name with a zero byte
        raise TraceError(f"cannot write {os.fspath(path)!r}: {error}") from error


def _name(draft: Path, target: Path) -> None:
    """Rename a file, unless the name was taken in the meantime."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an existing file cannot be detected
        draft.rename(target)
