"""The process in which a check runs, so that one that hangs can be ended. Run as a script; imports nothing of ours.

The first line of stdin says what to check with; each further line is a text with its answer, and gets one line back.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import math
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Check", "by_pattern", "main", "number"]

Check = Callable[[str, Any], tuple[float, str | None]]
_LATER = 5.0  # seconds after the deadline


def main() -> None:
    """Answer until stdin ends. What a check prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to end
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    lines = iter(sys.stdin.buffer.readline, b"")
    check: Check | None = None
    deadline = 0.0
    reply: dict[str, Any]
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    for line in lines:
        given = json.loads(line)
        try:
            if check is None:
                check, deadline, reply = made(given), given["deadline"], {"ready": True}
            else:
                # For the case that whoever asks is gone: it ends this process without the interpreter's lock.
                faulthandler.dump_traceback_later(deadline + _LATER, exit=True, file=nowhere)
                value, vote = check(given["text"], given["answer"])
                reply = {"value": value, "vote": vote}
        except BaseException as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        faulthandler.cancel_dump_traceback_later()
        out.write(json.dumps(reply) + "\n")
        out.flush()


def made(spec: dict[str, Any]) -> Check:
    """The check that a specification names."""
    if "pattern" in spec:
        pattern = re.compile(spec["pattern"])
        return lambda text, answer: by_pattern(pattern, text, answer)
    sys.path[:] = spec["path"]
    function = loaded(spec)
    return lambda text, answer: (number(function(text, answer)), text.strip())


def loaded(spec: dict[str, Any]) -> Callable[[str, Any], Any]:
    """The function of a module, or of a file."""
    if "file" in spec:
        sys.path.insert(0, str(Path(spec["file"]).parent))
        found = importlib.util.spec_from_file_location("decodekit_check", spec["file"])
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules["decodekit_check"] = module
        found.loader.exec_module(module)
    else:
        module = importlib.import_module(spec["module"])
    target: Any = module
    for name in spec["name"].split("."):
        target = getattr(target, name)
    if not callable(target):
        raise TypeError(f"{spec['name']} is no function")
    function: Callable[[str, Any], Any] = target
    return function


def by_pattern(pattern: re.Pattern[str], text: str, answer: Any) -> tuple[float, str | None]:
    """Whether the pattern is found; with a group and an answer, whether the group is the answer. The group votes."""
    found = pattern.search(text)
    if found is None:
        return 0.0, None
    vote = (found.group(1) if pattern.groups else found.group()) or ""
    right = vote.strip() == str(answer).strip() if pattern.groups and answer is not None else True
    return float(right), vote.strip()


def number(value: Any) -> float:
    """What a check returned, as a number from 0 to 1."""
    plain = float(value) if isinstance(value, bool | int | float) or type(value).__module__ == "numpy" else math.nan
    if not 0 <= plain <= 1:
        raise ValueError(f"a check returns True, False or a number from 0 to 1, not {value!r}")
    return plain


if __name__ == "__main__":
    main()
