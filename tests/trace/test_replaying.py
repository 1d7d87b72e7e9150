from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.trace.writer import TraceWriter

from .conftest import chain, wide


def test_replay_over_the_same_model_agrees_without_drift(tmp_path: Path, wide_adapter: TableAdapter) -> None:
    path = tmp_path / "run.jsonl"
    session = decodekit.Session(wide_adapter, chain("truncated"), seed=3)
    session.generate_many([[5], [6, 7]], n=2, max_tokens=70, trace=path)
    report = decodekit.replay(path, adapter=wide_adapter)
    assert report.live
    assert report.equal == len(report.steps) == 280
    assert report.max_drift == 0.0
    assert report.warnings == []
    assert report.first_difference is None


@pytest.mark.parametrize("name", ["truncated", "untruncated"])
def test_replay_over_a_model_that_moved_reports_its_drift_and_explains_what_it_changed(
    tmp_path: Path, wide_adapter: TableAdapter, name: str
) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(wide_adapter, chain(name), seed=3).generate([5], max_tokens=120, trace=path)

    def moved(ids: tuple[int, ...]) -> np.ndarray:
        return wide(ids) + np.random.default_rng([9, *ids]).normal(0, 0.05, 3000).astype(np.float32)

    report = decodekit.replay(path, adapter=TableAdapter(moved, 3000))
    assert 0.01 < report.max_drift < 1
    assert report.equal < 120  # at 0.05 nats some draws of a flat distribution turn
    assert report.first_difference is not None
    assert all(
        step.explained == (step.replayed == step.token_id or 2 * step.drift >= step.margin) for step in report.steps
    )


def test_a_difference_the_drift_cannot_explain_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    adapter = TableAdapter({(): [0.0, 1.0, 2.0]}, 3)
    decodekit.Session(adapter, decodekit.Chain([], "greedy"), seed=3).generate([0], max_tokens=2, trace=path)
    trace = decodekit.read_trace(path)
    trace.header.chain["sampler"]["name"] = "multinomial"  # another program than the one that ran
    report = decodekit.replay(trace, adapter=adapter)
    assert report.max_drift == 0.0
    assert not report.explained or report.equal == 2


def test_replay_warns_of_another_model(tmp_path: Path, ngram: NGramAdapter) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(ngram, chain("truncated"), seed=3).generate("the ", max_tokens=3, trace=path)
    report = decodekit.replay(path, adapter=NGramAdapter("another text altogether"))
    assert any("model_fingerprint" in warning for warning in report.warnings)


def test_replay_of_a_chain_that_is_not_installed_says_which_part(tmp_path: Path, ngram: NGramAdapter) -> None:
    path = tmp_path / "run.jsonl"

    def mine(dist: decodekit.Distribution, ctx: decodekit.Context) -> decodekit.Distribution:
        return dist

    decodekit.Session(ngram, decodekit.Chain([mine]), seed=3).generate("the ", max_tokens=3, trace=path)
    with pytest.raises(decodekit.UnknownPlugin, match="mine"):
        decodekit.replay(path, adapter=ngram)
    assert decodekit.replay(path).equal == 3


def test_a_trace_that_does_not_say_whether_its_adapter_is_stochastic_is_read_as_before(
    tmp_path: Path, wide_adapter: TableAdapter
) -> None:
    kept = decodekit.Session(wide_adapter, chain("truncated"), seed=3).generate([5], max_tokens=9).trace
    assert kept.header.adapter["stochastic"] is False
    silent = {name: value for name, value in kept.header.adapter.items() if name != "stochastic"}
    path = tmp_path / "old.jsonl"
    writer = TraceWriter(path, replace(kept.header, adapter=silent))
    for step in kept.steps:
        writer.write(step)
    assert kept.footer is not None
    writer.close(kept.footer.ends)
    assert decodekit.verify(path).word == "proved"
    report = decodekit.replay(path, adapter=wide_adapter)
    assert (report.equal, report.warnings) == (9, [])
