"""Guesses change how often a model is asked, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count, repeat
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import (
    AdapterError,
    Chain,
    Disclosure,
    Result,
    Session,
    processor,
    resume,
)
from decodekit.errors import DecodekitError
from decodekit.testing import NGramAdapter
from decodekit.trace.step import Step
from tests.session.conftest import TEXT, Around, plain, table

PROMPT = "the cat sat on the mat, and the"


def counted(inner: Any, **info: Any) -> Around:
    """Without times: the lengths of guesses follow from counts."""
    return Around(inner, plain, **{"schedule_invariant": "", **info})


def content(result: Result) -> list[Step]:
    """What two equal runs have in common: everything but times."""
    return [replace(step, timing=None) for step in result.trace.steps]


def same(ours: Result, theirs: Result) -> None:
    assert ours.token_ids == theirs.token_ids and ours.text == theirs.text
    assert ours.finish_reason == theirs.finish_reason and str(ours.error) == str(theirs.error)
    assert repr(content(ours)) == repr(content(theirs))
    assert ours.trace.header == theirs.trace.header


def outcome(session: Session, prompt: Any, **options: Any) -> Result:
    """The result, or what there was of it when an error came."""
    try:
        return session.generate(prompt, **options)
    except DecodekitError as error:
        return error.partial  # type: ignore[return-value]  # of one sequence


class Says:
    """Guesses what a function says."""

    def __init__(self, function: Any) -> None:
        self.guess = function


class Knowing:
    """Knows what will be written, and errs at some places."""

    def __init__(self, ids: tuple[int, ...], wrong: frozenset[int] = frozenset(), most: int = 99) -> None:
        self.ids, self.wrong, self.most = ids, wrong, most

    def guess(self, prefix, ctx):
        ahead = range(ctx.step, min(len(self.ids), ctx.step + self.most))
        return [self.ids[i] ^ 1 if i in self.wrong else self.ids[i] for i in ahead]


def raises(prefix, ctx):
    raise RuntimeError("no")


def exits(prefix, ctx):
    raise SystemExit(3)


def raises_later(prefix, ctx):
    yield 1
    raise RuntimeError("no")


def raises_on_close(prefix, ctx):
    try:
        yield from repeat(1)
    finally:
        raise RuntimeError("no")


def raises_error(error):
    def guess(prefix, ctx):
        raise error

    return guess


HOSTILE = {
    "raises": raises,
    "is cancelled": raises_error(asyncio.CancelledError),
    "leaves": raises_error(GeneratorExit),
    "exits": exits,
    "raises on close": raises_on_close,
    "nothing": lambda *_: None,
    "a number": lambda *_: 7,
    "a text": lambda *_: "the cat",
    "texts": lambda *_: ["the", "cat"],
    "negative": lambda *_: [-1],
    "too large": lambda *_: [257, 1],
    "fractions": lambda *_: np.array([1.5, 2.5]),
    "truth": lambda *_: [True],
    "a table": lambda *_: np.zeros((3, 3), dtype=int),
}
HARMLESS = {
    "empty": lambda *_: [],
    "endless": lambda *_: repeat(101),
    "huge": lambda *_: range(100, 10**9),
    "cycling": lambda *_: (i % 257 for i in count(97)),
    "array": lambda _, ctx: np.asarray(ctx.prompt_ids)[-3:],
    "raises later": raises_later,  # the first token is wrong, so no second one is taken
    "the end": lambda *_: [256, 256],
}


@pytest.mark.parametrize("name", [*HOSTILE, *HARMLESS])
def test_no_guesser_changes_the_output_or_breaks_a_run(name, caplog, capfd) -> None:
    session = Session(counted(NGramAdapter(TEXT)), [processor("temperature", temperature=0.8)], seed=3)
    alone = session.generate(PROMPT, max_tokens=60)
    same(session.generate(PROMPT, max_tokens=60, guesser=Says({**HOSTILE, **HARMLESS}[name])), alone)
    warned = (capfd.readouterr().err + caplog.text).count("guesser switched off")
    assert warned == (name in HOSTILE)


def test_a_right_guess_saves_calls_and_a_wrong_one_is_soon_not_made() -> None:
    adapter = counted(NGramAdapter(TEXT))
    session = Session(adapter, [processor("temperature", temperature=0.8)], seed=3)
    alone = session.generate(PROMPT, max_tokens=200)
    assert len(adapter.asked) == 200
    adapter.asked.clear()
    same(session.generate(PROMPT, max_tokens=200, guesser=Knowing(alone.token_ids)), alone)
    assert len(adapter.asked) < 50
    adapter.asked.clear()
    wrong = Knowing(alone.token_ids, frozenset(range(200)))
    same(session.generate(PROMPT, max_tokens=200, guesser=wrong), alone)
    assert len(adapter.asked) == 200
    assert sum(len(prefixes) for prefixes, _ in adapter.asked) <= 206  # at a cost of one half: 3 % of the time


CHAINS = {
    "plain": lambda: Chain([processor("temperature", temperature=0.7)]),
    "greedy": lambda: Chain(sampler="greedy"),
    "mirostat": lambda: Chain([processor("mirostat_v2", mirostat_v2=2.0)]),
    "history": lambda: Chain(
        [
            processor("repetition_penalty", repetition_penalty=1.2, scope="output"),
            processor("dry", dry=0.8),
            processor("top_p", top_p=0.95),
        ]
    ),
    "xtc": lambda: Chain([processor("xtc", xtc=0.5), processor("adaptive_p", adaptive_p=0.5)]),
}


@settings(max_examples=40, deadline=None)
@given(
    chain=st.sampled_from(sorted(CHAINS)),
    seed=st.integers(0, 20),
    wrong=st.frozensets(st.integers(0, 40), max_size=12),
    most=st.integers(1, 20),
    options=st.fixed_dictionaries(
        {"max_tokens": st.integers(0, 40)},
        optional={
            "stop": st.sampled_from([["the"], ["at the", "log"], [" dog sat on"]]),
            "stop_ids": st.just([ord(",")]),
            "ban": st.sampled_from([["dog"], ["t on", "sat"], ["mat, and"]]),
            "level": st.sampled_from(["none", "choice", "full"]),
            "until": st.just(lambda step: step.index == 23),
        },
    ),
    context=st.sampled_from([None, 48]),
)
def test_the_output_is_that_of_a_run_without_guesses(chain, seed, wrong, most, options, context) -> None:
    info = {} if context is None else {"context_length": context}
    session = Session(counted(NGramAdapter(TEXT), **info), CHAINS[chain](), seed=seed)
    alone = outcome(session, PROMPT, **options)
    same(outcome(session, PROMPT, guesser=Knowing(alone.token_ids, wrong, most), **options), alone)


@settings(max_examples=25, deadline=None)
@given(top=st.integers(2, 20), seed=st.integers(0, 9), wrong=st.frozensets(st.integers(0, 20), max_size=4))
def test_where_little_is_disclosed_the_questions_of_a_step_are_the_same(top, seed, wrong) -> None:
    adapter = counted(table(most=Disclosure(top=top)), cheap=Disclosure(top=1))
    for chain in (
        Chain([processor("top_k", top_k=3)]),
        Chain([processor("min_p", min_p=0.3), processor("temperature", temperature=0.5)]),
        Chain([processor("repetition_penalty", repetition_penalty=1.1, scope="output"), processor("top_k", top_k=2)])
        if top > 9
        else Chain(sampler="greedy"),
    ):
        session = Session(adapter, chain, seed=seed, on_undisclosed="truncate")
        alone = outcome(session, [1], max_tokens=20)
        same(outcome(session, [1], max_tokens=20, guesser=Knowing(alone.token_ids, wrong)), alone)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(1, 3), wrong=st.frozensets(st.integers(0, 30), max_size=9))
def test_sequences_of_a_batch_are_guessed_each_for_itself(seed, n, wrong) -> None:
    def failing(inner, prefixes, wanted):
        answers = inner.predict(prefixes, wanted)
        late = [prefix.token_ids[0] == 4 and len(prefix) > 12 for prefix in prefixes]
        return [AdapterError("late") if each else answer for each, answer in zip(late, answers, strict=True)]

    adapter = Around(table(), failing, schedule_invariant="")
    session = Session(adapter, [processor("top_k", top_k=5)], seed=seed)
    prompts = [[1], [2, 3], [4]]  # the last one fails after some tokens
    alone = session.generate_many(prompts, n=n, max_tokens=30)
    ids = {(i, result.stream & 0xFFFFFFFF): result.token_ids for i, row in enumerate(alone) for result in row}
    guesser = Knowing(ids[0, 0], wrong)
    guessed = session.generate_many(prompts, n=n, max_tokens=30, guesser=guesser)
    for ours, theirs in zip((r for row in guessed for r in row), (r for row in alone for r in row), strict=True):
        assert ours.token_ids == theirs.token_ids and ours.finish_reason == theirs.finish_reason
        own = [step for step in ours.trace.steps if step.stream == ours.stream]
        assert [repr(replace(step, timing=None)) for step in own] == [
            repr(replace(step, timing=None)) for step in theirs.trace.steps if step.stream == theirs.stream
        ]
    for result in session.as_completed(prompts, n=n, max_tokens=30, guesser=guesser):
        assert result.token_ids == ids[result.stream >> 32, result.stream & 0xFFFFFFFF]


def test_the_trace_file_of_a_guessed_run_has_the_same_content_and_is_resumed(tmp_path) -> None:
    session = Session(counted(NGramAdapter(TEXT)), CHAINS["mirostat"](), seed=5)
    alone = session.generate(PROMPT, max_tokens=60, trace=tmp_path / "alone.jsonl")
    guesser = Knowing(alone.token_ids, frozenset({9, 33}))
    session.generate(PROMPT, max_tokens=60, trace=tmp_path / "guessed.jsonl", guesser=guesser)
    alone_file, guessed = (decodekit.read_trace(tmp_path / f"{name}.jsonl") for name in ("alone", "guessed"))
    assert alone_file.footer.contents == guessed.footer.contents
    assert decodekit.verify(guessed).word == "proved"
    session.generate(PROMPT, max_tokens=25, trace=tmp_path / "part.jsonl", guesser=guesser)
    adapter = counted(NGramAdapter(TEXT))
    (resumed,) = resume(tmp_path / "part.jsonl", adapter, max_tokens=60, guesser=guesser)
    assert resumed.token_ids == alone.token_ids and len(adapter.asked) < 35


def test_a_step_is_recorded_and_returned_before_the_next_is_decided() -> None:
    session = Session(counted(NGramAdapter(TEXT)), seed=5)
    ids = session.generate(PROMPT, max_tokens=40).token_ids
    decided: list[int] = []
    steps = session.stream(
        PROMPT, max_tokens=40, guesser=Knowing(ids), until=lambda step: bool(decided.append(step.index))
    )
    for step in steps:
        assert decided == list(range(step.index + 1))
        if step.index == 20:
            break
    steps.close()
    assert len(decided) == 21


def test_an_error_of_a_guessed_prefix_does_not_matter() -> None:
    def fussy(inner, prefixes, wanted):
        """Refuses every prefix that is not the first of its call, or the whole call."""
        if len(prefixes) > 1 and len(prefixes[0]) % 2:
            raise AdapterError("too many")
        answers = inner.predict(prefixes, wanted)
        return [answers[0], *(AdapterError("no") for _ in answers[1:])]

    adapter = Around(NGramAdapter(TEXT), fussy, schedule_invariant="")
    session = Session(adapter, seed=5)
    alone = session.generate(PROMPT, max_tokens=150)
    adapter.asked.clear()
    same(session.generate(PROMPT, max_tokens=150, guesser=Knowing(alone.token_ids)), alone)
    assert any(len(prefixes) > 1 for prefixes, _ in adapter.asked)


def test_a_deadline_ends_a_guessed_run() -> None:
    session = Session(counted(NGramAdapter(TEXT)), seed=5)
    ids = session.generate(PROMPT, max_tokens=30).token_ids
    result = session.generate(PROMPT, max_tokens=30, deadline=0.0, guesser=Knowing(ids))
    assert result.finish_reason == "deadline" and result.token_ids == ids[: len(result.token_ids)]
    assert session.generate(PROMPT, max_tokens=30, deadline=1e6, guesser=Knowing(ids)).token_ids == ids


def test_no_question_is_longer_than_the_run_the_context_and_the_adapter_allow() -> None:
    adapter = counted(NGramAdapter(TEXT), concurrency=4, context_length=60)
    session = Session(adapter, seed=5)
    alone = session.generate(PROMPT, max_tokens=100)
    assert alone.finish_reason == "context" and len(PROMPT) + len(alone.token_ids) == 61
    adapter.asked.clear()
    same(session.generate(PROMPT, max_tokens=100, guesser=Knowing((*alone.token_ids, *[1] * 50))), alone)
    assert all(len(prefix) <= 60 for prefixes, _ in adapter.asked for prefix in prefixes)
    assert 2 < max(len(prefixes) for prefixes, _ in adapter.asked) <= 16


def test_an_impure_chain_is_run_once_for_each_step() -> None:
    ran: list[int] = []

    class Counting:
        pure = False

        def __call__(self, dist, ctx):
            ran.append(ctx.step)
            return dist

    session = Session(counted(NGramAdapter(TEXT)), Counting(), seed=5)
    ids = session.generate(PROMPT, max_tokens=30).token_ids
    ran.clear()
    assert session.generate(PROMPT, max_tokens=30, guesser=Knowing(ids)).token_ids == ids
    assert ran == list(range(30))
