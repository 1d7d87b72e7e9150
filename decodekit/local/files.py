"""Opening files without waiting: a pipe may have no writer."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from decodekit.types import PathLike

__all__ = ["open_regular", "read_bytes"]


def open_regular(path: PathLike) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
        ValueError: the name holds a zero byte.
    """
    file, mode = _opened(path)
    if not stat.S_ISREG(mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def read_bytes(path: PathLike) -> bytes:
    """All bytes of a regular file, or of a pipe, such as a shell's ``<(...)``, until its writers close it.

    Raises:
        OSError: it cannot be read, is a device or a folder, or is a pipe without a writer.
        ValueError: the name holds a zero byte.
    """
    file, mode = _opened(path)
    with file:
        if stat.S_ISFIFO(mode):
            os.set_blocking(file.fileno(), True)  # waits for writers only where there are some
            data = file.read()
            if not data:
                raise OSError(errno.EPIPE, "it is a pipe without a writer")
            return data
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is neither a regular file nor a pipe")
        return file.read()


def _opened(path: PathLike) -> tuple[BinaryIO, int]:
    """The file and its mode. Windows has no flag for not waiting, and no pipes among its files."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    return file, os.fstat(file.fileno()).st_mode
