"""Asking for more: exactly as much as the chain needs, recorded, and never a token the full model would not choose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import ALL, Disclosure, Distribution, Session, Undisclosed, read_trace
from tests.session.conftest import Around, chain, plain, table

TOP_K = chain(("top_k", {"top_k": 4}))
TOP_P = chain(("top_p", {"top_p": 0.9}))


def frugal(limit: Disclosure = ALL, first: int = 3) -> Around:
    """A model that shows little at first, and more when asked: up to ``limit``."""

    def act(inner, prefixes, wanted):
        answers = []
        for prefix, want in zip(prefixes, wanted, strict=True):
            (row,) = inner.predict([prefix])
            if limit.kind == "all" and (want.kind == "all" or (want.top or 0) >= 50):
                answers.append(row)
                continue
            top = min(want.top or first, limit.top or 49)
            ids, logprobs = row.leading(top)
            named = np.union1d(ids, np.array(want.ids if limit.ids or limit.kind == "all" else (), dtype=np.int64))
            edge = float(logprobs.min())
            answers.append(Distribution.head(named, row.logprobs_of(named), 50, max_hidden=edge))
        return answers

    return Around(table(), act)


def test_what_the_chain_declares_is_asked_at_once():
    adapter = frugal()
    result = Session(adapter, TOP_K, seed=1).generate([1], max_tokens=5)
    assert [wanted for _, wanted in adapter.asked] == [[Disclosure(4)]] * 5
    assert all(step.asked == () for step in result.trace.steps)
    assert result.token_ids == Session(table(), TOP_K, seed=1).generate([1], max_tokens=5).token_ids


def test_more_is_asked_until_it_is_enough_and_the_step_says_so():
    adapter = frugal()
    result = Session(adapter, TOP_P, seed=1).generate([1], max_tokens=8)
    assert result.token_ids == Session(table(), TOP_P, seed=1).generate([1], max_tokens=8).token_ids
    asked = [need for step in result.trace.steps for _, need in step.asked]
    assert asked and len(adapter.asked) == 8 + len(asked)
    first = next(step for step in result.trace.steps if step.asked)
    assert first.asked[0] == ("the nucleus of 0.9", Disclosure(12))


@pytest.mark.parametrize("sampler", ["multinomial", "greedy", "inverse_cdf"])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**64 - 1), first=st.integers(1, 49))
def test_escalation_never_changes_a_token(sampler, seed, first):
    for parts in (
        [],
        [("top_p", {"top_p": 0.8})],
        [("min_p", {"min_p": 0.1})],
        [("temperature", {"temperature": 0.6})],
    ):
        full = Session(table(), chain(*parts, sampler=sampler), seed=seed).generate([1], max_tokens=3)
        part = Session(frugal(first=first), chain(*parts, sampler=sampler), seed=seed).generate([1], max_tokens=3)
        assert part.token_ids == full.token_ids


def test_only_the_rows_that_need_more_are_asked_again():
    adapter = frugal()
    rows = Session(adapter, TOP_P, seed=1).generate_many([[i] for i in range(8)], max_tokens=6)
    again = sum(len(step.asked) for step in rows[0][0].trace.steps)
    assert sum(len(prefixes) for prefixes, _ in adapter.asked) == 8 * 6 + again
    for i, (result,) in enumerate(rows):
        alone = Session(frugal(), TOP_P, seed=1).generate([i], max_tokens=6, stream=i << 32)
        assert result.token_ids == alone.token_ids


@pytest.mark.parametrize("top", [1, 3, 8])
def test_when_no_more_can_be_had_the_policy_error_raises_with_what_is_needed(top, tmp_path):
    path = tmp_path / "run.jsonl"
    session = Session(table(most=Disclosure(top=top)), chain(("top_p", {"top_p": 0.999})), seed=1)
    with pytest.raises(Undisclosed, match=r"the nucleus of 0.999.*on_undisclosed='truncate'") as caught:
        session.generate([1], max_tokens=5, trace=path)
    assert caught.value.need.top == 4 * top
    assert caught.value.partial.finish_reason == "error"
    assert read_trace(path).footer.ends[0].finish_reason == "error"


def test_truncate_gives_the_tail_up_where_it_happened_and_records_it():
    adapter = table(most=Disclosure(top=8))
    parts = (("temperature", {"temperature": 0.9}), ("top_p", {"top_p": 0.999}), ("temperature", {"temperature": 2.0}))
    result = Session(adapter, chain(*parts), seed=1, on_undisclosed="truncate").generate([1], max_tokens=5)
    assert len(result.token_ids) == 5
    for step in result.trace.steps:
        cool, nucleus, warm = step.entries
        assert cool.gave_up is None and cool.tail is not None
        assert nucleus.gave_up is not None and nucleus.tail is None
        assert nucleus.gave_up.count == 42
        assert warm.gave_up is None
        assert step.asked[0][0] == "the nucleus of 0.999"


def test_truncate_at_the_sampler_is_recorded_as_an_entry_of_its_own():
    adapter = table(most=Disclosure(top=2))
    result = Session(adapter, chain(sampler="inverse_cdf"), seed=1, on_undisclosed="truncate").generate(
        [1], max_tokens=3
    )
    assert [entry.name for step in result.trace.steps for entry in step.entries] == ["inverse_cdf"] * 3
    assert all(step.entries[0].gave_up is not None for step in result.trace.steps)


def test_truncate_does_nothing_where_the_question_has_an_answer():
    for session in (
        Session(table(most=Disclosure(top=8)), TOP_K, seed=1, on_undisclosed="truncate"),
        Session(table(most=Disclosure(top=8)), TOP_K, seed=1),
    ):
        result = session.generate([1], max_tokens=6)
        assert all(entry.gave_up is None for step in result.trace.steps for entry in step.entries)
        assert result.token_ids == Session(table(), TOP_K, seed=1).generate([1], max_tokens=6).token_ids


def test_the_last_question_asks_for_everything():
    """A model that shows one token more each time would never be done; the sixth question ends it."""
    shown = iter(range(1, 10**9))

    def act(inner, prefixes, wanted):
        (row,) = inner.predict(prefixes)
        if wanted[0].kind == "all":
            return [row]
        ids, logprobs = row.leading(min(next(shown), 49))
        return [Distribution.head(ids, logprobs, 50)]

    adapter = Around(table(), act)
    result = Session(adapter, chain(("top_p", {"top_p": 0.99999})), seed=1).generate([1], max_tokens=1)
    expected = Session(table(), chain(("top_p", {"top_p": 0.99999})), seed=1).generate([1], max_tokens=1)
    assert result.token_ids == expected.token_ids
    assert len(adapter.asked) == 6
    assert adapter.asked[-1][1] == [ALL]


def test_an_adapter_that_gives_no_more_is_asked_once_more_and_not_for_ever():
    adapter = Around(table(most=Disclosure(top=3)), plain)
    with pytest.raises(Undisclosed):
        Session(adapter, chain(("top_p", {"top_p": 0.9999})), seed=1).generate([1], max_tokens=1)
    assert len(adapter.asked) == 2


def test_an_impure_processor_asks_for_everything_first_and_runs_once():
    calls = []

    def foreign(dist, ctx):
        calls.append(ctx.step)
        return dist.scaled(0.5)

    foreign.pure = False
    from decodekit import Chain

    adapter = frugal()
    Session(adapter, Chain([foreign]), seed=1).generate([1], max_tokens=4)
    assert calls == [0, 1, 2, 3]
    assert all(wanted == [ALL] for _, wanted in adapter.asked)
