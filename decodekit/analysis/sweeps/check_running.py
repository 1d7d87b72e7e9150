"""A check at work, within a deadline.

What may hang runs in a process of its own, which is ended at the deadline and started again for the next text: no other
way ends Python code for sure, and a regular expression holds the interpreter's lock while it searches. A function that
cannot be imported there (a lambda, or one of a notebook) runs in a thread: at the deadline its text gets an error, but
the function itself goes on, and no further text is given to it.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from decodekit.analysis.sweeps import check_worker
from decodekit.analysis.sweeps.checks import Check, CheckFunction
from decodekit.errors import ConfigError, message_of

__all__ = ["Checked", "Checker", "started"]

_START = 60.0  # seconds in which the process must have imported the check


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check said of a text.

    Args:
        value: 0 to 1; None where the check failed.
        vote: the answer that the check read in the text; None where it reads none.
        error: why the check failed.
    """

    value: float | None
    vote: str | None = None
    error: str | None = None


class Checker(Protocol):
    """A running check. It is used by one thread at a time."""

    def check(self, text: str, answer: Any) -> Checked:
        """Check one text. Nothing is raised: what goes wrong is in the result."""

    def close(self) -> None:
        """End it."""


def started(check: Check, deadline: float) -> Checker:
    """Start a check; a text may take ``deadline`` seconds.

    Raises:
        ConfigError: its function cannot be loaded.
    """
    if check.spec is not None:
        return _Process(check.spec, deadline, check.name)
    assert check.function is not None
    return _Thread(check.function, deadline) if check.hangs else _Here(check.function)


class _Here:
    """A check that cannot hang."""

    def __init__(self, function: CheckFunction) -> None:
        self._function = function

    def check(self, text: str, answer: Any) -> Checked:
        if answer is None:
            return Checked(None, text.strip(), "there is no answer to compare with")
        return Checked(float(self._function(text, answer)), text.strip())

    def close(self) -> None:
        return


class _Thread:
    """A check that cannot be imported elsewhere. It cannot be ended."""

    def __init__(self, function: CheckFunction, deadline: float) -> None:
        self._function, self._deadline, self._stuck = function, deadline, False

    def check(self, text: str, answer: Any) -> Checked:
        if self._stuck:
            return Checked(None, None, "an earlier call of this check has not returned; define it in a module")
        said: queue.SimpleQueue[Checked] = queue.SimpleQueue()

        def run() -> None:
            try:
                said.put(Checked(check_worker.number(self._function(text, answer)), text.strip()))
            except BaseException as error:
                said.put(Checked(None, None, f"{type(error).__name__}: {message_of(error)}"))

        threading.Thread(target=run, name="decodekit-check", daemon=True).start()
        try:
            return said.get(timeout=self._deadline)
        except queue.Empty:
            self._stuck = True
            return Checked(None, None, f"the check did not return in {self._deadline:g} s")

    def close(self) -> None:
        return


class _Process:
    """A check in a process of its own."""

    def __init__(self, spec: dict[str, Any], deadline: float, name: str) -> None:
        self._spec, self._deadline = spec, deadline
        self._process: subprocess.Popen[bytes] | None = None
        fault = self._begin()
        if fault is not None:
            self.close()
            raise ConfigError(f"check {name}: {fault}")

    def check(self, text: str, answer: Any) -> Checked:
        fault = self._begin() if self._process is None else None
        if fault is not None:
            return Checked(None, None, fault)
        reply = self._asked({"text": text, "answer": answer}, self._deadline)
        return (
            reply if isinstance(reply, Checked) else Checked(reply.get("value"), reply.get("vote"), reply.get("error"))
        )

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # the rest of a text that it did not read
                    assert pipe is not None
                    pipe.close()

    def _begin(self) -> str | None:
        """Start the process. Returns what is wrong."""
        command = [sys.executable, "-P", str(Path(check_worker.__file__))]
        self._process = subprocess.Popen(  # noqa: S603 - a script of ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._process.stdout, self._said), daemon=True).start()
        reply = self._asked({**self._spec, "deadline": self._deadline}, _START)
        return reply.error if isinstance(reply, Checked) else reply.get("error")

    def _asked(self, question: dict[str, Any], deadline: float) -> Checked | dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            line = self._said.get(timeout=deadline)
            reply: dict[str, Any] = json.loads(line)
            return reply
        except queue.Empty:
            why = f"the check did not return in {deadline:g} s"
        except (OSError, ValueError):
            why = "the check ended its process"
        self.close()
        return Checked(None, None, why)


def _read(pipe: Any, said: queue.SimpleQueue[bytes]) -> None:
    """Put each line of a pipe into a queue, and an empty one at its end."""
    try:
        while line := pipe.readline():
            said.put(line)
    except (OSError, ValueError):  # it was closed
        pass
    said.put(b"")
