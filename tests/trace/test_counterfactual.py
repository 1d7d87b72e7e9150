"""Counterfactuals: what they prove is what a live run gives, and where they say unknown both outcomes are possible."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit.errors import ConfigError, ParameterError, TraceError
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.trace import Trace, read_trace
from decodekit.trace.what_if.counterfactual import Counterfactual, ask_again

from .asked_again import RUNS, live, rows, run

FOLDER = Path(__file__).parent


@settings(max_examples=150, deadline=None)
@given(
    table=st.integers(0, 10**6),
    size=st.sampled_from([4, 6, 9, 40, 200]),
    chains=st.tuples(st.sampled_from(RUNS), st.sampled_from(RUNS)),
    level=st.sampled_from(["choice", "proof", "full"]),
    top=st.sampled_from([0, 1, 2, 5, 8]),
    seeds=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    same=st.sampled_from(["", "chain", "seed"]),
)
def test_what_is_proved_is_what_a_live_run_draws(
    table: int, size: int, chains: tuple[str, str], level: str, top: int, seeds: tuple[int, int], same: str
) -> None:
    adapter = rows(table, size)
    old, new = chains[0], chains[0] if same == "chain" else chains[1]
    seed = seeds[0] if same == "seed" else seeds[1]
    trace = run(adapter, old, seeds[0], level, top)
    found = decodekit.replay(trace, chain=new, seed=seed)
    for step, token in zip(found.steps, live(adapter, trace, new, seed), strict=True):
        assert step.other in (None, token) and bool(step.why) is (step.other is None)
        assert level != "full" or step.other is not None


def test_the_same_question_changes_nothing() -> None:
    for chain in RUNS:
        found = decodekit.replay(run(rows(1, 20), chain, 3, "full", 5), chain=chain)
        assert (found.changed, found.unknown, found.expected_changes) == (0, 0, 0.0) or "xtc" in chain


def test_the_chance_of_another_seed_is_that_of_another_token() -> None:
    trace = run(rows(2, 12), "top_k=4", 1, "proof", 3)
    found = decodekit.replay(trace, seed=8)
    assert found.unknown == 0 and found.seed == 8
    for step, recorded in zip(found.steps, trace.steps, strict=True):
        assert recorded.choice.logprob is not None
        assert step.chance == pytest.approx(1 - math.exp(recorded.choice.logprob)) and step.tv == 0
    assert found.expected_changes == pytest.approx(sum(step.chance or 0 for step in found.steps))
    assert found.changed + found.unchanged == 5


def test_the_first_change_is_the_first_that_is_known() -> None:
    trace = run(rows(2, 12), "temperature=1.5", 1, "full", 3)
    found = decodekit.replay(trace, temperature=0.2)
    changes = [step.index for step in found.steps if step.changed]
    assert found.first_change is not None and found.first_change.index == changes[0]
    assert found.chain["processors"][0]["params"]["temperature"] == 0.2
    assert decodekit.replay(trace, temperature=1.5).first_change is None


def test_only_one_step_may_be_asked_about() -> None:
    trace = run(rows(2, 12), "mirostat=1.5", 1, "full", 3)
    whole, part = ask_again(trace, seed=4), ask_again(trace, seed=4, only=(0, 2))
    assert part.steps == whole.steps[:3]


def test_sequences_of_one_run_are_asked_in_the_order_of_the_trace() -> None:
    session = decodekit.Session(NGramAdapter("the cat sat on the mat"), "top_p=0.9")
    trace = session.generate_many(["the ", "a"], n=2, max_tokens=4, seed=5)[0][0].trace
    found = decodekit.replay(trace, seed=6)
    assert [(s.stream, s.index, s.token_id) for s in found.steps] == [
        (s.stream, s.index, s.token_id) for s in trace.steps
    ]
    again = session.generate_many(["the ", "a"], n=2, max_tokens=4, seed=6)[0][0].trace
    firsts = {step.stream: step.token_id for step in again.steps if step.index == 0}
    assert all(step.other in (None, firsts[step.stream]) for step in found.steps if step.index == 0)


# -- unknown: both outcomes are possible ------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    table=st.integers(0, 10**6),
    heat=st.sampled_from([0.5, 1.0, 1.7]),
    question=st.sampled_from(["seed", "hotter", "colder"]),
)
def test_where_it_says_unknown_both_outcomes_are_possible(table: int, heat: float, question: str) -> None:
    """Two rows of which the record is true, up to numbers about all tokens together, and that give other tokens."""
    row = np.random.default_rng(table).normal(0, 1, 40)
    old, seed = f"temperature={heat}", table % 7
    new = {"seed": old, "hotter": f"temperature={2 * heat}", "colder": f"temperature={heat / 2}"}[question]
    other_seed = seed + (question == "seed")
    session = decodekit.Session(TableAdapter({(): row}, 40), old, top_logprobs=3)
    trace = session.generate([0, 1], max_tokens=1, seed=seed).trace
    (step,) = decodekit.replay(trace, chain=new, seed=other_seed).steps
    if step.other is not None:
        return
    outcomes = set()
    for changed in consistent_rows(row, trace, heat):
        adapter = TableAdapter({(): changed}, 40)
        if live(adapter, trace, old, seed) == trace.token_ids():
            outcomes |= set(live(adapter, trace, new, other_seed))
    assert len(outcomes) > 1


def consistent_rows(row: np.ndarray, trace: Trace, heat: float) -> list[np.ndarray]:
    """The row, and rows in which the mass of the tokens that were not recorded is on one of them as far as possible."""
    (step,) = trace.steps
    known = {step.token_id, *(token for token, _ in step.raw.top)}
    bound = min(row[token] for token, _ in step.raw.top)
    if step.evidence is not None:
        known |= set(step.evidence.token_ids.tolist())
        bound = bound if step.evidence.floor is None else min(bound, step.evidence.floor * heat)
    hidden = np.array([token for token in range(len(row)) if token not in known])
    mass, found = np.exp(row[hidden]).sum(), [row]
    for most in (math.exp(bound), 0.0):
        for token in hidden:
            changed = row.copy()
            own = min(most, mass * (1 - 1e-9))
            changed[hidden] = np.log(np.maximum((mass - own) / max(len(hidden) - 1, 1), 1e-300))
            changed[token] = math.log(max(own, 1e-300))
            if changed[hidden].max() <= bound + 1e-12:
                found.append(changed)
    return found


# -- what is refused, and what is said to be unknown ------------------------------------------------------------------


def test_steps_at_which_tokens_were_taken_back_are_unknown() -> None:
    trace = read_trace(FOLDER / "golden" / "ban.jsonl")
    found = decodekit.replay(trace, seed=1)
    for step, recorded in zip(found.steps, trace.steps, strict=True):
        assert not recorded.abandoned or "taken back" in step.why
    assert any("banned phrases" in warning for warning in found.warnings)


def test_a_tail_that_was_given_up_is_unknown() -> None:
    found = decodekit.replay(read_trace(FOLDER / "golden" / "given_up.jsonl"), seed=1)
    assert {step.other for step in found.steps} == {None}


def test_a_random_processor_is_unknown_under_another_seed_without_raw_rows() -> None:
    trace = run(rows(3, 9), "xtc(xtc=0.6,threshold=0.05) temperature=0.8", 1, "proof", 5)
    found = decodekit.replay(trace, seed=2)
    whys = {step.why for step in found.steps}
    assert any("drew random numbers" in why for why in whys)
    assert all(step.chance is None for step in decodekit.replay(trace, temperature=0.9).steps)


def test_a_processor_that_is_not_installed_is_not_needed_for_another_seed() -> None:
    trace = run(rows(3, 9), "top_k=3", 1, "proof", 5)
    foreign = {**trace.header.chain["processors"][0], "version": "0.0.0"}
    header = replace(trace.header, chain={**trace.header.chain, "processors": [foreign]})
    known = decodekit.replay(Trace(header, trace.steps, trace.footer), seed=2)
    assert known.steps == decodekit.replay(trace, seed=2).steps
    with pytest.raises(ConfigError, match=r"0\.0\.0"):
        decodekit.replay(Trace(header, trace.steps, trace.footer), temperature=2.0)


def test_a_part_that_uses_the_tokenizer_needs_the_tokenizer() -> None:
    adapter = NGramAdapter("the cat sat on the mat")
    session = decodekit.Session(adapter, "temperature=0.9", seed=1)
    trace = session.generate("the ", max_tokens=3, level="full").trace
    chain = [decodekit.processor("choice", choice=["cat", "mat"])]
    assert decodekit.replay(trace, chain=chain).unknown == 3
    found = decodekit.replay(trace, chain=chain, tokenizer=adapter.tokenizer)
    assert found.steps[0].other in (ord("c"), ord("m"))


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    trace = run(rows(3, 9), "top_k=3", 1, "proof", 5)
    with pytest.raises(ParameterError, match="'temperature' replaces the part of that name"):
        decodekit.replay(trace, temperature=1.2)
    with pytest.raises(ParameterError, match="seed must be an integer"):
        decodekit.replay(trace, seed=-1)
    with pytest.raises(ParameterError, match="leave adapter= out"):
        decodekit.replay(trace, adapter=rows(3, 9), seed=2)  # type: ignore[call-overload]
    with pytest.raises(TraceError, match="the provider drew these tokens"):
        decodekit.replay(FOLDER / "conformance" / "provider.jsonl", seed=2)


def test_without_a_question_the_record_is_replayed_as_before() -> None:
    trace = run(rows(3, 9), "top_k=3", 1, "proof", 5)
    report = decodekit.replay(trace)
    assert not isinstance(report, Counterfactual) and report.equal == 5


@pytest.mark.parametrize(
    ("old", "new"), [("top_p=0.8", "temperature=1.2 top_p=0.8"), ("min_p=0.2", "min_p=0.1"), ("top_k=5", "top_k=9")]
)
def test_an_edge_among_unrecorded_tokens_is_no_matter_where_the_winner_stays(old: str, new: str) -> None:
    known = 0
    for seed in range(40):
        adapter = rows(seed, 24)
        trace = run(adapter, old, seed, "proof", 5)
        found = decodekit.replay(trace, chain=new)
        drawn = live(adapter, trace, new, seed)
        assert all(step.other in (None, token) for step, token in zip(found.steps, drawn, strict=True))
        known += sum(step.other is not None and step.tv is None for step in found.steps)
    assert known > 20  # of 200; without a bound on the tokens that are left, none
