"""What a run leaves behind at the end of its process, and in a forked one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import decodekit

BEGUN = """
import os, sys
from decodekit import Session
from decodekit.testing import NGramAdapter
steps = Session(NGramAdapter("the cat sat on the mat. " * 3), seed=3).stream("the ", max_tokens=12, trace={path!r})
for _ in range(4):
    next(steps)
"""
IN_THE_CHILD = {
    "goes": "sys.exit(0)",
    "closes": "steps.close(); sys.exit(0)",
    "goes on": """
try:
    next(steps)
except Exception as error:
    print(type(error).__name__, error, flush=True)
sys.exit(0)
""",
}


def ran(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["run.jsonl", "run.parquet"])
def test_a_process_ends_with_a_stream_half_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert ran(BEGUN.format(path=str(path)) + "print('main ends')") == "main ends\n"
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("name", ["run.jsonl", "run.parquet"])
@pytest.mark.parametrize("child", IN_THE_CHILD)
def test_a_forked_process_leaves_the_trace_to_its_parent(name: str, child: str, tmp_path: Path) -> None:
    path = tmp_path / name
    body = "\n".join("    " + line for line in IN_THE_CHILD[child].strip().splitlines())
    code = f"{BEGUN.format(path=str(path))}\nif (child := os.fork()) == 0:\n{body}\nos.waitpid(child, 0)\n"
    said = ran(code + "print(sum(1 for _ in steps) + 4)")
    refused = "TraceError this process is a fork, and the run was begun before it; its trace is written there\n"
    assert said == (refused if child == "goes on" else "") + "12\n"
    if name == "run.jsonl":
        assert decodekit.verify(path).word == "proved"
    else:
        from pyarrow import parquet

        assert parquet.read_table(path).num_rows == 12
    assert [each.name for each in tmp_path.iterdir()] == [name]
