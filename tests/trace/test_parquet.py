"""The Parquet sink: the same numbers as the trace file, an encoding made for them, and no half of a file."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter
from tests.interrupts import count_opcodes, interrupt

from .conftest import TEXT, chain

pytest.importorskip("pyarrow")
import pyarrow
from pyarrow import parquet

import decodekit.trace.fanout
from decodekit.trace.columns import DELTA, DICTIONARIES, SPLIT, run_of
from decodekit.trace.evidence import Evidence
from decodekit.trace.header import SequenceEnd
from decodekit.trace.parquet import write_parquet
from decodekit.trace.tables import ParquetSteps

SINGLE = ("kl", "entropy", "mass_removed", "kept_mass")


def single(values: Any) -> Any:
    """These numbers with 32 bits."""
    return [None if value is None else float(np.float32(value)) for value in values]


@pytest.mark.parametrize("written_by", ["the sink", "write_parquet"])
def test_a_table_holds_the_numbers_of_the_trace(tmp_path: Path, ngram: NGramAdapter, written_by: str) -> None:
    path, beside = tmp_path / "run.parquet", tmp_path / "run.jsonl"
    session = decodekit.Session(ngram, chain("truncated"), seed=7)
    targets = [beside, path] if written_by == "the sink" else [beside]
    session.generate_many(["the ", "a"], max_tokens=6, trace=targets)
    trace = decodekit.read_trace(beside)
    if written_by == "write_parquet":
        write_parquet(trace, path)
    table = parquet.read_table(path)
    rows = table.to_pylist()
    for name, of in {
        "stream": lambda step: step.stream,
        "step": lambda step: step.index,
        "token_id": lambda step: step.token_id,
        "text": lambda step: step.text,
        "logprob": lambda step: step.choice.logprob,
        "raw_logprob": lambda step: step.choice.raw_logprob,
        "margin": lambda step: step.choice.margin,
        "runner_up": lambda step: step.choice.runner_up,
        "word": lambda step: step.draw.word.to_bytes(8, "big"),
        "raw_entropy": lambda step: step.raw.entropy,
        "final_floor": lambda step: step.evidence.floor,
    }.items():
        assert [row[name] for row in rows] == [of(step) for step in trace.steps], name
    for row, step in zip(rows, trace.steps, strict=True):
        assert step.evidence is not None
        assert row["final_ids"] == step.evidence.token_ids.tolist()
        assert row["final_scores"] == single(step.evidence.scores)
        assert row["raw_top_ids"] == [token_id for token_id, _ in step.raw.top]
        assert row["raw_top_logprobs"] == single(logprob for _, logprob in step.raw.top)
        for processor, entry in zip(row["processors"], step.entries, strict=True):
            assert processor["name"] == entry.name
            assert [processor[name] for name in SINGLE] == single(getattr(entry, name) for name in SINGLE)
    metadata = parquet.read_metadata(path).metadata
    assert table.schema.metadata[b"decodekit"] == metadata[b"decodekit"]
    assert json.loads(metadata[b"decodekit"]) == json.loads(beside.read_text().splitlines()[0])["content"]
    assert metadata[b"decodekit.schema"] == b"decodekit-steps/2"
    assert [end["tokens"] for end in json.loads(metadata[b"decodekit.ends"])["ends"]] == [6, 6]
    assert set(table.column("run").to_pylist()) == {run_of(trace.header)}
    with pytest.raises(decodekit.TraceError, match=r"a Parquet table.*give the JSON Lines"):
        decodekit.read_trace(path)


def test_the_columns_are_the_same_whatever_was_recorded(tmp_path: Path, ngram: NGramAdapter) -> None:
    schemas = []
    for level, tokens, sampler in (("choice", 3, "greedy"), ("proof", 3, "multinomial"), ("full", 0, "multinomial")):
        path = tmp_path / f"{level}.parquet"
        session = decodekit.Session(ngram, chain("bare", sampler), seed=7)
        session.generate("the ", max_tokens=tokens, level=level, stream=2**63, trace=path)  # type: ignore[arg-type]
        table = parquet.read_table(path)
        schemas.append(table.schema.remove_metadata())
        assert table.num_rows == tokens
        assert (table.column("final_ids").null_count == tokens) == (level == "choice" or not tokens)
        assert table.column("stream").to_pylist() == [2**63] * tokens
    assert schemas[0] == schemas[1] == schemas[2]


def test_row_groups_have_the_size_that_was_asked_for_and_leaves_their_encodings(tmp_path: Path) -> None:
    result = decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=1).generate("the ", max_tokens=50)
    sink = decodekit.sink("parquet", parquet=tmp_path / "run.parquet", row_group=4096)
    writer = sink.open(result.trace.header)
    for index in range(5000):
        writer.write(replace(result.trace.steps[index % 50], index=index))
    writer.close([SequenceEnd(0, 5000, "length")])
    metadata = parquet.ParquetFile(tmp_path / "run.parquet").metadata
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [4096, 904]
    leaves = {}
    for at in range(metadata.num_columns):
        leaf = metadata.row_group(0).column(at)
        leaves[leaf.path_in_schema] = set(leaf.encodings)
        assert leaf.has_column_index
    for names, encoding in (
        (SPLIT, "BYTE_STREAM_SPLIT"),
        (DELTA, "DELTA_BINARY_PACKED"),
        (DICTIONARIES, "RLE_DICTIONARY"),
    ):
        assert all(encoding in leaves.pop(name) for name in names)
    assert set(leaves) == {"word", "complete"}
    steps = parquet.read_table(tmp_path / "run.parquet").column("step").to_pylist()
    assert steps == list(range(5000))


def test_row_groups_and_batches_are_bounded_in_bytes_too(tmp_path: Path) -> None:
    """The final support of a step may be a whole vocabulary."""
    first = decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=1).generate("the ", max_tokens=1).trace
    size = 100_000
    wide = replace(first.steps[0], evidence=Evidence(np.arange(size), np.zeros(size), None))
    writer = decodekit.sink("parquet", parquet=tmp_path / "run.parquet").open(first.header)
    for index in range(80):
        writer.write(replace(wide, index=index))
    writer.close([SequenceEnd(0, 80, "length")])
    steps = ParquetSteps(tmp_path / "run.parquet")
    metadata = parquet.ParquetFile(tmp_path / "run.parquet").metadata
    assert metadata.num_row_groups == 2 and metadata.row_group(0).num_rows * size * 12 < 80 * 2**20
    sizes = [(batch.num_rows, batch.nbytes) for batch in steps.batches()]
    assert sum(rows for rows, _ in sizes) == 80 and max(taken for _, taken in sizes) < 16 * 2**20


def test_a_run_that_fails_or_is_left_early_has_a_table_of_what_was_generated(tmp_path: Path) -> None:
    session, seen = decodekit.Session(NGramAdapter(TEXT), seed=7), []

    def until(step: decodekit.Step) -> bool:
        if step.index == 2:
            raise RuntimeError
        return False

    with pytest.raises(RuntimeError):
        session.generate("the ", max_tokens=5, until=until, trace=tmp_path / "failed.parquet")
    stream = session.stream("the ", max_tokens=5, trace=tmp_path / "left.parquet")
    assert not (tmp_path / "left.parquet").exists()
    seen = [next(stream).token_id for _ in range(2)]
    assert not (tmp_path / "left.parquet").exists()
    stream.close()
    assert parquet.read_table(tmp_path / "left.parquet").column("token_id").to_pylist() == seen
    assert parquet.read_table(tmp_path / "failed.parquet").num_rows in (2, 3)
    assert len(list(tmp_path.iterdir())) == 2


def test_no_file_is_left_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = decodekit.Session(NGramAdapter(TEXT), seed=7)
    (tmp_path / "there.parquet").write_text("dear diary")
    for name, why in (("there.parquet", "exists"), ("nowhere/run.parquet", "no folder"), ("a\0.parquet", "null")):
        with pytest.raises(decodekit.TraceError, match=why):
            session.generate("the ", trace=tmp_path / name)
    assert (tmp_path / "there.parquet").read_text() == "dear diary"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", full)
    with pytest.raises(decodekit.TraceError, match=r"cannot write .*run\.parquet: No space left") as caught:
        session.generate("the ", max_tokens=4, trace=[tmp_path / "run.jsonl", tmp_path / "run.parquet"])
    assert len(caught.value.partial.token_ids) == 4
    assert decodekit.verify(tmp_path / "run.jsonl").word == "proved"
    assert {path.name for path in tmp_path.iterdir()} == {"there.parquet", "run.jsonl"}


def test_a_trace_is_read_by_whatever_reads_arrow(tmp_path: Path, ngram: NGramAdapter) -> None:
    result = decodekit.Session(ngram, chain("short"), seed=7).generate(
        "the ", max_tokens=9, trace=tmp_path / "a.parquet"
    )
    table = pyarrow.table(result.trace)
    assert table.equals(parquet.read_table(tmp_path / "a.parquet"))
    many = decodekit.Trace(result.trace.header, [result.trace.steps[at % 9] for at in range(2500)], None)
    assert pyarrow.table(many).column("token_id").to_pylist() == many.token_ids()
    empty = pyarrow.table(decodekit.Trace(result.trace.header, [], None))
    assert empty.num_rows == 0 and empty.schema == table.schema


def test_scores_beyond_32_bits_are_infinite_without_a_warning(ngram: NGramAdapter) -> None:
    trace = decodekit.Session(ngram, chain("truncated"), seed=7).generate("the ", max_tokens=1).trace
    [step] = trace.steps
    far = replace(step, evidence=Evidence(np.arange(2), np.array([1e300, -1e300]), None))
    table = pyarrow.table(decodekit.Trace(trace.header, [far], None))
    assert table.column("final_scores").to_pylist() == [[np.inf, -np.inf]]


def test_an_interrupt_anywhere_leaves_a_whole_table_or_none(tmp_path: Path) -> None:
    session, numbers = decodekit.Session(NGramAdapter(TEXT), seed=7), count()
    expected, shown = list(session.generate("the ", max_tokens=3).token_ids), []

    def streamed(path: Path) -> None:
        shown.clear()
        for step in session.stream("the ", max_tokens=3, trace=path):
            shown.append(step.token_id)  # noqa: PERF401 - one by one: an interrupt comes in between

    files = [decodekit.trace.parquet.__file__, decodekit.trace.fanout.__file__]
    whole = 0
    for at in range(0, count_opcodes(lambda: streamed(tmp_path / "run.parquet"), files), 9):
        path = tmp_path / f"{next(numbers)}.parquet"
        interrupt(lambda path=path: streamed(path), files, at)
        if path.exists():
            found = parquet.read_table(path).column("token_id").to_pylist()
            assert found[: len(shown)] == shown and found == expected[: len(found)], at
            whole += 1
    assert whole > 10


@pytest.mark.parametrize("row_group", [4095, 65537, 1.5])
def test_a_row_group_is_neither_too_small_nor_too_large(row_group: Any) -> None:
    with pytest.raises(decodekit.ParameterError, match="row_group"):
        decodekit.sink("parquet", parquet="run.parquet", row_group=row_group)
