"""Which cause is named: the first thing in the order of the computation that is proved to differ and acts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter
from decodekit.trace import Trace

SIZE = 50


def row(ids: Any) -> np.ndarray:
    return np.random.default_rng([len(ids), ids[-1]]).normal(0, 2, SIZE)


def other_row(ids: Any) -> np.ndarray:
    return np.random.default_rng([len(ids), ids[-1], 1]).normal(0, 2, SIZE)


def traced(chain: str, seed: int = 0, rows: Any = row, top: int = 5, level: Any = "proof", prompt: int = 1) -> Trace:
    session = decodekit.Session(TableAdapter(rows, SIZE), chain, seed=seed, top_logprobs=top)
    return session.generate([prompt], max_tokens=10, level=level).trace


@pytest.mark.parametrize("chain", ["", "temperature=0.8 top_p=0.9", "greedy", "inverse_cdf"])
@pytest.mark.parametrize(("top", "level"), [(1, "proof"), (5, "proof"), (5, "choice")])
def test_answers_without_a_recorded_token_in_common_differ(chain: str, top: int, level: str) -> None:
    for seed in range(6):
        one, other = (traced(chain, seed, rows, top, level) for rows in (row, other_row))
        found = decodekit.diff(one, other)
        assert (found.cause, found.where) == ("distribution", "raw"), str(found)


def test_logits_with_another_offset_are_another_answer() -> None:
    """A repetition penalty reads the offset, which no log-probability shows."""
    one = traced("repetition_penalty=1.8")
    found = decodekit.diff(one, traced("repetition_penalty=1.8", rows=lambda ids: row(ids) - 6.0))
    assert found.sequences[0].before.first_stage == "raw", str(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("temperature=1.0 top_k=5", "top_k=4"),
        ("temperature=0.5 top_k=50", "temperature=2.0"),
        ("top_p=1.0 temperature=0.5", "temperature=2.0"),
        ("temperature=0.5 min_p=0.0", "temperature=2.0 top_p=1.0"),
    ],
)
def test_a_parameter_acts_also_where_the_chains_have_other_processors(one: str, other: str) -> None:
    parted = 0
    for seed in range(4):
        for pair in ((one, other), (other, one)):
            found = decodekit.diff(traced(pair[0], seed), traced(pair[1], seed))
            assert found.equal or (found.cause, found.where) == ("configuration", "chain.processors"), str(found)
            parted += not found.equal
    assert parted


@pytest.mark.parametrize("sampler", ["greedy", "multinomial"])
def test_random_words_of_a_processor_are_those_of_the_stream(sampler: str) -> None:
    session = decodekit.Session(TableAdapter(row, SIZE), f"xtc(xtc=0.5,threshold=0.05) {sampler}", seed=2)
    one, *others = (session.generate([1], max_tokens=10, stream=stream).trace for stream in range(6))
    causes = {(found.cause, found.where) for found in (decodekit.diff(one, other) for other in others)}
    assert causes == {("draw", "stream")}


def test_of_several_causes_the_same_is_named_in_both_orders() -> None:
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"seed": seed, "chain": one}, {"seed": seed + 1, "chain": other, "prompt": prompt})
        for seed in range(5)
        for prompt in (1, 2)
        for one, other in (("", ""), ("top_k=9", "top_k=3"), ("temperature=0.7", "temperature=0.7 inverse_cdf"))
    ]
    for one, other in pairs:
        a, b = traced(**one), traced(**other)
        there, back = decodekit.diff(a, b), decodekit.diff(b, a)
        assert (there.cause, there.where) == (back.cause, back.where), f"{there}\n{back}"


def test_a_setting_is_no_cause_where_the_ids_are_other_tokens() -> None:
    """Rows and draws of two vocabularies cannot be compared, so no setting is known to act."""
    session = decodekit.Session(NGramAdapter("the cat sat on the mat"), "temperature=0.9", seed=1)
    pieces = PiecesTokenizer([b"the", b" cat", b"x", b"sat"])
    other = decodekit.Session(TableAdapter({(): np.zeros(4)}, 4, tokenizer=pieces), "top_k=3", seed=2)
    a = session.generate("the", max_tokens=4).trace
    b = other.generate("the", max_tokens=4).trace
    assert decodekit.diff(a, b).cause == decodekit.diff(b, a).cause == "tokenisation"


@pytest.mark.parametrize("what", ["text", "draw", "choice"])
def test_a_record_that_was_changed_beside_the_scores_is_told(what: str) -> None:
    trace = traced("temperature=0.9")
    step = trace.steps[3]
    assert step.draw is not None
    changed = {
        "text": replace(step, text="x"),
        "draw": replace(step, draw=replace(step.draw, word=step.draw.word ^ 1)),
        "choice": replace(step, choice=replace(step.choice, score=step.choice.score + 1.0)),
    }[what]
    found = decodekit.diff(trace, replace(trace, steps=[*trace.steps[:3], changed, *trace.steps[4:]]))
    assert found.equal and f"first difference in a recorded value: step 3, {what}" in str(found)
