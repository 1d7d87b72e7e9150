"""The traces of tests/trace/conformance, which any verifier must judge alike."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import decodekit

from .forging import dump, load

FOLDER = Path(__file__).parent / "conformance"
VERDICTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "verdicts.json").read_text())
RUN_AGAIN = [name for name, row in VERDICTS.items() if "chain" in row]


def found(path: Path, *, chain: bool = False) -> dict[str, Any]:
    try:
        verdict = decodekit.verify(path, chain=chain)
    except decodekit.TraceError:
        return {"word": "refused", "step": None}
    return {"word": verdict.word, "step": verdict.step}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_trace_gets_its_verdict(name: str) -> None:
    assert found(FOLDER / name) == VERDICTS[name]["verify"]


@pytest.mark.parametrize("name", RUN_AGAIN)
def test_each_recorded_chain_gets_its_verdict(name: str, tmp_path: Path) -> None:
    lines = load(FOLDER / name)
    chain = lines[0]["content"]["chain"]
    for part in (*chain["processors"], chain["sampler"]):
        part["version"] = version("decodekit")  # a chain of another version is not run
    assert found(dump(lines, tmp_path / name), chain=True) == VERDICTS[name]["chain"]


def test_the_table_names_every_file_and_every_word() -> None:
    assert {path.name for path in FOLDER.glob("*.jsonl")} == set(VERDICTS)
    words = {row["verify"]["word"] for row in VERDICTS.values()}
    assert words == {"proved", "ambiguous", "consistent", "incomplete", "failed", "refused"}
    assert max(path.stat().st_size for path in FOLDER.glob("*.jsonl")) < 12_000
