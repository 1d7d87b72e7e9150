"""Runs that are killed while they write: ``python killed_runs.py FOLDER TIMES`` prints one line for each.

The process that is killed is a fork, so that the library is imported once. It says which tokens it has returned through
a pipe; the kill comes after a number of them and a part of a step, both by chance.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import decodekit
from decodekit.testing import NGramAdapter

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4


def write(path: Path, out: int) -> None:
    """Return tokens without an end, and say each."""
    for step in decodekit.Session(NGramAdapter(TEXT), seed=7).stream("the ", max_tokens=10**6, trace=path):
        os.write(out, b"%d\n" % step.token_id)


def kill_one(path: Path, chance: random.Random) -> list[int]:
    """The tokens that a run had returned when it was killed."""
    read, out = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        write(path, out)
    os.close(out)
    said, wanted = b"", chance.randrange(1, 40)
    while said.count(b"\n") < wanted:
        said += os.read(read, 64)
    moment = time.perf_counter() + chance.random() * 1e-3
    while time.perf_counter() < moment:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(read, 2**16):
        said += more
    os.close(read)
    return [int(token) for token in said.split(b"\n")[:-1]]


def recovered(path: Path) -> list[int]:
    """The tokens that the trace of a killed run has."""
    try:
        return decodekit.read_trace(path).token_ids()
    except decodekit.TraceError:
        return decodekit.recover(path, path.with_suffix(".recovered")).token_ids()


def main(folder: Path, times: int) -> None:
    for at in range(times):
        path = folder / f"{at}.jsonl"
        returned = kill_one(path, random.Random(at))
        kept = recovered(path)
        print(len(returned), len(kept), kept[: len(returned)] == returned, decodekit.verify(path).word, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
