"""SQL over traces: one SELECT, of these files and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit.testing import NGramAdapter

from .conftest import TEXT, chain
from .far_ids import far_run

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from decodekit.trace.querying import query


def asked(sql: str, *traces: Path) -> list[tuple[Any, ...]]:
    with query(sql, traces) as answer:
        return list(answer.rows)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A trace with a name that is a pattern and has a quote, and the table of another run."""
    paths = tmp_path / "it's [a-z]*.jsonl", tmp_path / "b's?.parquet"
    for seed, path in enumerate(paths):
        session = decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=seed)
        session.generate("the ", max_tokens=5 + seed, trace=path)
    return paths


def test_a_query_sees_all_steps_of_all_files(runs: tuple[Path, Path]) -> None:
    counted = asked("SELECT trace, count(*), min(step), max(step) FROM steps GROUP BY ALL ORDER BY 2", *runs)
    assert counted == [(str(runs[0]), 5, 0, 4), (str(runs[1]), 6, 0, 5)]
    trace = decodekit.read_trace(runs[0])
    found = asked("SELECT token_id, margin, word FROM steps ORDER BY step", runs[0])
    assert [row[0] for row in found] == trace.token_ids()
    assert [row[1] for row in found] == [step.choice.margin for step in trace.steps]
    assert [bytes(row[2]).hex() for row in found] == [f"{step.draw.word:016x}" for step in trace.steps if step.draw]
    joined = "SELECT count(*) FROM steps a JOIN steps b USING (trace, stream, step)"
    assert asked(joined, runs[0], runs[1]) == [(11,)]
    assert asked("WITH x AS (FROM steps) SELECT sum(len(final_ids)) > 0 FROM x", *runs) == [(True,)]


def test_tables_of_both_widths_of_ids_are_asked_together(tmp_path: Path) -> None:
    far_run(tmp_path / "far.jsonl")
    old = Path(__file__).parent / "golden" / "steps-1.parquet"
    assert asked("SELECT max(token_id) > 2**62, min(len(raw_top_ids)) > 0 FROM steps", tmp_path / "far.jsonl", old) == [
        (True, True)
    ]


SECRET = "dear diary"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{other}')",
        "SELECT * FROM read_csv('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT content FROM read_blob('/proc/self/environ')",
        "SELECT * FROM read_text('http://127.0.0.1:9/')",
        "SELECT * FROM SECRET",
        "COPY steps TO '{folder}/stolen'",
        "COPY steps TO '{table}'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access",
        "EXPORT DATABASE '{folder}/all'",
        "CREATE TABLE x AS FROM steps",
        "DROP VIEW steps",
        "SELECT 1; SELECT 2",
        "SELECT getenv('HOME')",
        "SELECT nothing FROM steps",
        "SELEC",
        "",
    ],
)
def test_it_reads_and_writes_no_other_file(runs: tuple[Path, Path], tmp_path: Path, sql: str) -> None:
    other = tmp_path / "other.txt"
    other.write_text(SECRET)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    filled = sql.format(other=other, folder=tmp_path, table=str(runs[1]).replace("'", "''"))
    with pytest.raises(decodekit.ConfigError, match=r"the query failed: |one SELECT"):
        asked(filled, runs[1])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_that_are_no_traces_are_told_by_name(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(SECRET)
    for path, why in ((other, "not a decodekit trace"), (tmp_path / "nowhere", "cannot read")):
        with pytest.raises(decodekit.TraceError, match=why):
            asked("FROM steps", path)


def test_a_file_that_is_given_twice_is_refused(runs: tuple[Path, Path]) -> None:
    with pytest.raises(decodekit.ConfigError, match="is given twice"):
        asked("SELECT 1 FROM steps", runs[0], runs[1], runs[0])
