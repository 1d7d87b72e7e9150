"""``decodekit view``: in a terminal, in a pipe, and with wrong calls."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND
from tests.cli.viewer.runs import hostile, samples

STYLE = re.compile(r"\x1b\[([0-9;]*)m")


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Three sequences of forty tokens."""
    (tmp_path / "run.jsonl").write_bytes(samples(3).to_bytes())
    return "run.jsonl"


class Terminal:
    """A command in a terminal of its own.

    Attributes:
        seen: all that it wrote.
    """

    def __init__(self, own: int, process: subprocess.Popen[bytes]) -> None:
        self.own, self.process, self.seen = own, process, ""

    def wait_for(self, text: str) -> None:
        """Read until the text has come since the last call."""
        from_here, ends = len(self.seen), time.monotonic() + 60
        while text not in self.seen[from_here:]:
            assert time.monotonic() < ends, self.seen[from_here:]
            self._read()

    def press(self, keys: str) -> None:
        os.write(self.own, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        ioctl(self.own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(20)

    def _read(self) -> bool:
        if not select.select([self.own], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self.own, 65536)
        except OSError:  # the other side has closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Callable[..., Terminal]:
    @contextmanager
    def opened(*arguments: str, **more: str) -> Iterator[Terminal]:
        own, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={**environment, **more},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Terminal(own, process)
        finally:
            process.kill()
            process.wait()
            os.close(own)

    return opened


def test_a_real_terminal_is_walked_resized_and_left_as_it_was(terminal: Callable[..., Terminal], trace: str) -> None:
    with terminal("view", trace, NO_COLOR="1") as screen:
        screen.wait_for("sequence 1 of 3, token 1 of 40")
        screen.press("\x1b[C\x1b[C")  # right, right
        screen.wait_for("token 3 of 40")
        screen.press("\x1b[B")  # down
        screen.wait_for("sequence 2 of 3, token 3 of 40")
        screen.resize(40, 20)
        screen.wait_for("step 2: ")
        screen.press("\x1b[F")  # End
        screen.wait_for("step 39: ")
        screen.press("q")
        assert screen.end() == 0
    assert "\x1b[?1049h" in screen.seen and screen.seen.rindex("\x1b[?1049l") > screen.seen.rindex("\x1b[?1049h")
    codes = {code for each in STYLE.findall(screen.seen) for code in each.split(";")}
    assert codes <= {"", "0", "1", "2", "3", "4", "7", "39", "49"} and {"4", "7"} <= codes  # marks, and no colour


def test_no_token_reaches_the_terminal_as_a_command(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    (tmp_path / "hostile.jsonl").write_bytes(hostile().to_bytes())
    with terminal("view", "hostile.jsonl") as screen:
        screen.wait_for("token 1 of 120")
        screen.press("\x1b[F")
        screen.wait_for("token 120 of 120")
        screen.press("q")
        assert screen.end() == 0
    assert "\\x1b[2J\\x1b[H" in screen.seen and "\\u202egnp.exe" in screen.seen
    for attack in (
        "\x1b]0",
        "\x1b]52",
        "\x1b]8",
        "\x1bc",
        "\x1b[2J\x1b[H",
        "\x9b",
        "\x90",
        "\x08",
        "\u202e",
        "\u2066",
        "\u200b",
    ):
        assert attack not in screen.seen, attack


def test_without_the_extra_it_says_so_and_prints(
    terminal: Callable[..., Terminal], trace: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['textual'] = None\n")
    with terminal("view", trace, PYTHONPATH=f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}") as screen:
        assert screen.end() == 0
    assert "pip install 'decodekit[tui]'" in screen.seen and "sequence 1 of 3" in screen.seen
    assert "\x1b[?1049h" not in screen.seen


Calls = Callable[[list[list[str]]], list[tuple[int, str, str]]]


def test_a_pipe_gets_the_text_and_the_first_steps_or_one_story(one_after_another: Calls, trace: str) -> None:
    run = samples(3)
    text = "".join(step.text for step in run.steps if step.stream == run.steps[0].stream)
    close = min((step for step in run.steps if step.stream == run.steps[0].stream), key=lambda step: step.choice.margin)
    first, third, story = one_after_another(
        [["view", trace], ["view", trace, "--stream", "2"], ["view", trace, "--step", str(close.index - 40)]]
    )
    assert [call[0] for call in (first, third, story)] == [0, 0, 0] and first[2] == third[2] == story[2] == ""
    lines = first[1].splitlines()
    assert text in lines and "sequence 1 of 3" in lines and lines[-1] == "and 20 more; --step N shows one"
    assert [line.split()[0] for line in lines[lines.index(text) + 3 : -1]] == list(map(str, range(20)))
    assert "sequence 3 of 3" in third[1] and text not in third[1]
    assert story[1].startswith(f"step {close.index}: ")
    for part in ("top_p", "race", "margin", "drift", "seeds", "check", "proved"):
        assert part in story[1], part
    assert all(line == line.rstrip() and "\x1b" not in line for call in (first, story) for line in call[1].split("\n"))
    assert max(map(len, story[1].splitlines())) <= 80


def test_wrong_calls_and_damaged_traces(one_after_another: Calls, trace: str, tmp_path: Path) -> None:
    whole = (tmp_path / trace).read_bytes()
    (tmp_path / "torn.jsonl").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jsonl").write_bytes(whole.splitlines(keepends=True)[0])
    (tmp_path / "none.jsonl").write_bytes(b"nothing\n")
    calls = {
        "run.jsonl --step 40": (2, "", "--step 40: no such step; there are steps 0 to 39"),
        "run.jsonl --stream 4": (2, "", "--stream 4: there is no such sequence; there are [0, 1, 2]"),
        "torn.jsonl": (0, "check: incomplete", "the steps before it are shown"),
        "empty.jsonl": (0, "no tokens were recorded", ""),
        "empty.jsonl --step 0": (2, "", "no token was generated"),
        "none.jsonl": (1, "", "decodekit: "),
        "no_such_file.jsonl": (2, "", "no_such_file.jsonl"),
    }
    answers = one_after_another([["view", *call.split()] for call in calls])
    for call, (code, out, err), (was, printed, said) in zip(calls, calls.values(), answers, strict=True):
        assert was == code and out in printed and err in said, (call, printed, said)
