"""The numbers of a call: NumPy's are taken as Python's own, and ids that no token has are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from decodekit import ParameterError, Session, read_trace, resume
from tests.session.conftest import V, table


def test_numpy_numbers_are_python_numbers(tmp_path):
    session = Session(table(), seed=np.uint64(2**63), max_tokens=np.int16(4), top_logprobs=np.int8(3))
    kept = tmp_path / "kept.jsonl"
    given = {
        "max_tokens": np.int64(2),
        "deadline": np.float32(600),
        "stream": np.uint64(1),
        "stop_ids": np.array([V - 1]),
    }
    (results,) = session.generate_many([[1]], n=np.int64(2), trace=kept, **given)
    header = read_trace(kept).header
    assert header.seed == 2**63 and header.top_logprobs == 3
    assert header.stop["max_tokens"] == 2 and header.stop["ids"] == [V - 1]
    assert [stream for stream, _ in header.sequences] == [1, 2]
    for number in (header.seed, header.top_logprobs, header.stop["max_tokens"], session.max_tokens, results[0].stream):
        assert type(number) is int
    plain = Session(table(), seed=2**63).generate([1], max_tokens=2, stream=1, stop_ids=[V - 1])
    assert results[0].token_ids == plain.token_ids
    (longer,) = resume(plain.trace, table(), max_tokens=np.int64(3), deadline=np.int64(600))
    assert len(longer.token_ids) == 3
    list(Session(table(), seed=np.int64(3)).stream([1], max_tokens=np.int64(1)))


@pytest.mark.parametrize("value", [True, np.True_, 2.0, np.float64(2), "2", np.array([2, 3]), None])
def test_what_is_no_integer_is_refused(value):
    session = Session(table())
    for build in (
        lambda: Session(table(), top_logprobs=value),
        lambda: session.generate([1], stream=value),
        lambda: session.generate([1], stop_ids=[value]),
        lambda: session.generate_many([[1]], n=value),
    ):
        with pytest.raises(ParameterError, match=r"integer from|is the number of a random stream"):
            build()


@pytest.mark.parametrize("value", [True, np.True_, "2", np.float64("nan"), -1, np.complex64(1)])
def test_a_deadline_is_a_number_of_seconds(value):
    with pytest.raises(ParameterError, match="deadline is a number of seconds"):
        Session(table()).generate([1], deadline=value)


@pytest.mark.parametrize("value", [5, "5", b"5", None])
def test_stop_ids_are_a_list(value):
    with pytest.raises(ParameterError, match="stop_ids takes a list of token ids"):
        Session(table()).generate([1], stop_ids=value)


def test_stop_ids_beyond_the_vocabulary_are_refused(tmp_path):
    session = Session(table(), seed=1)
    for call in (session.generate, lambda prompt, **given: list(session.stream(prompt, **given))):
        with pytest.raises(ParameterError, match=rf"stop_ids: token id {V} lies outside the vocabulary of {V} tokens"):
            call([1], max_tokens=1, stop_ids=[3, V])
    result = session.generate([1], max_tokens=1, stop_ids=[V - 1])
    result.trace.header.stop["ids"] = [9999]
    with pytest.raises(ParameterError, match="stop_ids: token id 9999"):
        resume(result.trace, table(), max_tokens=2)
    assert json.dumps(result.trace.header.stop)
