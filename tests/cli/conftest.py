"""The real command in a process of its own, with toy adapters that it finds by entry points."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fcntl import ioctl
from itertools import cycle
from pathlib import Path
from typing import Protocol

import pytest

from tests.cli.fork_server import ForkServer

COMMAND = [sys.executable, "-m", "decodekit"]
TOY = ("--adapter", "toy")
CHAIN = ("--chain", "temperature=0.8 top_p=0.95")


DRIVER = """
import contextlib, io, json, sys
from decodekit.cli import main

for call in json.load(sys.stdin):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(call)
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()]))
"""


class Decodekit(Protocol):
    """``decodekit("verify", "run.jsonl")`` runs the command in the test's own folder."""

    def __call__(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def plugin_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like an installed distribution."""
    path = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("toy_adapters.py"), path)
    info = path / "toy_adapters-1.5.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: toy-adapters\nVersion: 1.5\n")
    names = {
        "toy": "Toy",
        "hostile": "Hostile",
        "top3": "Top3",
        "fickle": "Fickle",
        "awaited": "Awaited",
        "drawing": "Drawing",
        "broken": "Missing",
    }
    points = "".join(f"{name} = toy_adapters:{target}\n" for name, target in names.items())
    info.joinpath("entry_points.txt").write_text(
        f"[decodekit.adapters]\n{points}[decodekit.processors]\nabsent = an_extra_that_is_not_here:Absent\n"
    )
    return path


def environment_with(plugin_path: Path) -> dict[str, str]:
    """The environment of the command: the toys on its path, and nothing that asks for colours or widths."""
    kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")}
    return {**kept, "PYTHONPATH": str(plugin_path), "PYTHONWARNINGS": "error", "TERM": "xterm-256color"}


@pytest.fixture
def environment(plugin_path: Path) -> dict[str, str]:
    return environment_with(plugin_path)


@pytest.fixture(scope="package")
def servers(plugin_path: Path) -> Iterator[Iterator[ForkServer]]:
    """Two that take turns: what depends on the order of a set's elements differs between two calls of a test."""
    started = [ForkServer({**environment_with(plugin_path), "PYTHONHASHSEED": seed}) for seed in ("1", "2")]
    yield cycle(started)
    for each in started:
        each.close()


@pytest.fixture
def decodekit(environment: dict[str, str], servers: Iterator[ForkServer], tmp_path: Path) -> Decodekit:
    def run(
        *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        if env:  # what Python reads at its start may be among it
            done = subprocess.run(
                [*COMMAND, *arguments], input=stdin, capture_output=True, cwd=tmp_path, env={**environment, **env},
                timeout=60, check=False,
            )  # fmt: skip
            code, output, errors = done.returncode, done.stdout, done.stderr
        else:
            code, output, errors = next(servers).run(arguments, stdin, tmp_path, environment)
        out, err = output.decode(), errors.decode()
        assert "Traceback" not in err or "--debug" in arguments, err
        return subprocess.CompletedProcess([*COMMAND, *arguments], code, out, err)

    return run


@pytest.fixture
def one_after_another(environment: dict[str, str], tmp_path: Path) -> Callable[..., list[tuple[int, str, str]]]:
    """Many calls in one process, which saves their start: exit code, stdout and stderr of each."""

    def run(calls: Sequence[Sequence[str]]) -> list[tuple[int, str, str]]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(calls).encode(),
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Callable[..., tuple[str, int]]:
    """As `decodekit`, but in a terminal of 100 by 30: everything that reached it, and the exit code."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, interrupt_at: bytes = b"") -> tuple[str, int]:
        own, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=tmp_path,
            env={**environment, **(env or {})},
            start_new_session=True,
        )
        os.close(theirs)
        seen, ends = b"", time.monotonic() + 60
        while time.monotonic() < ends:
            if not select.select([own], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(own, 65536)
            except OSError:  # the other side has closed
                break
            seen += data
            if interrupt_at and interrupt_at in seen:
                process.send_signal(signal.SIGINT)
                interrupt_at = b""
        os.close(own)
        return seen.decode(), process.wait(10)

    return run
