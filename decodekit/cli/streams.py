"""The three standard streams where the shell has closed them, or where they cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

__all__ = ["give_up_stderr", "give_up_stdout", "mend_streams", "why_stdout_failed"]

_OF_A_STREAM = {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPIPE}


def mend_streams() -> None:
    """Give every closed stream a file descriptor, before the next opened file takes it.

    What is written to a closed stderr is lost. Reading a closed stdin and writing a closed stdout fails, as in C.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(
                os.devnull, os.O_RDONLY if name == "stdout" else os.O_WRONLY
            )  # the lowest free descriptor is this one
        if getattr(sys, name) is None:
            mode: Any = "r" if name == "stdin" else "w"
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open until the process ends
            setattr(sys, name, stream)


def why_stdout_failed(error: OSError) -> str | None:
    """The message for an error in writing results; '' for a broken pipe; None for any other error."""
    if error.filename is not None or error.errno not in _OF_A_STREAM:
        return None
    if error.errno == errno.EPIPE:
        return ""
    return f"cannot write to stdout: {'it is closed' if error.errno == errno.EBADF else error.strerror}"


def give_up_stdout() -> None:
    """Discard what stdout could not write, so that the interpreter does not try it again when it exits."""
    _discard(sys.stdout, 1)


def give_up_stderr() -> None:
    """Discard what stderr could not write: the exit code is that of the command, not of its messages."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr, 2)


def _discard(stream: TextIO, descriptor: int) -> None:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        stream.flush()
