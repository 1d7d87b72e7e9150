"""Writing reports: what is in the file, what is refused, and that none is half written."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.errors import ParameterError, TraceError
from decodekit.report import html, scripts, write_report
from decodekit.report.columns import Columns, shares_shown
from decodekit.testing import NGramAdapter

CONFORMANCE = Path(__file__).parents[1] / "trace" / "conformance"
VERDICTS = json.loads((CONFORMANCE / "verdicts.json").read_text())
TOP_P = CONFORMANCE / "top_p.jsonl"


def island(page: str, name: str) -> dict[str, Any]:
    """The head of an island."""
    found = re.search(rf'<script type="application/octet-stream" id="{name}">([A-Za-z0-9+/=]*)</script>', page)
    assert found is not None
    data = zlib.decompress(base64.b64decode(found[1]))
    (size,) = struct.unpack_from("<I", data)
    head: dict[str, Any] = json.loads(data[4 : 4 + size])
    return head


def test_a_policy_allows_this_script_and_this_style_only() -> None:
    page = html(TOP_P)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    script, style = (
        re.search(r"<script>(.*?)</script>", page, re.DOTALL),
        re.search(r"<style>(.*?)</style>", page, re.DOTALL),
    )
    assert policy and script and style and policy[1].startswith("default-src 'none';") and "unsafe" not in policy[1]
    for text in (script[1], style[1]):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy[1]
    assert not re.search(
        r"(src|href|action)\s*=|\bhttps?://(?!www\.w3\.org/2000/svg)|\bstyle=|innerHTML|\bfetch\(", page
    )


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_every_trace_gives_a_page_with_the_verdict_or_a_typed_error(name: str) -> None:
    wanted = VERDICTS[name]["verify"]
    if wanted["word"] == "refused":
        with pytest.raises(TraceError):
            html(CONFORMANCE / name)
        return
    (run,) = island(html(CONFORMANCE / name), "first")["runs"]
    assert (run["verdict"]["word"], run["verdict"]["step"]) == (wanted["word"], wanted["step"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (lambda folder: folder / "missing" / "page.html", "no folder"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: folder / "run.jsonl", "is not a report"),
        (lambda folder: folder / ("x" * 300), "cannot write"),
        (lambda folder: folder / "a\0b.html", "cannot write"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, path: Callable[[Path], Path], message: str) -> None:
    tmp_path.joinpath("run.jsonl").write_bytes(TOP_P.read_bytes())
    with pytest.raises(TraceError, match=message):
        write_report(TOP_P, path(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["run.jsonl"]
    assert tmp_path.joinpath("run.jsonl").read_bytes() == TOP_P.read_bytes()


def test_an_older_report_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report(TOP_P, page)
    before = page.read_bytes()
    assert write_report(CONFORMANCE / "floor.jsonl", page) == page
    assert page.read_bytes() != before and list(tmp_path.iterdir()) == [page]
    with pytest.raises(TraceError):
        write_report(CONFORMANCE / "empty.jsonl", page)
    assert list(tmp_path.iterdir()) == [page] and page.read_bytes().startswith(b"<!doctype html>")


def test_what_is_no_trace_is_refused() -> None:
    for given in ([], 5, [TOP_P, 5], None):
        with pytest.raises(ParameterError):
            html(given)


def test_traces_results_and_paths_give_the_same_page() -> None:
    trace = decodekit.read_trace(TOP_P)
    from_path, from_trace = island(html(TOP_P), "first"), island(html([trace]), "first")
    assert from_path["texts"] == from_trace["texts"] == [step.text for step in trace.steps]


def test_a_tokenizer_of_another_run_names_no_token() -> None:
    other = NGramAdapter("another text").tokenizer
    assert other.fingerprint != "x"
    trace = decodekit.read_trace(TOP_P)
    trace.header.adapter["tokenizer_fingerprint"] = "x"
    with pytest.raises(ParameterError, match="fingerprint"):
        html(trace, tokenizer=other)
    page = html([trace, TOP_P], tokenizer=other)
    assert [run["foreign"] for run in island(page, "first")["runs"]] == [True, False]
    assert [run["streams"][0]["prompt"] for run in island(page, "first")["runs"]] == [None, "the "]


def test_columns_are_read_back_by_their_significance() -> None:
    columns = Columns()
    columns.add("a", "f8", [1.5, -2.0, float("inf")])
    columns.add("b", "id", [1, 2**40])
    kind, offset, count = columns.table["a"]
    planes = np.frombuffer(columns.data(), np.uint8, 8 * count, offset).reshape(8, count)
    assert kind == "f8" and np.ascontiguousarray(planes.T).view("<f8").ravel().tolist() == [1.5, -2.0, float("inf")]
    assert columns.table["b"][0] == "f8", "ids beyond 2**31 need the larger kind"


def test_numbers_for_display_are_those_that_are_shown() -> None:
    values = np.random.default_rng(3).uniform(0, 1, 1000) ** 6
    seen = values[values >= 5e-5]
    assert [f"{each:.2f}" for each in 100 * shares_shown(seen)] == [f"{each:.2f}" for each in 100 * seen]
    assert shares_shown([0.0, 1e-9, 4.9e-5])[1:].tolist() == [1e-5, 1e-5] and shares_shown([0.0]) == 0
    columns = Columns()
    columns.add("odd", "d3", [1e300, -math.inf, math.nan, -0.0004])
    assert columns.table == {"odd": ("d3", 0, 4)}
    planes = np.frombuffer(columns.data(), np.uint8).reshape(4, 4)
    limit = 2**31
    assert np.ascontiguousarray(planes.T).view("<i4").ravel().tolist() == [limit - 1, 1 - limit, -limit, 0]


def test_modules_that_the_page_cannot_join_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"a.js": 'import { b } from "./b.js";\nexport const a = b;\n', "b.js": 'import { a } from "./a.js";\n'}
    monkeypatch.setattr(scripts, "asset", texts.__getitem__)
    with pytest.raises(ValueError, match="a -> b -> a"):
        scripts.joined("a")
    texts["b.js"] = "export default 5;\n"
    with pytest.raises(ValueError, match=r"b\.js"):
        scripts.joined("a")
