"""docs/trace-format.schema.json accepts what the reader accepts, and refuses with it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import decodekit

from .forging import Line, dump, load

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE.parents[1] / "docs" / "trace-format.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
CONFORMANCE = HERE / "conformance"
VERDICTS = json.loads((CONFORMANCE / "verdicts.json").read_text())
NOT_THE_SCHEMAS = {"future.jsonl", "empty.jsonl"}  # without a line of this format
FILES = [
    *sorted(HERE.glob("golden/**/*.jsonl")),
    *(CONFORMANCE / name for name in VERDICTS if name not in NOT_THE_SCHEMAS),
]
RICH = ("level_full", "masked_heads", "abandoned", "resumed", "recovered", "provider", "constraint")
LINES = {name: load(CONFORMANCE / f"{name}.jsonl") for name in RICH}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_line_that_is_read_fits(path: Path) -> None:
    for line in load(path):
        errors = [error.message for error in VALIDATOR.iter_errors(line)]
        assert not errors, errors


def test_a_line_of_another_format_does_not_fit() -> None:
    assert not VALIDATOR.is_valid(load(CONFORMANCE / "future.jsonl")[0])


def ways(schema: Any, data: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """The way to each value that the schema describes, and whether it is required there."""
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        for option in schema["anyOf"]:
            if Draft202012Validator({**option, "$defs": SCHEMA["$defs"]}).is_valid(data):
                yield from ways(option, data, way)
                return
    if isinstance(data, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in data:
                yield (*way, name), name in schema.get("required", ())
                yield from ways(inner, data[name], (*way, name))
    if isinstance(data, list):
        for at, value in enumerate(data[:2]):
            inner = schema["prefixItems"][at] if "prefixItems" in schema else schema.get("items", {})
            yield (*way, at), False
            yield from ways(inner, value, (*way, at))


@settings(max_examples=150)
@given(st.data())
def test_what_is_missing_or_of_a_wrong_type_is_refused_by_schema_and_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """An object or a list in place of another value; a required key left out."""
    lines: list[Line] = copy.deepcopy(LINES[data.draw(st.sampled_from(RICH), "trace")])
    kinds = [line["kind"] for line in lines]
    at = kinds.index(data.draw(st.sampled_from(sorted(set(kinds))), "kind"))
    described = SCHEMA["$defs"][f"{kinds[at]}_line"]["properties"]["content"]
    places = [each for each in ways(described, lines[at]["content"]) if each[0] != ("contents",)]  # written anew
    (*way, last), required = data.draw(st.sampled_from(places), "place")
    holder = lines[at]["content"]
    for key in way:
        holder = holder[key]
    if required and data.draw(st.booleans(), "remove"):
        del holder[last]
        assert not VALIDATOR.is_valid(lines[at])
    else:
        for wrong in ({"x": []}, [[]], [{}]):
            holder[last] = wrong
            if not VALIDATOR.is_valid(lines[at]):
                break
        else:
            return  # anything goes, as in parameters
    path = dump(lines, tmp_path_factory.getbasetemp() / "wrong.jsonl")
    with pytest.raises(decodekit.TraceError):
        decodekit.read_trace(path)


@pytest.mark.parametrize("place", ["raw", "entry", "abandoned", "asked"])
def test_no_id_has_64_bits(tmp_path: Path, place: str) -> None:
    lines = load(CONFORMANCE / "top_p.jsonl")
    content = lines[1]["content"]
    if place == "abandoned":
        content["abandoned"] = [{"why": "x", "attempt": 0, "token_ids": [2**63]}]
    elif place == "asked":
        content["asked"] = [["why", {"top": None, "ids": [2**63], "kind": "named"}]]
    else:
        content["raw" if place == "raw" else "entries"] = (
            {**content["raw"], "top": [[2**63, 0.0]]} if place == "raw" else [{"name": "x", "top": [[2**63, 0.0]]}]
        )
    assert not VALIDATOR.is_valid(lines[1])
    with pytest.raises(decodekit.TraceError, match="less than"):
        decodekit.read_trace(dump(lines, tmp_path / "large.jsonl"))


def test_the_page_names_every_key() -> None:
    page = (HERE.parents[1] / "docs" / "trace-format.md").read_text()
    keys = {name for kind in SCHEMA["$defs"].values() for name in kind.get("properties", {})}
    assert keys - set(re.findall(r"`(\w+)`", page)) - {"kind", "content"} == set()
