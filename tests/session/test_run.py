"""A run is driven by hand: it says its question and takes the answers, and no adapter is called."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from decodekit import ALL, AdapterError, Chain, Distribution, Prefix, Session, Stop, Undisclosed, processor
from decodekit.errors import ParameterError
from decodekit.session.options import GenerationOptions
from decodekit.session.question import Question
from decodekit.session.run import Run
from decodekit.session.settings import Settings
from decodekit.testing import NGramAdapter, TableAdapter
from tests.session.conftest import V, wide


class Unasked(TableAdapter):
    """It has an `info`, and must not be asked."""

    def predict(self, *args: object, **kwargs: object) -> list[object]:  # type: ignore[override]
        raise AssertionError("a run has no business with an adapter")


def run_of(chain: Chain | None = None, streams: Sequence[int] = (0,), prompts: object = ([1, 2],)) -> Run:
    given = GenerationOptions.of({"max_tokens": 3, "seed": 5}, {"max_tokens": 99})
    return Run(Settings(Unasked(wide, V), chain or Chain()), prompts, streams, given)  # type: ignore[arg-type]


def answers(question: Question) -> list[Distribution]:
    return [Distribution.dense(wide(prefix.token_ids)) for prefix in question.prefixes]


def driven(run: Run) -> dict[int, list[int]]:
    """The tokens of each stream, by the loop of the module's docstring."""
    tokens: dict[int, list[int]] = {stream: [] for stream, _ in run.header.sequences}
    while (question := run.question()) is not None:
        for step in run.take(answers(question)):
            tokens[step.stream].append(step.token_id)
    return tokens


def test_by_hand_it_gives_the_tokens_of_a_session() -> None:
    session = Session(TableAdapter(wide, V), seed=5)
    expected = session.generate_many([[1, 2], [3]], n=2, max_tokens=3)
    streams = [i << 32 | j for i in range(2) for j in range(2)]
    found = driven(run_of(streams=streams, prompts=([1, 2], [3])))
    assert list(found.values()) == [list(result.token_ids) for results in expected for result in results]


def test_a_question_names_the_prefixes_what_is_needed_and_who_enters() -> None:
    run = run_of(Chain([processor("top_k", top_k=4)]), streams=(0, 1))
    first = run.question()
    assert first is not None and first.prefixes == [Prefix([1, 2])] * 2 == first.entering
    assert [need.top for need in first.needs] == [4, 4]
    steps = list(run.take(answers(first)))
    second = run.question()
    assert second is not None and second.entering == []
    assert second.prefixes == [Prefix([1, 2, step.token_id]) for step in steps]


def test_a_step_that_needs_more_is_asked_for_again_before_the_others_go_on() -> None:
    """The second sequence waits: the first is shown too little, then everything."""
    run = run_of(streams=(0, 1))
    question = run.question()
    assert question is not None
    row = wide([1, 2])
    ids = np.argsort(-row)[:3]
    logprobs = Distribution.dense(row).logprobs_of(ids)
    little = Distribution.head(ids, logprobs - 3.0, V)
    taken = list(run.take([little, Distribution.dense(row)]))
    assert [step.stream for step in taken] == [1]
    again = run.question()
    assert again is not None and again.prefixes == [Prefix([1, 2])] and again.needs[0] != question.needs[0]
    assert [step.stream for step in run.take([Distribution.dense(row)])] == [0]
    both = run.question()
    assert both is not None and len(both.prefixes) == 2


def test_the_last_question_of_a_step_asks_for_everything_and_then_the_sequence_fails() -> None:
    run = run_of()
    row = wide([1, 2])
    order = np.argsort(-row)
    logprobs = Distribution.dense(row).logprobs
    needs = []
    for shown in range(2, 20):  # each answer shows one token more, and never enough
        question = run.question()
        if question is None:
            break
        needs.append(question.needs[0])
        ids = order[:shown]
        assert list(run.take([Distribution.head(ids, logprobs[ids] - 9.0, V)])) == []
    assert needs[-1] == ALL and len(needs) == 6
    (result,) = run.results([], None, {0: 0})
    assert result.finish_reason == "error" and isinstance(result.error, Undisclosed)


def test_a_sequence_whose_answer_is_an_error_ends_alone() -> None:
    run = run_of(streams=(0, 1))
    question = run.question()
    assert question is not None
    fault = AdapterError("this prefix alone")
    assert [step.stream for step in run.take([fault, answers(question)[1]])] == [1]
    assert driven(run)[1] and run.results([], None, Counter())[0].error is fault


def test_a_run_that_is_late_asks_nothing_more() -> None:
    settings = Settings(Unasked(wide, V), Chain())
    given = GenerationOptions(stop=Stop(max_tokens=3), seed=5)
    run = Run(settings, [[1]], [0], given, ends_at=0.0)  # long ago, on any clock
    assert run.question() is None and run.results([], None, Counter())[0].finish_reason == "deadline"


def test_a_sequence_is_made_when_there_is_room_and_only_its_outcome_stays() -> None:
    run = run_of(streams=range(100))
    made = set()
    while (question := run.question()) is not None:
        made.add(len(run.roster.running))
        for step in run.take(answers(question)):
            run.confirm(step, step.index + 1)
    run.finished()
    assert made == {16, 100 % 16} and run.roster.running == {} and len(run.roster.outcomes) == 100


def test_two_sequences_of_one_stream_are_refused() -> None:
    with pytest.raises(ParameterError, match="the same stream"):
        run_of(streams=(3, 4, 3))


def test_what_cannot_be_asked_is_refused_when_the_run_is_made() -> None:
    with pytest.raises(ParameterError, match="prompt 0"):
        run_of(prompts=([V],))


@pytest.mark.parametrize(
    "options",
    [{}, {"until": lambda step: step.index > 8}, {"ban": ["cat"]}, {"guesser": "prompt_lookup"}],
    ids=["plain", "until", "ban", "guesser"],
)
def test_a_call_is_freed_when_it_ends_without_the_collector_of_cycles(options: dict[str, Any]) -> None:
    """An adapter's model, thread and connections are freed with the last reference to it."""
    gc.collect()
    gc.disable()
    try:
        adapter = NGramAdapter("the cat sat on the mat. " * 3)
        gone = weakref.ref(adapter)
        session = Session(adapter, seed=1)
        session.generate("the ", max_tokens=3, **options)
        list(session.stream("the ", max_tokens=3, **options))
        list(session.as_completed(iter(["the ", "a "]), n=2, max_tokens=3, **options))
        session.generate_many(["the "], n=2, max_tokens=3, **options)
        del adapter, session
        assert gone() is None
    finally:
        gc.enable()
