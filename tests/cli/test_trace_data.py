"""``decodekit trace``: convert, info, recover, slice, query."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.toy_adapters import TEXT

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

Calls = Callable[..., list[tuple[int, str, str]]]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    chain = library.Chain([library.processor("temperature", temperature=0.8), library.processor("top_p", top_p=0.95)])
    library.Session(NGramAdapter(TEXT), chain, seed=7).generate_many(["the "], n=2, max_tokens=12, trace=path)
    return path


def test_a_trace_becomes_a_table_a_part_of_it_and_an_answer(one_after_another: Calls, trace: Path) -> None:
    converted, again, facts, verified, of_table, part, rows, found, found_csv, shown = one_after_another(
        [
            ["trace", "convert", "run.jsonl", "run.parquet"],
            ["trace", "convert", "run.jsonl", "run.parquet"],
            ["trace", "info", "run.jsonl"],
            ["trace", "info", "run.jsonl", "--verify", "--json"],
            ["trace", "info", "run.parquet", "--json"],
            ["trace", "slice", "run.parquet", "part.parquet", "--steps", "3:5", "--streams", "1"],
            ["trace", "slice", "run.jsonl", "part.rows", "--steps", "10:"],
            ["trace", "query", "SELECT stream, count(*) AS n FROM steps GROUP BY 1 ORDER BY 1", "run.jsonl", "--json"],
            ["trace", "query", "SELECT text, margin, raw_top_ids FROM steps LIMIT 2", "run.parquet", "--csv"],
            ["trace", "query", "SELECT step, text FROM steps, range(9)", "run.parquet"],
        ]
    )
    assert converted == (0, "run.parquet: 24 steps\n", "")
    assert again[0] == 2 and "exists" in again[2]
    assert facts[0] == 0 and "\nchain      temperature, top_p, multinomial\n" in facts[1]
    read = json.loads(verified[1])
    assert verified[0] == 0 and read["verdict"]["word"] == "proved" and read["ended"] == {"length": 2}
    assert json.loads(of_table[1])["tokens"] == 24
    assert part == (0, "part.parquet: 2 steps\n", "")
    assert rows == (0, "part.rows: 4 steps\n", "")
    assert [json.loads(line) for line in found[1].splitlines()] == [{"stream": 0, "n": 12}, {"stream": 1, "n": 12}]
    lines = list(csv.reader(io.StringIO(found_csv[1])))
    assert lines[0] == ["text", "margin", "raw_top_ids"] and len(lines) == 3 and lines[1][2].startswith("[")
    assert shown[0] == 0 and len(shown[1].splitlines()) == 101 and "first 100 rows" in shown[2]


def test_a_table_has_the_columns_that_fit_and_a_long_row_stands_downwards(
    one_after_another: Calls, trace: Path
) -> None:
    assert trace.exists()
    one, some, none, lists = one_after_another(
        [
            ["trace", "query", "SELECT * FROM steps LIMIT 1", "run.jsonl"],
            ["trace", "query", "SELECT * EXCLUDE run FROM steps LIMIT 3", "run.jsonl"],
            ["trace", "query", "SELECT * FROM steps LIMIT 0", "run.jsonl"],
            ["trace", "query", "SELECT text, final_ids, final_scores FROM steps LIMIT 2", "run.jsonl"],
        ]
    )
    run = library.read_trace(trace)
    lines = one[1].splitlines()
    assert one[0] == 0 and one[2] == "" and f"logprob           {run.steps[0].logprob!r}" in lines
    assert "trace             run.jsonl" in lines and "final_ids " in one[1]
    lines = some[1].splitlines()
    assert len(lines) == 4 and lines[0].split()[:4] == ["stream", "step", "token_id", "text"], some[1]
    assert all(repr(step.logprob) in line for step, line in zip(run.steps, lines[1:], strict=False))
    shown = len(lines[0].split())
    assert f"the first {shown} of 24 columns; " in some[2] and "--json and --csv give all" in some[2]
    assert len(none[1].splitlines()) == 1 and " of 25 columns" in none[2]
    assert lists[1].split()[:3] == ["text", "final_ids", "final_scores"] and lists[2] == ""


def test_wrong_calls_and_bad_files_are_one_line(one_after_another: Calls, trace: Path, tmp_path: Path) -> None:
    whole = trace.read_bytes()
    (tmp_path / "torn.jsonl").write_bytes(whole[:-40])
    (tmp_path / "other.txt").write_text("dear diary")
    cases = [
        (["trace", "convert", "run.jsonl", "run.csv"], 2, "must end in .parquet"),
        (["trace", "convert", "torn.jsonl", "torn.parquet"], 1, "decodekit recover"),
        (["trace", "info", "other.txt"], 1, "is not a decodekit trace"),
        (["trace", "slice", "run.jsonl", "a.parquet", "--steps", "3"], 2, "--steps is two numbers, A:B"),
        (["trace", "slice", "run.jsonl", "a.parquet", "--streams", "x"], 2, "--streams takes whole numbers"),
        (["trace", "slice", "run.jsonl", "a.parquet", "--streams", "9"], 2, "has no stream 9; it has 0, 1"),
        (["trace", "query", "SELECT * FROM '/etc/passwd'", "run.jsonl"], 2, "the query failed"),
        (["trace", "query", "FROM steps", "run.jsonl", "--json", "--csv"], 2, "exclude one another"),
        (["trace", "query", "FROM steps", "nowhere.jsonl"], 2, "nowhere.jsonl"),
    ]
    for (call, code, why), done in zip(cases, one_after_another([call for call, _, _ in cases]), strict=True):
        assert done[0] == code, (call, done)
        assert why in done[2] and done[2].count("\n") == 1, done
    assert {path.name for path in tmp_path.iterdir()} == {"run.jsonl", "torn.jsonl", "other.txt"}
    facts, kept = one_after_another(
        [["trace", "info", "torn.jsonl", "--json"], ["trace", "recover", "torn.jsonl", "kept.jsonl"]]
    )
    assert facts[0] == 1 and "incomplete" in json.loads(facts[1])["fault"]
    assert kept[0] == 0 and "24 steps kept" in kept[1]


def test_hostile_text_reaches_no_terminal(one_after_another: Calls, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\u202e<script>"
    trace = library.Session(NGramAdapter(evil * 9), seed=1).generate(
        "\x1b", max_tokens=12, trace=tmp_path / "run.jsonl"
    )
    assert "\x1b" in trace.text or "\x07" in trace.text
    sql = 'SELECT text, chr(27) AS "\x1b[2J" FROM steps'
    for _, out, _ in one_after_another([["trace", "query", sql, "run.jsonl", *form] for form in ([], ["--json"])]):
        assert len(out.splitlines()) >= 12
        assert not set(out) & {"\x1b", "\x07", "\u202e"}
