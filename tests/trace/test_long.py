"""A trace may be longer than memory: reading, verifying and converting it take no more for more steps."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.trace.reader import glance, open_trace

from .long_traces import write_long

MIB = 2**20


def peak(act: Callable[[], Any]) -> int:
    """The most memory that Python's objects took, in bytes."""
    act()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    sizes = (100, 1000)
    for steps in sizes:
        write_long(tmp_path / str(steps), steps)
    for act in (lambda path: sum(1 for _ in open_trace(path)), decodekit.verify):
        short, long = (peak(lambda act=act, steps=steps: act(tmp_path / str(steps))) for steps in sizes)
        assert long < short + MIB // 4, act
    verdict = decodekit.verify(tmp_path / "1000")
    assert verdict.word == "proved" and len(verdict.words) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("what", ["read", "verify", "convert"])
def test_a_hundred_thousand_steps(tmp_path: Path, what: str) -> None:
    found = []
    for steps in (10_000, 100_000):
        command = [sys.executable, str(Path(__file__).with_name("long_traces.py")), str(tmp_path), what, str(steps)]
        write_long(tmp_path / f"{steps}.jsonl", steps)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout)
        found.append(int(done.stdout.split(" MiB")[0].rpartition(" ")[2]))
    assert found[1] < found[0] + 48


def test_a_file_that_changes_while_it_is_verified_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, tokens in (("one", 3), ("two", 4)):
        session = decodekit.Session(NGramAdapter("ab" * 9), seed=7)
        session.generate("a", max_tokens=tokens, ban=["zz"], trace=tmp_path / name)
    monkeypatch.setattr("decodekit.trace.verifying.glance", lambda _: glance(tmp_path / "two"))
    with pytest.raises(decodekit.TraceError, match="was changed while it was read"):
        decodekit.verify(tmp_path / "one")
