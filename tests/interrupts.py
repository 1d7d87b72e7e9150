"""Interrupts at every place: a KeyboardInterrupt before any one opcode that is run in given files.

A signal is looked for at some opcodes only; here it comes at all of them, so nothing depends on which. For code with
locks ``LOOKS`` gives those that CPython looks at: the exit from a ``with`` block is never interrupted by a signal.

    files = [decodekit.trace.writer.__file__]
    for at in range(count_opcodes(action, files)):
        interrupted = interrupt(action, files, at)
        ...  # what must hold now
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dis import opname
from types import FrameType
from typing import Any

__all__ = ["LOOKS", "count_opcodes", "interrupt"]


LOOKS = frozenset({"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME"})
"""The opcodes after which CPython 3.11 and later look for signals."""


def count_opcodes(action: Callable[[], object], files: Collection[str], opcodes: Collection[str] | None = None) -> int:
    """How many opcodes of these files the action runs in this thread: all, or those that follow one of ``opcodes``."""
    return _traced(action, files, None, opcodes)[1]


def interrupt(
    action: Callable[[], object], files: Collection[str], at: int, opcodes: Collection[str] | None = None
) -> bool:
    """Run the action, and interrupt it before its ``at``-th opcode of these files, counted from 0.

    Returns:
        Whether the interrupt reached the caller; false where the action ended before, or kept it to itself.

    Raises:
        Whatever else the action raises.
    """
    return _traced(action, files, at, opcodes)[0]


def _traced(
    action: Callable[[], object], files: Collection[str], at: int | None, opcodes: Collection[str] | None
) -> tuple[bool, int]:
    seen = 0
    last: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        before_this = last.get(frame)
        if event == "opcode":
            last[frame] = opname[frame.f_code.co_code[frame.f_lasti]]
        if event == "opcode" and (opcodes is None or before_this in opcodes):
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
