"""From JSON Lines to a table and back to the numbers: exact where it is promised; parts, queries, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.trace.about import about
from decodekit.trace.header import SequenceEnd
from decodekit.trace.reader import inspect_trace
from decodekit.trace.writer import TraceWriter

from .conftest import chain
from .far_ids import far_run
from .forging import dump, load

pytest.importorskip("pyarrow")
import pyarrow
from pyarrow import parquet

from decodekit.trace.converting import Part, convert, slice_trace

EXACT = ("logprob", "raw_logprob", "rank", "score", "margin", "runner_up")  # of the choice
SECOND = 2**32  # the stream of the second prompt
HERE = Path(__file__).parent


@pytest.fixture
def run(tmp_path: Path, ngram: NGramAdapter) -> Path:
    path = tmp_path / "run.jsonl"
    session = decodekit.Session(ngram, chain("truncated"), seed=7)
    session.generate_many(["the ", "a"], max_tokens=30, trace=[path, tmp_path / "sink.parquet"])
    return path


def differences(trace: decodekit.Trace, rows: list[dict[str, Any]]) -> list[str]:
    """The columns that promise all digits, and do not have them."""
    wrong = []
    for row, step in zip(rows, trace.steps, strict=True):
        evidence = step.evidence
        expected: dict[str, Any] = {
            **{name: getattr(step.choice, name) for name in EXACT},
            "stream": step.stream,
            "step": step.index,
            "token_id": step.token_id,
            "text": step.text,
            "word": None if step.draw is None else step.draw.word.to_bytes(8, "big"),
            "raw_support": step.raw.support,
            "raw_entropy": step.raw.entropy,
            "raw_top_ids": [token_id for token_id, _ in step.raw.top],
            "final_ids": None if evidence is None else evidence.token_ids.tolist(),
            "final_floor": None if evidence is None else evidence.floor,
            "complete": step.complete,
            "abandoned": len(step.abandoned),
        }
        wrong += [name for name, value in expected.items() if row[name] != value]
        for column, values in (
            ("raw_top_logprobs", [logprob for _, logprob in step.raw.top]),
            ("final_scores", [] if evidence is None else evidence.scores.tolist()),
        ):
            if (row[column] or []) != np.array(values, np.float32).tolist():
                wrong.append(column)
    return wrong


def test_all_digits_are_there_where_they_are_promised_in_every_kept_trace(tmp_path: Path) -> None:
    for at, path in enumerate(sorted([*HERE.glob("golden/*.jsonl"), *HERE.glob("conformance/*.jsonl")])):
        target = tmp_path / f"{at}.parquet"
        try:
            trace, fault = inspect_trace(path)
        except decodekit.TraceError:
            with pytest.raises(decodekit.TraceError):
                convert(path, target)
            assert not target.exists(), path
            continue
        if fault is not None:
            with pytest.raises(decodekit.TraceError):
                convert(path, target)
            assert not target.exists(), path
            continue
        assert convert(path, target) == len(trace.steps)
        assert differences(trace, parquet.read_table(target).to_pylist()) == [], path
        footer = trace.footer
        ended = about(target)["ended"]
        assert (ended is None) == (footer is None)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_table_of_every_version_is_read_as_it_was_written(tmp_path: Path, version: int) -> None:
    """Each was written once, from the trace beside it; the next version of the columns gets a file of its own."""
    kept = HERE / "golden" / f"steps-{version}.parquet"
    convert(HERE / "golden" / "streams.jsonl", tmp_path / "now.parquet")
    slice_trace(kept, tmp_path / "copy.parquet", Part())
    table, now, copy = (
        parquet.read_table(path) for path in (kept, tmp_path / "now.parquet", tmp_path / "copy.parquet")
    )
    assert table.to_pylist() == now.to_pylist() == copy.to_pylist()
    assert now.equals(copy) and copy.schema.metadata[b"decodekit.schema"] == b"decodekit-steps/2"
    assert table.schema.equals(now.schema) == (version == 2)
    assert about(kept)["tokens"] == len(table) == len(decodekit.read_trace(HERE / "golden" / "streams.jsonl").steps)


def test_ids_of_63_bits_have_all_their_digits_in_every_table(tmp_path: Path) -> None:
    """Such ids are made up for a server of texts."""
    far_run([tmp_path / "run.jsonl", tmp_path / "sink.parquet"])
    trace = decodekit.read_trace(tmp_path / "run.jsonl")
    assert max(step.token_id for step in trace.steps) > 2**62
    convert(tmp_path / "run.jsonl", tmp_path / "now.parquet")
    slice_trace(tmp_path / "run.jsonl", tmp_path / "part.parquet", Part())
    for table in (
        pyarrow.table(trace),
        *(parquet.read_table(tmp_path / f"{name}.parquet") for name in ("sink", "now", "part")),
    ):
        assert differences(trace, table.to_pylist()) == []


def test_a_number_without_room_in_a_table_is_named_with_its_column(tmp_path: Path, run: Path) -> None:
    lines = load(run)
    lines[2]["content"]["raw"]["support"] = 10**30
    with pytest.raises(decodekit.TraceError, match=r"does not fit into a table: the column raw_support: .*too large"):
        convert(dump(lines, tmp_path / "large.jsonl"), tmp_path / "large.parquet")


def test_numbers_at_the_edge_survive_both_ways(tmp_path: Path, run: Path) -> None:
    first = decodekit.read_trace(run)
    step = first.steps[0]
    choice = replace(step.choice, logprob=-5e-324, raw_logprob=-1.7976931348623157e308, score=0.1 + 0.2, margin=inf)
    edge = replace(step, choice=choice, text="\u2028\x00\U0001f600é", stream=2**64 - 1, index=0)
    header = replace(first.header, sequences=[(2**64 - 1, 0)], stop={})
    with TraceWriter(tmp_path / "edge.jsonl", header) as writer:
        writer.write(edge)
        writer.close([SequenceEnd(2**64 - 1, 1, "stop")])
    convert(tmp_path / "edge.jsonl", tmp_path / "edge.parquet")
    again = decodekit.read_trace(tmp_path / "edge.jsonl")
    assert differences(again, parquet.read_table(tmp_path / "edge.parquet").to_pylist()) == []
    slice_trace(tmp_path / "edge.parquet", tmp_path / "edge.rows", Part())
    row = json.loads((tmp_path / "edge.rows").read_bytes())
    assert (row["logprob"], row["stream"], row["text"], row["margin"]) == (-5e-324, 2**64 - 1, edge.text, "inf")


def test_what_is_converted_is_what_the_sink_writes(run: Path, tmp_path: Path) -> None:
    assert convert(run, tmp_path / "converted.parquet") == 60
    tables = [parquet.read_table(tmp_path / name) for name in ("sink.parquet", "converted.parquet")]
    times = ["predict_seconds", "chain_seconds"]  # a trace file has seven digits of them
    assert tables[0].drop_columns(times).equals(tables[1].drop_columns(times))
    metadata = [parquet.read_metadata(tmp_path / name).metadata for name in ("sink.parquet", "converted.parquet")]
    assert metadata[0] == metadata[1]


def test_no_trace_is_made_of_a_table(run: Path, tmp_path: Path) -> None:
    for source, target, why in (
        (tmp_path / "sink.parquet", "back.jsonl", "no trace can be made of one"),
        (run, "copy.jsonl", r"must end in \.parquet"),
    ):
        with pytest.raises(decodekit.ConfigError, match=why):
            convert(source, tmp_path / target)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("source", ["run.jsonl", "sink.parquet"])
def test_a_part_is_a_table_or_rows_and_says_what_it_is(run: Path, tmp_path: Path, source: str) -> None:
    whole = parquet.read_table(tmp_path / "sink.parquet")
    part = Part([SECOND], 3, 6)
    assert slice_trace(tmp_path / source, tmp_path / "part.parquet", part) == 3
    table = parquet.read_table(tmp_path / "part.parquet")
    expected = [row for row in whole.to_pylist() if row["stream"] == SECOND and 3 <= row["step"] < 6]
    assert [row["token_id"] for row in table.to_pylist()] == [row["token_id"] for row in expected]
    assert [row["step"] for row in table.to_pylist()] == [3, 4, 5]
    facts = about(tmp_path / "part.parquet")
    assert facts["part"] == {"streams": [SECOND], "first": 3, "end": 6}
    assert (facts["tokens"], facts["ended"], facts["sequences"]) == (3, None, 2)
    assert slice_trace(tmp_path / source, tmp_path / "part.rows", part) == 3
    rows = [json.loads(line) for line in (tmp_path / "part.rows").read_bytes().splitlines()]
    assert [row["token_id"] for row in rows] == table.column("token_id").to_pylist()
    assert rows[0]["word"] == table.column("word")[0].as_py().hex()
    with pytest.raises(decodekit.TraceError, match="not a header"):
        decodekit.verify(tmp_path / "part.rows")
    assert slice_trace(tmp_path / "part.parquet", tmp_path / "less.parquet", Part(first=5)) == 1
    for target in ("none.parquet", "none.rows"):
        with pytest.raises(decodekit.ConfigError, match=r"no sequence has a step of 99:, so there is nothing to write"):
            slice_trace(tmp_path / source, tmp_path / target, Part(first=99))
        assert not (tmp_path / target).exists()
    with pytest.raises(decodekit.ConfigError, match="a slice is a Parquet table"):
        slice_trace(tmp_path / source, tmp_path / "part.csv", part)
    with pytest.raises(decodekit.ConfigError, match=f"has no stream 5; it has 0, {SECOND}"):
        slice_trace(tmp_path / source, tmp_path / "more.parquet", Part([5]))


def test_tables_of_other_versions_and_other_files_are_told_by_name(run: Path, tmp_path: Path) -> None:
    table = parquet.read_table(tmp_path / "sink.parquet")
    metadata = dict(table.schema.metadata)
    cases: dict[str, tuple[Any, str]] = {
        "future": (table.replace_schema_metadata({**metadata, b"decodekit.schema": b"decodekit-steps/3"}),
                   r"'decodekit-steps/3'; this version reads 'decodekit-steps/2' and 'decodekit-steps/1'"),
        "older ids": (table.replace_schema_metadata({**metadata, b"decodekit.schema": b"decodekit-steps/1"}),
                      "no column token_id of the type int32, as decodekit-steps/1 has"),
        "foreign": (table.replace_schema_metadata({}), "no table of decodekit"),
        "headless": (table.replace_schema_metadata({b"decodekit.schema": b"decodekit-steps/2"}), "no usable header"),
        "fewer": (table.drop_columns(["margin"]), "no column margin of the type double"),
    }  # fmt: skip
    for name, (changed, why) in cases.items():
        path = tmp_path / f"{name}.parquet"
        parquet.write_table(changed, path)
        for act in (about, lambda path: slice_trace(path, tmp_path / "target.parquet", Part())):
            with pytest.raises(decodekit.TraceError, match=why):
                act(path)
    more = table.append_column("later", table.column("step"))
    parquet.write_table(more, tmp_path / "more.parquet")  # a later version of this schema may have more columns
    assert slice_trace(tmp_path / "more.parquet", tmp_path / "kept.parquet", Part()) == 60
    whole = (tmp_path / "sink.parquet").read_bytes()
    for name, data in (
        ("cut", whole[:-9]),
        ("torn", whole[:5000]),
        ("flipped", whole[:200] + b"\xff" * 99 + whole[299:]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(decodekit.TraceError, match=name):
            slice_trace(tmp_path / name, tmp_path / "target.parquet", Part())
    assert not (tmp_path / "target.parquet").exists() and not list(tmp_path.glob(".*"))


def test_two_traces_in_one_file_and_a_torn_one_are_refused_without_a_target(run: Path, tmp_path: Path) -> None:
    data = run.read_bytes()
    for name, content, why in (
        ("two", data + data, "more lines after its footer"),
        ("open", data[: data.rindex(b'{"kind":"footer"')] + data, "digest in line 62"),
        ("torn", data[:-40], "decodekit recover"),
    ):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(content)
        with pytest.raises(decodekit.TraceError, match=why):
            convert(path, tmp_path / "target.parquet")
        assert about(path)["fault"] is not None
        assert about(path)["tokens"] in (59, 60)
    with pytest.raises(decodekit.TraceError, match="no folder"):
        convert(run, tmp_path / "nowhere" / "target.parquet")
    assert not (tmp_path / "target.parquet").exists() and not list(tmp_path.glob(".*"))


def test_the_facts_of_a_trace_and_of_its_table_agree(run: Path, tmp_path: Path) -> None:
    trace, table = about(run), about(tmp_path / "sink.parquet")
    assert trace["chain"] == ["temperature", "top_p", "multinomial"] and trace["ended"] == {"length": 2}
    assert (trace["resumed"], trace["shortened"], trace["fault"]) == (0, 0, None)
    for name in ("level", "seed", "model", "chain", "prompts", "sequences", "tokens", "ended"):
        assert trace[name] == table[name], name
    assert trace["bytes"] == run.stat().st_size


def test_rows_that_have_no_room_on_the_disk_are_an_error_of_their_file(run: Path, tmp_path: Path) -> None:
    """A file of at most 512 bytes: what is buffered fails again when it is closed."""
    target = tmp_path / "part.rows"
    code = (
        "import resource, signal, sys; from decodekit import TraceError\n"
        "from decodekit.trace.converting import Part, slice_trace\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "try: slice_trace(sys.argv[1], sys.argv[2], Part())\n"
        "except TraceError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, run, target], capture_output=True, text=True, timeout=60)
    assert str(target) in done.stdout and "File too large" in done.stdout, done
    assert not list(tmp_path.glob(".part.rows*"))
