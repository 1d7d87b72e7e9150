"""The traces of tests/trace/conformance, which any verifier must judge alike."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import decodekit

from . import independent
from .forging import dump, load
from .test_forging import forged, leaves

HERE = Path(__file__).parent
FOLDER, GOLDEN = HERE / "conformance", HERE / "golden"
SCHEMA = Draft202012Validator(json.loads((HERE.parents[1] / "docs" / "trace-format.schema.json").read_text()))
VERDICTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "verdicts.json").read_text())
SOUND = [name for name, row in VERDICTS.items() if row["kind"] == "sound"]
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


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verifier_written_from_the_page_alone_gives_the_same_verdict(name: str) -> None:
    row = VERDICTS[name]["verify"]
    assert independent.verify(FOLDER / name, SCHEMA.is_valid) == (row["word"], row["step"])


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_two_verifiers_agree_on_older_traces(path: Path) -> None:
    verdict = decodekit.verify(path)
    assert independent.verify(path, SCHEMA.is_valid) == (verdict.word, verdict.step)


@settings(max_examples=80)
@given(data=st.data())
def test_the_two_verifiers_agree_on_what_is_forged_at_random(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = load(FOLDER / data.draw(st.sampled_from(SOUND), "trace"))
    line = data.draw(st.sampled_from(lines), "line")
    *way, last = data.draw(st.sampled_from([way for _, way in leaves(line["content"], line["kind"])]), "place")
    holder = line["content"]
    for key in way:
        holder = holder[key]
    holder[last] = forged(holder[last], data)
    path = dump(lines, tmp_path_factory.getbasetemp() / "forged.jsonl")
    ours = found(path)
    assert independent.verify(path, SCHEMA.is_valid) == (ours["word"], ours["step"])
