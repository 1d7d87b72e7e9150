"""The command in a process of its own that need not import it: forked from one that has, and that has run nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import decodekit

__all__ = ["ForkServer"]

SERVER = """
import gc, json, os, signal, socket, sys
import decodekit.cli.app, decodekit.testing, decodekit_sampling
from decodekit.cli import main

link = socket.socket(fileno=int(sys.argv[1]))
gc.freeze()  # pages of what is never freed stay shared
while True:
    told, files, _, _ = socket.recv_fds(link, 65536, 3)
    if not told:
        sys.exit()
    while not told.endswith(b"\\n"):
        told += link.recv(65536)
    if (child := os.fork()) == 0:
        break
    for file in files:
        os.close(file)
    link.sendall(b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

signal.alarm(60)
link.close()
for place, file in enumerate(files):
    os.dup2(file, place)
    os.close(file)
sys.argv, folder, environment = json.loads(told)
os.chdir(folder)
sys.path[0] = folder
os.environ.clear()
os.environ.update(environment)
main()
"""


class ForkServer:
    """A process that has imported the command, and forks for each call; closed by `close`.

    Args:
        environment: its own; that of a call may be another, but for what Python reads at its start.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._link, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(theirs.fileno())], env=environment, pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # as those of a call
            )  # fmt: skip

    def run(
        self, arguments: Sequence[str], stdin: bytes, folder: Path, environment: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr of one call, which is killed after 60 seconds."""
        pipes = [os.pipe() for _ in range(3)]
        (theirs, to), (out, their_out), (err, their_err) = pipes
        argv = [str(Path(decodekit.__file__).with_name("__main__.py")), *arguments]
        told = json.dumps([argv, str(folder), dict(environment)]).encode() + b"\n"
        sent = socket.send_fds(self._link, [told], [theirs, their_out, their_err])
        self._link.sendall(told[sent:])
        for file in (theirs, their_out, their_err):
            os.close(file)
        with os.fdopen(out, "rb") as output, os.fdopen(err, "rb") as errors, ThreadPoolExecutor(2) as pool:
            streams = [pool.submit(file.read) for file in (output, errors)]
            with contextlib.suppress(BrokenPipeError), os.fdopen(to, "wb") as given:  # a command need not read it
                given.write(stdin)
            code = b""
            while not code.endswith(b"\n"):
                code += self._link.recv(64) or b"no code: the server ended\n"
            return int(code), streams[0].result(), streams[1].result()

    def close(self) -> None:
        """End it."""
        self._link.close()
        self._process.communicate(timeout=10)
