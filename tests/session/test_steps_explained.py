"""A step explains itself as its result does: the same table, with texts, parameters and the check."""

from __future__ import annotations

import copy
import pickle
from dataclasses import asdict

import decodekit
from decodekit import Session, resume
from decodekit.testing import NGramAdapter

ADAPTER = NGramAdapter("the cat sat on the mat. the dog sat on the log. " * 3)
CHAIN = "temperature=0.8 top_p=0.95"


def session() -> Session:
    return decodekit.open(ADAPTER, CHAIN, seed=3)


def test_a_streamed_step_has_the_table_of_the_result() -> None:
    result = session().generate("the ", max_tokens=60)
    for at, step in enumerate(session().stream("the ", max_tokens=60)):
        assert str(step.explain()) == str(result.explain(at)) == str(result.trace.steps[at].explain())
    last = str(step.explain())
    assert "temperature 0.8" in last and "check   proved" in last and "after ..." in last and last.count('"') > 6
    assert "top_p 0.95" in step._repr_html_()


def test_each_sequence_of_a_batch_and_of_an_iterator_explains_its_own_steps() -> None:
    several = session().generate_many(["the ", "the d"], n=2, max_tokens=3)
    one_by_one = session().as_completed(iter(["the ", "the d"]), n=2, max_tokens=3)
    for result in [*(each for of_prompt in several for each in of_prompt), *one_by_one]:
        own = [step for step in result.trace.steps if step.stream == result.stream]
        assert [str(step.explain()) for step in own] == [str(result.explain(at)) for at in range(3)]


def test_a_resumed_step_is_explained_like_the_others() -> None:
    short = session().generate("the ", max_tokens=3)
    (longer,) = resume(short.trace, ADAPTER, max_tokens=6)
    assert [str(step.explain()) for step in longer.trace.steps] == [str(longer.explain(at)) for at in range(6)]


def test_where_branches_were_taken_back_the_check_is_that_of_the_trace_alone() -> None:
    result = session().generate("the ", max_tokens=12, ban=["cat", "dog"])
    told = str(result.trace.steps[-1].explain())
    assert "check" not in told and "temperature 0.8" in told and "check   proved" in str(result.explain())


def test_a_copy_and_a_recorded_step_have_their_own_record_alone() -> None:
    result = session().generate("the ", max_tokens=2)
    step = result.trace.steps[1]
    (_, read) = decodekit.Trace.from_bytes(result.trace.to_bytes()).steps
    for other in (pickle.loads(pickle.dumps(step)), copy.deepcopy(step), read):
        assert other == step and other.origin is None
        assert str(other.explain()).count("#") > str(other.explain(ADAPTER.tokenizer)).count("#")
    assert asdict(step)["origin"] is None
