"""A batch job on the real model that is interrupted, then killed: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

import decodekit
from tests.cli.conftest import COMMAND
from tests.trials.commands import commands

CONFIG = """
[adapter]
type = "llamacpp"
model = "smollm2"
n_ctx = 256
n_threads = 1

[[chain]]
name = "temperature"
temperature = 0.8

[session]
seed = 7
"""
JOB = ["generate", "-c", "app.toml", "--prompts", "in.jsonl", "--out", "out.jsonl"]
LINES = [
    {"id": f"{name}-{i}", "prompt": f"The {name} of a small town", "max_tokens": 48 if i == 7 else 1 + 2 * i}
    for i, name in enumerate(["mayor", "river", "school", "garden", "bakery", "station", "library", "market"])
]


def stopped_after(folder: Path, lines: int, how: signal.Signals) -> int:
    """Run the job, and send it a signal once so many results are written; its exit code."""
    process = subprocess.Popen([*COMMAND, *JOB], cwd=folder, stderr=subprocess.DEVNULL)
    out = folder / "out.jsonl"
    while not out.exists() or out.read_bytes().count(b"\n") < lines:
        assert process.poll() is None
        signal.sigtimedwait([], 0.01)
    process.send_signal(how)
    return process.wait(60)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()]


@pytest.mark.real_model
def test_a_job_that_is_interrupted_and_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text(CONFIG)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    out = tmp_path / "out.jsonl"

    assert stopped_after(tmp_path, 2, signal.SIGINT) == 130
    interrupted = out.read_bytes()
    assert stopped_after(tmp_path, interrupted.count(b"\n") + 1, signal.SIGKILL) == -signal.SIGKILL
    killed = out.read_bytes()
    whole = killed[: killed.rfind(b"\n") + 1]
    assert interrupted.endswith(b"\n") and whole.startswith(interrupted) and whole.count(b"\n") < len(LINES)

    assert commands(tmp_path, JOB, JOB) == [(0, "", "")] * 2
    assert out.read_bytes().startswith(whole)
    found = {row["id"]: row for row in rows(tmp_path)}
    assert len(rows(tmp_path)) == len(found) == len(LINES) and not any("error" in row for row in found.values())
    with decodekit.Session.from_config(tmp_path / "app.toml") as session:
        for line in LINES:
            row = found[line["id"]]
            alone = session.generate(line["prompt"], max_tokens=line["max_tokens"], seed=row["seed"])
            assert (row["text"], row["token_ids"]) == (alone.text, list(alone.token_ids))
