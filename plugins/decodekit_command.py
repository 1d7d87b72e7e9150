"""The start of the command ``decodekit``, outside the package `decodekit`, so that Ctrl-C is quiet while that loads."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command that the process's arguments give, and exit with its code."""
    signal.signal(signal.SIGINT, _leave)  # nothing needs to be cleaned up yet
    from decodekit.cli import main as run

    run()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(130)
