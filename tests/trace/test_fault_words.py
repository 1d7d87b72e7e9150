"""What is wrong with a line of a trace is said in our words, with the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.trace.codec import digest

from .conftest import TEXT

STEP = [
    ({"token": -1}, "content.token: must be greater than or equal to 0, not -1"),
    ({"token": "x"}, "content.token: must be a whole number, not 'x'"),
    ({"step": 1.5}, "content.step: must be a whole number, not 1.5"),
    ({"raw": None}, "content.raw: must be a table, not None"),
    ({"entries": [{}]}, "content.entries.0.name is missing"),
    ({"choice": {}}, "content.choice.logprob is missing"),
    ({"draw": 3}, "content.draw: must be a table, not 3"),
    ({"schedule": {"batch": []}}, "content.schedule.batch: must be a whole number or text, not []"),
    (
        {"final": {"token_ids": [1, "x"], "scores": [], "floor": None}},
        "content.final.token_ids.1: must be a whole",
    ),
    (
        {"row": {"token_ids": None, "dtype": "object", "scores": ""}},
        "content.row.dtype: must be 'float32' or",
    ),
    ({"surprise": 1}, "content.surprise is no field of this format"),
]
HEADER = [
    ({"seed": "7"}, "seed: must be a whole number, not '7'"),
    ({"prompts": [[]]}, "prompts.0: must be a list that is not empty, not []"),
    ({"level": "most"}, "level: must be 'none', 'choice', 'proof' or 'full', not 'most'"),
    ({"chain": {"processors": 3}}, "chain.processors: must be a list, not 3"),
    ({"adapter": None}, "adapter: must be a table, not None"),
]
THEIRS = ("Input", "valid ", "instance", "dict", "tuple", "str]", "Error", "pydantic", "line 1 column")


def written(folder: Path) -> list[bytes]:
    path = folder / "whole.jsonl"
    decodekit.Session(NGramAdapter(TEXT), seed=7).generate("the ", max_tokens=2, trace=path)
    return path.read_bytes().splitlines()


def said(folder: Path, *lines: bytes) -> str:
    path = folder / "changed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(decodekit.TraceError) as caught:
        decodekit.read_trace(path)
    message = str(caught.value)
    assert not [word for word in THEIRS if word in message]
    return message.replace(str(path), "PATH")


def line(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


@pytest.mark.parametrize(("changed", "words"), STEP, ids=[next(iter(changed)) for changed, _ in STEP])
def test_a_field_of_a_step(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    header, step, *_ = written(tmp_path)
    data = json.loads(step)
    data["content"] |= changed
    assert said(tmp_path, header, line(data)).startswith(f"line 2 of PATH, after 0 steps, is damaged: {words}")


@pytest.mark.parametrize(("changed", "words"), HEADER, ids=[next(iter(changed)) for changed, _ in HEADER])
def test_a_field_of_the_header(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    header, *_ = written(tmp_path)
    data = json.loads(header)
    data["content"] |= changed
    assert said(tmp_path, line(data)).startswith(f"PATH is not a decodekit trace: {words}")


def test_a_footer_and_a_resumption(tmp_path: Path) -> None:
    header, *_ = written(tmp_path)
    resumed = line({"kind": "resumed", "prev": digest(header), "content": {"steps": []}})
    assert said(tmp_path, header, resumed).endswith("is damaged: steps: must be a whole number, not []")
    body = line({"kind": "footer", "prev": digest(header), "content": {"ends": 3}})[:-1]
    footer = body + b',"check":"' + digest(body).encode() + b'"}'
    assert said(tmp_path, header, footer).endswith("is damaged: ends: must be a list, not 3")


@pytest.mark.parametrize("first", [b"[]", b"{}", b'{"kind":"header"}', b'{"kind":"header","content":[]}', b"3"])
def test_json_that_is_no_header(tmp_path: Path, first: bytes) -> None:
    assert said(tmp_path, first) == "PATH is not a decodekit trace: its first line is not a header"


def test_a_line_that_is_no_json(tmp_path: Path) -> None:
    header, *_ = written(tmp_path)
    assert said(tmp_path, header, b'{"kind" 3}').startswith("line 2 of PATH, after 0 steps, is damaged: it is not JSON")
    deep = said(tmp_path, header, b"[" * 100_000)
    assert deep.startswith("line 2 of PATH, after 0 steps, is damaged: it is not JSON: recursion limit exceeded")
