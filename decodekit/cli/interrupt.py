"""Ctrl-C takes effect between two tokens, so that the trace is complete."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupt"]


class Interrupt:
    """Inside this context the first Ctrl-C only sets `asked`, so that the caller ends after the next token.

    The second interrupts at once, as usual.

    Args:
        patience: after so many seconds the first does that too: a server may be silent for long, and calls of tools are
            no tokens. None to wait for the caller.
    """

    def __init__(self, patience: float | None = None) -> None:
        self._patience = patience
        self.asked = False
        self._before: Any = None
        self._guard = threading.Lock()
        self._over = False
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        with self._guard:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._patience is not None and hasattr(signal, "pthread_kill"):  # a signal ends a wait in C code
            self._timer = threading.Timer(self._patience, self._again)
            self._timer.daemon = True
            self._timer.start()

    def _again(self) -> None:
        with self._guard:
            if not self._over:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
