from __future__ import annotations

import json
import math
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import decodekit
from decodekit.testing import BytesTokenizer, NGramAdapter, TableAdapter
from decodekit.trace.codec import encode_step, to_line
from decodekit.trace.parsing import parse_step

from .conftest import chain


def test_every_line_is_strict_json_that_other_tools_can_read(written: Path) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    kinds = [json.loads(line, parse_constant=refuse)["kind"] for line in written.read_text().splitlines()]
    assert kinds == ["header", *["step"] * 6, "footer"]


def test_a_trace_is_readable_by_its_owner_only(written: Path) -> None:
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_a_trace_is_never_written_over(written: Path, ngram: NGramAdapter) -> None:
    before = written.read_bytes()
    with pytest.raises(decodekit.TraceError, match="exists"):
        decodekit.Session(ngram).generate("the ", max_tokens=1, trace=written)
    assert written.read_bytes() == before


def test_a_step_is_in_the_file_before_its_token_is_handed_out(tmp_path: Path, ngram: NGramAdapter) -> None:
    path = tmp_path / "run.jsonl"
    for step in decodekit.Session(ngram, seed=1).stream("the ", max_tokens=4, trace=path):
        last = json.loads(path.read_bytes().splitlines()[-1])
        assert last["content"]["step"] == step.index
        assert last["content"]["token"] == step.token_id


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(scores=st.lists(floats, min_size=1, max_size=20), floor=st.none() | floats)
def test_scores_survive_the_file_to_the_last_bit(scores: list[float], floor: float | None) -> None:
    step = next(decodekit.Session(TableAdapter({(): [0.0, 1.0]}, 2), seed=0).stream([0], max_tokens=1))
    evidence = decodekit.trace.evidence.Evidence(np.arange(len(scores)), np.array(scores), floor)
    from dataclasses import replace

    line = to_line(
        {
            "kind": "step",
            "prev": "",
            "content": encode_step(replace(step, evidence=evidence)),
            "timing": {"predict": 0, "chain": 0},
        }
    )
    read = parse_step(line).evidence
    assert read is not None
    assert read.scores.tobytes() == np.array(scores).tobytes()
    assert read.floor == floor


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_raw_row_survives_the_file_to_the_last_bit_masks_included(tmp_path: Path, dtype: type) -> None:
    row = np.array([0.1, -math.inf, 1e-45, -0.0, 3.3333333], dtype=dtype)
    adapter = TableAdapter({(): row}, 5)
    decodekit.Session(adapter, seed=0).generate([0], max_tokens=1, trace=tmp_path / "t", level="full")
    read = decodekit.read_trace(tmp_path / "t").steps[0].row
    assert read is not None
    assert read[0] is None
    assert read[1].dtype == dtype
    assert read[1].tobytes() == row.tobytes()


def test_a_long_line_is_read_as_a_short_one(written: Path) -> None:
    for line in written.read_bytes().splitlines()[1:-1]:
        long = line[:-1] + b" " * 2**19 + b"}"
        assert encode_step(parse_step(long)) == encode_step(parse_step(line))


def test_infinite_margins_are_written_as_text(tmp_path: Path) -> None:
    adapter = TableAdapter({(): [0.0, -math.inf]}, 2)
    decodekit.Session(adapter, seed=0).generate([0], max_tokens=1, trace=tmp_path / "t")
    assert '"margin":"inf"' in (tmp_path / "t").read_text()
    assert decodekit.read_trace(tmp_path / "t").steps[0].choice.margin == math.inf
    assert decodekit.verify(tmp_path / "t").word == "proved"


def test_many_sequences_share_one_file_and_each_line_says_whose_it_is(tmp_path: Path, ngram: NGramAdapter) -> None:
    path = tmp_path / "run.jsonl"
    results = decodekit.Session(ngram, chain("truncated"), seed=7).generate_many(
        ["the c", "and"], n=2, max_tokens=5, trace=path
    )
    trace = decodekit.read_trace(path)
    assert [stream for stream, _ in trace.header.sequences] == [0, 1, 1 << 32, (1 << 32) | 1]
    assert decodekit.verify(path).word == "proved"
    for row, prompt in zip(results, ["the c", "and"], strict=True):
        for result in row:
            assert trace.token_ids(result.stream) == list(result.token_ids)
            assert trace.prompt_of(result.stream) == BytesTokenizer().encode(prompt)
    with pytest.raises(decodekit.TraceError, match="no sequence"):
        trace.prompt_of(99)


def test_no_secret_can_enter_a_trace_because_a_config_holds_only_names(tmp_path: Path, ngram: NGramAdapter) -> None:
    # The header keeps the configuration; what is secret stays in the environment, under a name the config gives.
    path = tmp_path / "run.jsonl"
    decodekit.Session(ngram, seed=7).generate("the ", max_tokens=1, trace=path)
    header = json.loads(path.read_text().splitlines()[0])["content"]
    assert set(header) == {
        "seed", "level", "prompts", "sequences", "chain", "adapter", "on_undisclosed", "stop", "top_logprobs",
        "metadata", "config", "versions", "chat_template", "format", "rng",
    }  # fmt: skip


def test_the_date_of_a_run_is_kept_when_it_is_read_and_written_again(tmp_path: Path, ngram: NGramAdapter) -> None:
    """Also that of a resumption: the time of a copy is not that of the run."""
    path, longer = tmp_path / "run.jsonl", tmp_path / "longer.jsonl"
    result = decodekit.Session(ngram, seed=7).generate("the ", max_tokens=2, trace=path)
    assert result.trace.to_bytes() == path.read_bytes()
    decodekit.resume(path, ngram, max_tokens=4, trace=longer)
    read = decodekit.read_trace(longer)
    old = "2001-01-01T00:00:00.000+00:00"
    read.header, read.resumed = replace(read.header, created=old), [replace(read.resumed[0], created=old)]
    again = decodekit.Trace.from_bytes(read.to_bytes())
    assert again.to_bytes() == read.to_bytes() and read.to_bytes().count(old.encode()) == 2
    assert (again.header.created, again.resumed[0].created) == (old, old)
