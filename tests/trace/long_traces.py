"""Long traces, and what reading them takes: ``python long_traces.py FOLDER WHAT STEPS`` prints seconds and peak memory.

The run is greedy, so that one step can be written again and again: its draw does not depend on its place.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.trace.header import SequenceEnd
from decodekit.trace.writer import TraceWriter


def write_long(path: Path, steps: int) -> None:
    """A trace of one sequence with so many steps."""
    session = decodekit.Session(NGramAdapter("ab" * 9), decodekit.Chain([], "greedy"), seed=7)
    trace = session.generate("a", max_tokens=1).trace
    header = replace(trace.header, stop={**trace.header.stop, "max_tokens": steps})
    with TraceWriter(path, header) as writer:
        for index in range(steps):
            writer.write(replace(trace.steps[0], index=index))
        writer.close([SequenceEnd(0, steps, "length")])


def convert(path: Path) -> None:
    from decodekit.trace.converting import convert

    convert(path, path.with_suffix(".parquet"))


def resume(path: Path) -> None:
    for _ in decodekit.resume_stream(path, NGramAdapter("ab" * 9)):
        pass


WHAT: dict[str, Callable[[Path], Any]] = {
    "read": lambda path: sum(1 for _ in decodekit.trace.open_trace(path)),
    "verify": lambda path: decodekit.verify(path),
    "convert": convert,
    "resume": resume,
}


def main(folder: Path, what: str, steps: int) -> None:
    path = folder / f"{steps}.jsonl"
    if not path.exists():
        write_long(path, steps)
    started = time.process_time()
    found = WHAT[what](path)
    spent = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what}, {steps} steps: {spent:.2f} s, {spent / steps * 1e6:.0f} us a step, {peak} MiB, {found}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
