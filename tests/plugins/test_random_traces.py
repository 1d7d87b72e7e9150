"""What the record of a random part proves: core draws are proved, foreign ones consistent, chains reproduced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain
from decodekit.testing import TableAdapter

SIZE, STEPS = 60, 25
CORE = ["multinomial", "greedy", "inverse_cdf"]
PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("mirostat", {"mirostat": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5}),
    ("mirostat_v2", {"mirostat_v2": 2.0, "eta": 0.5, "surprise": "whole"}),
    ("adaptive_p", {"adaptive_p": 0.3}),
    ("skew", {"skew": 0.8}),
    ("xtc", {"xtc": 0.5, "threshold": 0.05}),
    ("xtc_expected", {"xtc_expected": 0.5, "threshold": 0.05}),
    ("llamacpp_xtc", {"llamacpp_xtc": 0.5, "threshold": 0.05, "seed": 6}),
]
FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("llamacpp_dist", {"llamacpp_dist": 11}),
    ("llamacpp_dist", {"law": "discrete", "order": "id"}),
    ("forced", {"forced": [7, 3, 3, 9, 1] * 5}),
]


def row(ids: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(list(ids[-2:])).normal(0, 2, SIZE).astype(np.float32)


@pytest.fixture
def adapter() -> TableAdapter:
    return TableAdapter(row, SIZE)


def part(name: str, parameters: dict[str, Any]) -> Any:
    return decodekit.processor(name, **parameters)


def write(path: Path, adapter: TableAdapter, chain: Chain, **options: Any) -> decodekit.Trace:
    session = decodekit.Session(adapter, chain, seed=5)
    session.generate_many([[1], [2, 3]], n=2, max_tokens=STEPS, trace=path, level="full", **options)
    return decodekit.read_trace(path)


@pytest.mark.parametrize("sampler", CORE)
@pytest.mark.parametrize(("name", "parameters"), PROCESSORS, ids=lambda value: str(value)[:20])
def test_every_processor_before_a_core_sampler_is_proved_reproduced_and_replayed(
    tmp_path: Path, adapter: TableAdapter, name: str, parameters: dict[str, Any], sampler: str
) -> None:
    warm = decodekit.processor("temperature", temperature=1.2)
    trace = write(tmp_path / "run.jsonl", adapter, Chain([warm, part(name, parameters)], sampler))
    assert decodekit.verify(trace).counts == {"proved": 4 * STEPS}
    assert decodekit.verify(tmp_path / "run.jsonl", chain=True).counts == {"reproduced": 4 * STEPS}
    report = decodekit.replay(trace, adapter=adapter)
    assert report.equal == 4 * STEPS and report.max_drift == 0.0


@pytest.mark.parametrize(("name", "parameters"), FOREIGN, ids=lambda value: str(value)[:20])
def test_a_foreign_sampler_is_consistent_until_its_plugin_may_run(
    tmp_path: Path, adapter: TableAdapter, name: str, parameters: dict[str, Any]
) -> None:
    chain = Chain([part("top_k", {"top_k": 60})], decodekit.sampler(name, **parameters))
    trace = write(tmp_path / "run.jsonl", adapter, chain)
    assert decodekit.verify(trace).counts == {"consistent": 4 * STEPS}
    assert decodekit.verify(tmp_path / "run.jsonl", chain=True).counts == {"reproduced": 4 * STEPS}
    assert decodekit.replay(trace, adapter=adapter).equal == 4 * STEPS
    assert decodekit.replay(trace).unknown == 4 * STEPS


def test_the_ids_of_a_trace_are_forced_and_give_its_scores_again(tmp_path: Path, adapter: TableAdapter) -> None:
    processors = [part("temperature", {"temperature": 0.8})]
    first = decodekit.Session(adapter, Chain(processors), seed=5).generate([1], max_tokens=STEPS, level="full").trace
    forced = Chain(processors, decodekit.sampler("forced", forced=first.token_ids()))
    again = decodekit.Session(adapter, forced, seed=6).generate([1], max_tokens=STEPS, level="full").trace
    assert again.token_ids() == first.token_ids()
    assert [step.choice.logprob for step in again.steps] == [step.choice.logprob for step in first.steps]
    assert decodekit.verify(again, chain=True).word == "reproduced"


def llama_trace(adapter: TableAdapter) -> decodekit.Trace:
    chain = Chain([part(*PROCESSORS[1])], decodekit.sampler("llamacpp_dist", llamacpp_dist=11, law="discrete"))
    return decodekit.Session(adapter, chain, seed=5).generate([1], max_tokens=STEPS, level="full").trace


@pytest.mark.parametrize("what", ["token", "score", "margin", "runner_up"])
def test_a_foreign_choice_that_was_changed_fails_when_its_plugin_runs(adapter: TableAdapter, what: str) -> None:
    trace = llama_trace(adapter)
    assert decodekit.verify(trace, chain=True).word == "reproduced"
    step = next(step for step in trace.steps[3:] if step.choice.runner_up is not None)
    if what == "token":
        other = step.choice.runner_up
        assert other is not None
        changed = replace(step, token_id=other, choice=replace(step.choice, token_id=other))
    else:
        value = {"score": step.choice.score + 1e-6, "margin": step.choice.margin + 1e-6, "runner_up": step.token_id}
        changed = replace(step, choice=replace(step.choice, **{what: value[what]}))
    trace.steps[step.index] = changed
    verdict = decodekit.verify(trace, chain=True)
    assert (verdict.word, verdict.step) == ("failed", step.index)


def test_a_row_that_was_changed_fails_and_what_follows_a_stateful_part_is_run_all_the_same(
    adapter: TableAdapter,
) -> None:
    trace = llama_trace(adapter)
    step = trace.steps[4]
    assert step.row is not None
    trace.steps[4] = replace(step, row=(None, np.roll(step.row[1], 1)))
    verdict = decodekit.verify(trace, chain=True)
    assert (verdict.word, verdict.step) == ("failed", 4)
    assert verdict.words[:4] == ("reproduced",) * 4
    assert set(verdict.words[5:]) <= {"reproduced", "consistent"}


def test_a_row_that_is_missing_leaves_what_follows_consistent_only_where_something_remembers(
    adapter: TableAdapter,
) -> None:
    remembering = llama_trace(adapter)
    remembering.steps[4] = replace(remembering.steps[4], row=None)
    verdict = decodekit.verify(remembering, chain=True)
    assert verdict.words == ("reproduced",) * 4 + ("consistent",) * (STEPS - 4)
    assert verdict.step == 4 and "row was not recorded" in verdict.why

    pure = Chain([part(*PROCESSORS[5])])
    forgetful = decodekit.Session(adapter, pure, seed=5).generate([1], max_tokens=STEPS, level="full").trace
    forgetful.steps[4] = replace(forgetful.steps[4], row=None)
    words = decodekit.verify(forgetful, chain=True).words
    assert words[4] == "consistent" and words.count("reproduced") == STEPS - 1


def test_a_replay_over_a_moved_model_follows_the_recorded_choices(adapter: TableAdapter) -> None:
    """The limit of mirostat goes the way of the record, so drift does not grow from step to step."""
    chain = Chain([part("mirostat_v2", {"mirostat_v2": 3.0, "eta": 0.5})])
    trace = decodekit.Session(adapter, chain, seed=5).generate([1], max_tokens=200).trace
    moved = TableAdapter(lambda ids: row(ids) + np.random.default_rng([9, *ids[-2:]]).normal(0, 0.02, SIZE), SIZE)
    report = decodekit.replay(trace, adapter=moved)
    assert 0.001 < report.max_drift < 0.5
    assert report.equal > 150


def test_a_random_number_is_in_the_record(adapter: TableAdapter) -> None:
    trace = decodekit.Session(adapter, Chain([part(*PROCESSORS[5])]), seed=5).generate([1], max_tokens=STEPS).trace
    assert all(len(step.entries[0].tosses) == 1 for step in trace.steps)
    assert len({step.entries[0].tosses for step in trace.steps}) == STEPS
