"""A call may have settings of its own: chain, top_logprobs, metadata, level."""

from __future__ import annotations

import pytest

import decodekit
from decodekit import Chain, ParameterError, Session, TraceError, processor
from tests.session.conftest import table


def test_a_call_with_its_own_settings_is_a_call_of_a_session_that_has_them() -> None:
    seen: list[object] = []

    def watching(dist, ctx):
        seen.append(ctx.metadata["user"])
        return dist

    own = Chain([watching, processor("top_k", top_k=3)], "greedy")
    session = Session(table(), seed=1, metadata={"user": 1})
    result = session.generate([1], max_tokens=4, chain=own, top_logprobs=2, metadata={"user": 2})
    other = Session(table(), own, seed=1, top_logprobs=2, metadata={"user": 2}).generate([1], max_tokens=4)
    assert result.token_ids == other.token_ids and seen == [2] * 8
    assert result.trace.header == other.trace.header
    assert {len(step.raw.top) for step in result.trace.steps} == {2}
    plain = session.generate([1], max_tokens=4)
    assert plain.trace.header.chain == Chain().describe() and plain.trace.header.top_logprobs == 5


def test_a_list_of_processors_is_a_chain_here_too() -> None:
    session = Session(table(), seed=1)
    assert (
        session.generate([1], max_tokens=4, chain=[processor("top_k", top_k=1)]).token_ids
        == Session(table(), Chain(sampler="greedy")).generate([1], max_tokens=4).token_ids
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"top_logprobs": 1001}, "top_logprobs"),
        ({"metadata": [1]}, "metadata is a dict"),
        ({"priority": "high"}, "priority"),
        ({"chain": {"top_k": 3}}, "a chain is a text or a list of processors"),
        ({"level": "all"}, "'none', 'choice', 'proof', 'full'"),
        ({"level": "none", "trace": "x.jsonl"}, "nothing for trace="),
        ({"level": "none", "top_logprobs": 5}, "nothing for top_logprobs="),
    ],
)
def test_a_setting_that_no_call_can_have_is_refused(options, message) -> None:
    with pytest.raises(ParameterError, match=message):
        Session(table()).generate([1], **options)


def test_level_none_gives_the_tokens_and_keeps_nothing(tmp_path) -> None:
    session = Session(table(), [processor("top_p", top_p=0.9)], seed=5)
    steps = list(session.stream([1], max_tokens=6, level="none"))
    proved = session.generate([1], max_tokens=6)
    assert [step.token_id for step in steps] == list(proved.token_ids)
    assert [step.choice.logprob for step in steps] == [step.choice.logprob for step in proved.trace.steps]
    for step in steps:
        assert (step.entries, step.evidence, step.raw.top, step.raw.entropy) == ((), None, (), None)
    result = session.generate([1], max_tokens=6, level="none")
    assert result.token_ids == proved.token_ids and result.trace.steps == []
    for judge in (decodekit.verify, decodekit.replay):
        with pytest.raises(TraceError, match="level 'none'"):
            judge(result.trace)
    with pytest.raises(TraceError, match="level 'none'"):
        decodekit.resume(result.trace, table())
