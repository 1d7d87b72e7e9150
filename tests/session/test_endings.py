"""How a generation ends, what it says of it, and that nothing generated is ever lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import ContextOverflow, Prefix, Session, read_trace, verify
from decodekit.testing import BytesTokenizer, NGramAdapter, TableAdapter
from tests.session.conftest import TEXT, Around, chain, plain, table


def spells(text: str | bytes) -> TableAdapter:
    """A model that writes this text byte by byte after the byte ``>``, and then its end-of-text token."""
    data = text.encode() if isinstance(text, str) else text

    def row(ids):
        at = len(ids) - 1 - ids.index(ord(">"))
        scores = [-50.0] * 257
        scores[data[at] if at < len(data) else 256] = 0.0
        return scores

    return TableAdapter(row, 257, tokenizer=BytesTokenizer())


def run(adapter, **options):
    """The result, after a check that the streamed steps say the same."""
    session = Session(adapter, chain(sampler="greedy"), seed=1)
    result = session.generate(">", **options)
    steps = list(session.stream(">", **options))
    assert tuple(step.token_id for step in steps) == result.token_ids
    assert "".join(step.text for step in steps) == result.text
    return result


def test_the_end_of_text_token_stops_it_and_is_in_the_ids_only():
    result = run(spells("abc"))
    assert (result.text, result.token_ids, result.finish_reason) == ("abc", (*b"abc", 256), "stop")


def test_max_tokens_is_a_length():
    result = run(spells("abc"), max_tokens=2)
    assert (result.text, result.finish_reason) == ("ab", "length")


def test_the_end_of_text_at_the_last_allowed_token_is_a_stop():
    assert run(spells("abc"), max_tokens=4).finish_reason == "stop"


def test_no_tokens_are_a_length_and_no_question():
    adapter = Around(spells("abc"), plain)
    result = run(adapter, max_tokens=0)
    assert (result.text, result.token_ids, result.finish_reason) == ("", (), "length")
    assert adapter.asked == []
    assert result.trace.footer.ends[0].tokens == 0


@pytest.mark.parametrize(
    ("stop", "text", "ids"),
    [
        ("c", "ab", b"abc"),
        ("bc", "a", b"abc"),
        (["cd", "b"], "a", b"ab"),
        (["abcd", "bc"], "a", b"abc"),
        ("abc", "", b"abc"),
        ("zz", "abcde", b"abcde"),
    ],
)
def test_a_stop_string_is_cut_from_the_text_and_its_ids_stay(stop, text, ids):
    result = run(spells("abcde"), stop=stop, max_tokens=5)
    assert (result.text, result.token_ids) == (text, tuple(ids))
    assert result.finish_reason == ("length" if stop == "zz" else "stop")


def test_text_held_back_for_a_stop_string_comes_out_at_the_end():
    assert run(spells("abab"), stop="abac", max_tokens=3).text == "aba"
    assert run(spells("aba"), stop="abac").text == "aba"


def test_stop_ids_end_it_and_add_no_text():
    result = run(spells("abc"), stop_ids=[ord("b")])
    assert (result.text, result.token_ids, result.finish_reason) == ("a", (*b"ab",), "stop")


def test_a_step_never_shows_half_a_character():
    steps = list(Session(spells("é🙂x"), chain(sampler="greedy")).stream(">"))
    assert [step.text for step in steps] == ["", "é", "", "", "", "🙂", "x", ""]


def test_half_a_character_at_the_end_is_shown_as_such():
    assert run(spells("é"), max_tokens=1).text == "\N{REPLACEMENT CHARACTER}"


def test_until_sees_each_step_and_ends_it():
    seen = []

    def until(step):
        seen.append((step.index, step.text))
        return step.text == "b"

    session = Session(spells("abc"), chain(sampler="greedy"))
    result = session.generate(">", until=until)
    assert (result.text, result.finish_reason) == ("ab", "stop")
    assert seen == [(0, "a"), (1, "b")]


def test_until_sees_the_last_step_too():
    seen = []
    run(spells("ab"), until=lambda step: seen.append(step.token_id) or False)
    assert seen == [*b"ab", 256] * 2


def test_until_releases_the_text_held_for_a_stop_string():
    result = run(spells("abc"), stop="abd", until=lambda step: step.index == 1)
    assert result.text == "ab"


def test_a_deadline_of_zero_asks_nothing():
    adapter = Around(spells("abc"), plain)
    result = run(adapter, deadline=0)
    assert (result.token_ids, result.finish_reason) == ((), "deadline")
    assert adapter.asked == []


def test_a_deadline_ends_it_after_the_token_that_was_begun():
    def slow(inner, prefixes, wanted):
        time.sleep(0.05)
        return inner.predict(prefixes, wanted)

    result = Session(Around(spells("abcdefghij" * 9), slow), chain(sampler="greedy")).generate(">", deadline=0.12)
    assert result.finish_reason == "deadline"
    assert 1 <= len(result.token_ids) <= 3


def test_a_deadline_ends_the_waiting_sequences_too():
    def slow(inner, prefixes, wanted):
        time.sleep(0.06)
        return inner.predict(prefixes, wanted)

    adapter = Around(spells("abc" * 99), slow, concurrency=2)
    rows = Session(adapter, chain(sampler="greedy")).generate_many([">"] * 5, deadline=0.05)
    assert [len(row[0].token_ids) for row in rows] == [1, 1, 0, 0, 0]
    assert {row[0].finish_reason for row in rows} == {"deadline"}


@pytest.mark.parametrize("told", [True, False], ids=["context_length known", "found out by asking"])
def test_a_full_context_while_generating_is_told_and_loses_nothing(told, tmp_path):
    adapter = Around(table(context_length=6), plain, **({} if told else {"context_length": None}))
    path = tmp_path / "run.jsonl"
    result = Session(adapter, seed=4).generate([1, 2, 3], max_tokens=20, trace=path)
    free = Session(table(), seed=4).generate([1, 2, 3], max_tokens=20)
    assert (result.token_ids, result.finish_reason, result.error) == (free.token_ids[:4], "context", None)
    assert len(adapter.asked) == (4 if told else 5)
    assert read_trace(path).footer.ends[0].finish_reason == "context"
    assert verify(path).word == "proved"


def test_a_full_context_loses_no_text_that_was_held_back():
    adapter = spells("abab")
    adapter.info = type(adapter.info)(**{**_fields(adapter.info), "context_length": 3})
    result = run(adapter, stop="abac")
    assert (result.text, result.finish_reason) == ("aba", "context")


def _fields(info):
    from dataclasses import fields

    return {f.name: getattr(info, f.name) for f in fields(info)}


def test_a_prompt_that_does_not_fit_is_raised():
    session = Session(table(context_length=6), seed=4)
    with pytest.raises(ContextOverflow) as caught:
        session.generate([1] * 7)
    assert caught.value.partial.finish_reason == "error"
    assert caught.value.partial.token_ids == ()


def test_a_prompt_that_does_not_fit_ends_alone_in_a_batch():
    (long,), (short,) = Session(table(context_length=6), seed=4).generate_many([[1] * 7, [2]], max_tokens=3)
    assert (long.finish_reason, type(long.error)) == ("error", ContextOverflow)
    assert (short.finish_reason, len(short.token_ids)) == ("length", 3)


def test_a_prompt_that_just_fits_gets_one_token():
    result = Session(table(context_length=6), seed=4).generate([1] * 6)
    assert (len(result.token_ids), result.finish_reason) == (1, "context")
    result = Session(table(context_length=6), seed=4).generate([1] * 5, max_tokens=2)
    assert (len(result.token_ids), result.finish_reason) == (2, "length")  # both limits: the one that was asked for


def test_closing_a_stream_early_cancels_the_run_and_leaves_a_whole_trace(session, tmp_path):
    path = tmp_path / "run.jsonl"
    steps = session.stream("the ", trace=path)
    taken = [next(steps) for _ in range(3)]
    steps.close()
    trace = read_trace(path)
    assert trace.token_ids() == [step.token_id for step in taken]
    (end,) = trace.footer.ends
    assert (end.finish_reason, end.tokens) == ("cancelled", 3)


def test_a_stream_that_is_never_begun_asks_nothing_and_writes_nothing(ngram, tmp_path):
    adapter = Around(ngram, plain)
    steps = Session(adapter).stream("the ", trace=tmp_path / "run.jsonl")
    steps.close()
    assert adapter.asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_step_is_in_the_file_before_it_is_handed_out(session, tmp_path):
    path = tmp_path / "run.jsonl"
    for n, _ in enumerate(session.stream("the ", max_tokens=5, trace=path), start=1):
        assert path.read_bytes().count(b'"kind":"step"') == n


def test_the_footer_tells_how_each_sequence_ended(tmp_path):
    path = tmp_path / "run.jsonl"
    Session(spells("abc"), chain(sampler="greedy")).generate_many([">", ">>"], max_tokens=3, stop="c", trace=path)
    assert [(end.tokens, end.finish_reason) for end in read_trace(path).footer.ends] == [(3, "stop"), (2, "stop")]


MODEL = NGramAdapter(TEXT)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**64 - 1),
    stop=st.lists(st.text("the catsdog,—ï", min_size=1, max_size=4), max_size=3),
    max_tokens=st.integers(0, 40),
)
def test_texts_of_the_steps_always_add_up_and_never_hold_a_stop_string(seed, stop, max_tokens):
    session = Session(MODEL, chain(("temperature", {"temperature": 1.5})), seed=seed)
    result = session.generate("the ", max_tokens=max_tokens, stop=stop)
    steps = list(session.stream("the ", max_tokens=max_tokens, stop=stop))
    assert "".join(step.text for step in steps) == result.text
    assert not any(text in result.text for text in stop)
    whole = BytesTokenizer().decode(result.token_ids).decode(errors="replace")
    assert whole.startswith(result.text)
    if not stop:
        assert whole == result.text
    assert len(result.token_ids) <= max_tokens


def test_the_next_turn_of_a_chat_is_a_longer_prefix(session):
    prompt = Prefix(b"the ")
    first = session.generate(prompt, max_tokens=4)
    second = session.generate(prompt.extend(first.token_ids).extend(b" cat"), max_tokens=4)
    assert second.trace.header.prompts[0] == [*b"the ", *first.token_ids, *b" cat"]
