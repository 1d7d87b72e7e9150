"""One field forged, under digests that fit: found, or docs/traces.md says that it is trusted."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit.trace.header import Header

from .forged_runs import STRONGEST, word_of
from .forging import Line

LEVELS = ("choice", "proof", "full")


def table() -> dict[str, dict[str, str]]:
    """The table of docs/traces.md: for each field what is said of it at each level."""
    text = (Path(__file__).parents[2] / "docs" / "traces.md").read_text()
    rows: dict[str, dict[str, str]] = {}
    for line in re.findall(r"^\| (`(?:header|step|footer)\..*) \|$", text, re.MULTILINE):
        what, *said = [cell.strip() for cell in line.split("|")]
        for name in re.findall(r"`((?:header|step|footer)[^`]*)`", what):
            condition = next((each for each in ("of a head", "with a floor") if each in what), "")
            rows[f"{name} {condition}".strip()] = dict(zip(LEVELS, said, strict=True))
    return rows


TABLE_OF_FIELDS = table()


def leaves(data: Any, path: str) -> Iterator[tuple[str, list[Any]]]:
    """Every value and every list in a line's content: its name in the table, and the way to it."""

    def walk(value: Any, name: str, way: list[Any]) -> Iterator[tuple[str, list[Any]]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{name}.{key}", [*way, key])
            return
        yield name, way
        if isinstance(value, list):
            for i, inner in enumerate(value):
                at = i if name == "header.sequences[]" else ""  # a pair; what its members mean differs
                yield from walk(inner, f"{name}[{at}]", [*way, i])

    return walk(data, path, [])


def said_of(name: str, line: Line, level: str) -> str:
    """What the table says of a field; the row of the nearest field that it is a part of."""
    content = line["content"]
    conditions = []
    if line["kind"] == "step":
        conditions += ["of a head"] * (content["raw"]["tail"] is not None)
        conditions += ["with a floor"] * (content.get("final", {}).get("floor") is not None)
    field = name
    while name:
        for key in (*(f"{name} {condition}" for condition in conditions), name):
            if key in TABLE_OF_FIELDS:
                return TABLE_OF_FIELDS[key][level]
        name = re.sub(r"(\[\d?\]|\.[^.\[\]]+|^[a-z]+)$", "", name)
    raise AssertionError(f"docs/traces.md says nothing of {field}")


def forged(value: Any, data: st.DataObject) -> Any:
    """Another value, such as somebody might like better."""
    if isinstance(value, list):
        return value[:-1] if value else [1]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        others = [other for other in (value + 1, value + 2, value - 1, 0, 1) if other != value]
        return data.draw(st.sampled_from(others))
    if isinstance(value, float):
        size = max(1.0, abs(value))
        return data.draw(st.sampled_from([value + 0.5, value - 0.5, value + 1e-6 * size, value - 1e-6 * size, 99.0]))
    if isinstance(value, str):
        return data.draw(st.sampled_from([other for other in (value + "x", value[::-1] + "0", "") if other != value]))
    return data.draw(st.sampled_from([0, 1, 0.5, "x"]))


def name_of(line: Line) -> str:
    return str(line["kind"])


@settings(max_examples=500)
@given(data=st.data())
def test_one_forged_field_is_found_or_trusted(
    honest: dict[str, list[Line]], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = data.draw(st.sampled_from(sorted(honest)), "run")
    lines = copy.deepcopy(honest[run])
    line = data.draw(st.sampled_from(lines), "line")
    places: dict[str, list[list[Any]]] = {}
    for name, way in leaves(line["content"], name_of(line)):
        places.setdefault(name, []).append(way)
    name = data.draw(st.sampled_from(sorted(places)), "field")  # the long lists are not all there is
    *way, last = data.draw(st.sampled_from(places[name]), "place")
    level = honest[run][0]["content"]["level"]
    said = said_of(name, line, level)
    holder = line["content"]
    for key in way:
        holder = holder[key]
    holder[last] = forged(holder[last], data)
    if name == "footer.contents":
        return  # written anew by whoever forges; see test_damage
    word = word_of(lines, tmp_path_factory.getbasetemp() / "forged.jsonl")
    if said == "checked":
        assert word not in (STRONGEST[level], "ambiguous"), (run, name, holder[last])


def test_the_table_speaks_of_every_field(honest: dict[str, list[Line]]) -> None:
    seen = set()
    for lines in honest.values():
        for line in lines:
            for name, _ in leaves(line["content"], name_of(line)):
                assert said_of(name, line, lines[0]["content"]["level"]) in ("checked", "in part", "trusted"), name
                seen.add(name)
    for field in [each for each in fields(Header) if each.compare]:  # the others are no part of the contents
        assert any(name.startswith(f"header.{field.name}") for name in TABLE_OF_FIELDS), field.name
    absent = {name.split(" ")[0] for name in TABLE_OF_FIELDS} - seen
    groups = {"header.chain.processors[].params", "header.adapter", "header.stop", "header.versions", "step.raw",
              "step.final", "step.row", "step.schedule", "header.given", "footer.shortened",
              "header.tools", "header.tool_choice", "footer.ends[].tool_calls"}  # fmt: skip
    assert absent <= groups
