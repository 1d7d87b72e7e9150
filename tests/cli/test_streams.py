"""Streams that are closed, full or left by their reader; and Ctrl-C before there is anything to interrupt."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, TOY

GENERATE = ("generate", "the ", *TOY, "--seed", "7", "--max-tokens", "8")


def shell(line: str, environment: dict[str, str], folder: Path) -> tuple[int, str, str]:
    """Run the command with the redirections of a shell; exit code, stdout and stderr."""
    words = line.replace("decodekit", shlex.join(COMMAND), 1)
    buffered = {name: value for name, value in environment.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", words], cwd=folder, env=buffered, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


LINE = f"decodekit {shlex.join(GENERATE)}"


@pytest.mark.parametrize("more", ["", " --json"])
@pytest.mark.parametrize(
    ("where", "said"),
    [
        (">&-", "cannot write to stdout: it is closed"),
        ("> /dev/full", "cannot write to stdout: No space left on device"),
    ],
)
def test_a_result_that_cannot_be_written_is_said(
    environment: dict[str, str], tmp_path: Path, more: str, where: str, said: str
) -> None:
    code, _, err = shell(f"{LINE}{more} --trace run.jsonl {where}", environment, tmp_path)
    assert (code, err) == (1, f"decodekit: {said}\n")
    assert b'"kind":"footer"' in (tmp_path / "run.jsonl").read_bytes()


@pytest.mark.parametrize("command", ["--version", "--help", "plugins", "config schema", "doctor", "plugins top_k"])
def test_every_command_says_so(environment: dict[str, str], tmp_path: Path, command: str) -> None:
    code, _, err = shell(f"decodekit {command} > /dev/full", environment, tmp_path)
    assert code == 1 and err.startswith("decodekit: cannot write to stdout: ") and err.count("\n") == 1


@pytest.mark.parametrize("where", ["2>&-", "2> /dev/full", "<&-", "<&- 2>&-"])
def test_a_stream_that_is_not_needed_is_not_missed(environment: dict[str, str], tmp_path: Path, where: str) -> None:
    assert shell(f"{LINE} {where}", environment, tmp_path)[:2] == shell(LINE, environment, tmp_path)[:2]
    code, out, _ = shell(f"decodekit generate x --adapter none {where}", environment, tmp_path)
    assert (code, out) == (2, "")


def test_a_closed_stdin_has_no_prompt(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = shell(f"decodekit generate - {shlex.join(TOY)} <&-", environment, tmp_path)
    assert (code, out) == (2, "") and err.startswith("decodekit: cannot read the prompt from stdin: ")


def test_a_file_does_not_take_the_place_of_a_closed_stream(environment: dict[str, str], tmp_path: Path) -> None:
    code, _, _ = shell(f"{LINE} --trace run.jsonl <&- >&- 2>&-", environment, tmp_path)
    assert code == 1
    assert all(json.loads(line) for line in (tmp_path / "run.jsonl").read_bytes().splitlines())


def test_after_a_closed_pipe_nothing_more_is_written(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = shell(f"set -o pipefail; {LINE} --max-tokens 4000 | head -c 3", environment, tmp_path)
    assert (code, len(out), err) == (1, 3, "")
    code, _, err = shell("set -o pipefail; decodekit plugins | true", environment, tmp_path)
    assert code in (0, 1) and err == ""  # 0 where all was written before anybody left


def test_arguments_that_are_no_utf8_are_refused_before_anything_is_written(
    environment: dict[str, str], tmp_path: Path
) -> None:
    for flag in ("--stop", "--ban", "--chain", "--sampler", "--set"):
        value = r"$'\xff=1'" if flag == "--set" else r"$'\xff'"
        code, out, err = shell(f"{LINE} {flag} {value} --trace run.jsonl", environment, tmp_path)
        assert (code, out) == (2, ""), (flag, err)
        assert err.startswith("decodekit: ") and "fault" not in err and err.count("\n") == 1, (flag, err)
        assert not (tmp_path / "run.jsonl").exists(), flag


STARTED = """
import os, signal, sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder)
sys.argv = ["decodekit", *{arguments!r}]
from decodekit_command import main
main()
"""


@pytest.mark.parametrize(
    "name", ["numpy", "pydantic", "decodekit.session", "decodekit.cli", "typer", "rich.console", "toy_adapters"]
)
def test_ctrl_c_during_imports_is_quiet(environment: dict[str, str], tmp_path: Path, name: str) -> None:
    code = STARTED.format(name=name, arguments=[*GENERATE, "--trace", "run.jsonl"])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_command_starts_there() -> None:
    code = "import sys, decodekit_command; print([name for name in sys.modules if name.startswith('decodekit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
