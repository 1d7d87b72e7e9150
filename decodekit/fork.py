"""What must be done in a process that was forked from one that used this library."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["after_fork"]


def after_fork(reset: Callable[[], None]) -> Callable[[], None]:
    """A decorator: call the function in each forked process, before anything else runs there.

    A fork copies locks that other threads held, and not the threads.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
    return reset
