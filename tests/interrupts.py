"""Interrupts at every place: a KeyboardInterrupt before any one opcode that is run in given files.

A signal is looked for at some opcodes only; here it comes at all of them, so nothing depends on which.

    files = [decodekit.trace.writer.__file__]
    for at in range(count_opcodes(action, files)):
        interrupted = interrupt(action, files, at)
        ...  # what must hold now
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

__all__ = ["count_opcodes", "interrupt"]


def count_opcodes(action: Callable[[], object], files: Collection[str]) -> int:
    """How many opcodes of these files the action runs, in this thread."""
    return _traced(action, files, None)[1]


def interrupt(action: Callable[[], object], files: Collection[str], at: int) -> bool:
    """Run the action, and interrupt it before its ``at``-th opcode of these files, counted from 0.

    Returns:
        Whether the interrupt reached the caller; false where the action ended before, or kept it to itself.

    Raises:
        Whatever else the action raises.
    """
    return _traced(action, files, at)[0]


def _traced(action: Callable[[], object], files: Collection[str], at: int | None) -> tuple[bool, int]:
    seen = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen += 1
            if seen - 1 == at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        return True, seen
    finally:
        sys.settrace(before)
    return False, seen
