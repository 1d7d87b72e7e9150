"""A new file that is whole or not there: written under another name, then given its own."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from decodekit.errors import TraceError

__all__ = ["write_new"]


def write_new(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, readable by its owner only.

    Raises:
        TraceError: it exists, or cannot be written; nothing is left behind then.
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
                os.fsync(file.fileno())  # some disks are found to be full only now
            _name(draft, target)
        finally:
            with suppress(OSError):
                draft.unlink()
    except FileExistsError:
        raise TraceError(f"{target} exists; a trace is written once. Choose another path or remove it") from None
    except OSError as error:
        raise TraceError(f"cannot write {target}: {error.strerror}") from error
    except ValueError as error:  # a name with a zero byte
        raise TraceError(f"cannot write {os.fspath(path)!r}: {error}") from error


def _name(draft: Path, target: Path) -> None:
    """Give a file its name, unless that was taken meanwhile."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, which cannot say that a name is taken
        draft.rename(target)
