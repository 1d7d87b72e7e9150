"""A run that is resumed from its trace is, step for step and bit for bit, the run that never broke off."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import decodekit
from decodekit import (
    Chain,
    Disclosure,
    TraceError,
    read_trace,
    resume,
    resume_stream,
)
from decodekit.testing import NGramAdapter, TableAdapter
from tests.session.conftest import Around, plain
from tests.session.cutting import LENGTH, MODEL, NOISE, PARTS, SAMPLERS, Cut, build


@pytest.mark.parametrize("level", ["choice", "full"])
@pytest.mark.parametrize("part", [*PARTS, *SAMPLERS], ids=str)
def test_cut_after_any_step_it_goes_on_as_if_it_had_not_been(tmp_path, part, level):
    warm = [("temperature", {"temperature": 1.2}), ("top_k", {"top_k": 256})]
    chain = build(warm, part) if part in SAMPLERS else build([*warm, part])
    cut = Cut(tmp_path, chain, NOISE, level=level)
    for tokens in range(LENGTH + 1):
        cut.check(cut.killed(tokens))
        cut.check(cut.at_length(tokens))


@settings(max_examples=150)
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=5),
    sampler=st.sampled_from(SAMPLERS[:-1]),
    tokens=st.integers(0, LENGTH),
    level=st.sampled_from(["choice", "proof", "full"]),
    stop=st.lists(st.text("the catson,", min_size=1, max_size=4), max_size=2),
    ban=st.lists(st.text("the catson,", min_size=2, max_size=4), max_size=2),
    killed=st.booleans(),
    adapter=st.sampled_from([MODEL, NOISE]),
)
def test_any_chain_goes_on(tmp_path_factory, parts, sampler, tokens, level, stop, ban, killed, adapter):
    if sampler[0] != "multinomial":
        ban = []  # nothing random of ours, so a ban could not be kept
    folder = tmp_path_factory.mktemp("run")
    try:
        cut = Cut(folder, build(parts, sampler), adapter, level=level, stop=stop, ban=ban)
    except decodekit.DecodekitError:
        reject()  # such a chain leaves no token, or asks for the impossible
    made = len(cut.whole.token_ids)
    cut.check(cut.killed(min(tokens, made)) if killed else cut.at_length(tokens))


def test_cut_at_any_byte_it_goes_on_and_says_what_was_torn(tmp_path, caplog):
    cut = Cut(tmp_path, build([], SAMPLERS[1]), max_tokens=3)
    tail = b"".join(cut.lines[3:])
    for length in range(len(tail) + 1):
        left = tail[:length]
        torn = len(left) - (left.rfind(b"\n") + 1)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "decodekit"):
            result = cut.check(cut.killed(2, left))
        (note,) = read_trace(tmp_path / "again").resumed
        assert (note.steps, note.cut) == (2 + left[: len(left) - torn].count(b'"kind":"step"'), torn)
        assert [record.event for record in caplog.records] == (
            ["incomplete last line of the trace left out"] if torn else []
        )
        assert len(result.trace.resumed) == 1
    header = cut.lines[0]
    (tmp_path / "part").write_bytes(header[:-1])
    with pytest.raises(TraceError, match="incomplete"):
        resume(tmp_path / "part", MODEL)


@pytest.mark.parametrize("adapter", [MODEL, NGramAdapter("cacacacab" * 5)], ids=["text", "ca"])
def test_what_was_open_for_a_ban_is_open_again(tmp_path, adapter):
    cut = Cut(tmp_path, build(PARTS[:1]), adapter, "ca", max_tokens=25, ban=["cat", "sat on", "acacab", "cc"])
    made = len(cut.whole.token_ids)
    assert sum(len(step.abandoned) for step in cut.whole.trace.steps) >= 3
    reopened = 0
    for tokens in range(made):
        cut.check(cut.killed(tokens))
        kept = read_trace(cut.at_length(tokens)).token_ids()
        reopened += kept != list(cut.whole.token_ids[:tokens])
        cut.check(tmp_path / "part")
        if tokens % 3 == 1:
            (tmp_path / "part").unlink()
            steps = cut.session.stream("ca", **{**cut.call, "trace": tmp_path / "part"})
            for _ in range(tokens):
                next(steps)
            steps.close()
            cut.check(tmp_path / "part")
    assert reopened  # what a shorter run had kept was taken back


def test_text_that_was_shown_at_the_end_is_held_again(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["sat on", "\N{EM DASH}"], max_tokens=60)
    ended = [read_trace(cut.at_length(tokens)).steps for tokens in range(1, len(cut.lines) - 2)]
    changed = sum(steps[-1].text != cut.whole.trace.steps[len(steps) - 1].text for steps in ended)
    assert changed > 3  # what the shorter runs showed at their end
    for tokens in range(len(ended)):
        cut.check(cut.at_length(tokens))


def test_a_stream_gives_all_steps_the_recorded_ones_first(tmp_path):
    cut = Cut(tmp_path, build(PARTS[:3]), stop=["log"])
    adapter = Around(MODEL, plain)
    steps = resume_stream(cut.killed(4), adapter, max_tokens=LENGTH)
    seen = [next(steps) for _ in range(4)]
    assert adapter.asked == []
    seen += steps
    assert [step.token_id for step in seen] == list(cut.whole.token_ids)
    assert "".join(step.text for step in seen) == cut.whole.text


def test_a_stream_that_is_left_among_the_recorded_steps_has_not_ended(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["og", "at"])
    assert cut.whole.finish_reason == "stop"
    steps = resume_stream(tmp_path / "whole", MODEL, trace=tmp_path / "part")
    next(steps)
    steps.close()
    assert [(end.tokens, end.finish_reason) for end in read_trace(tmp_path / "part").footer.ends] == [(1, "cancelled")]
    cut.check(tmp_path / "part")


def test_an_async_adapter_is_asked_through_a_facade_that_ends(tmp_path):
    import threading

    class Later:
        info, tokenizer = MODEL.info, MODEL.tokenizer

        async def apredict(self, prefixes, disclose):
            return MODEL.predict(prefixes, disclose)

        async def aclose(self):
            raise AssertionError("it is not ours to close")

    cut = Cut(tmp_path, Chain())
    before = threading.active_count()
    (result,) = resume(cut.killed(3), Later())
    assert result.token_ids == cut.whole.token_ids
    assert threading.active_count() == before


def test_a_head_is_asked_for_again_as_it_was(tmp_path):
    adapter = TableAdapter(lambda ids: np.random.default_rng([*ids]).normal(0, 3, 90), 90, most=Disclosure(20, (0,)))
    cut = Cut(tmp_path, build([("top_k", {"top_k": 8}), PARTS[13]]), adapter, [3])
    for tokens in range(LENGTH):
        cut.check(cut.killed(tokens))


def test_it_goes_on_from_a_resumed_run_and_from_a_recovered_one(tmp_path):
    cut = Cut(tmp_path, build([PARTS[16]]))
    resume(cut.killed(2, b'{"kind":"st'), MODEL, max_tokens=5, trace=tmp_path / "second")
    result = cut.check(tmp_path / "second")
    assert [(note.steps, note.cut) for note in result.trace.resumed] == [(2, 11), (5, 0)]
    assert result.trace.resumed[0].adapter["name"] == "ngram"
    assert [(note.steps, note.cut) for note in read_trace(tmp_path / "again").resumed] == [(2, 11), (5, 0)]
    decodekit.recover(cut.killed(2, b'{"kind":"st'), tmp_path / "recovered")
    cut.check(tmp_path / "recovered")


def test_what_has_ended_is_not_asked_about(tmp_path):
    cut = Cut(tmp_path, Chain(), stop=["cat", "dog"], max_tokens=200)
    assert cut.whole.finish_reason == "stop"
    adapter = Around(MODEL, plain)
    (result,) = resume(tmp_path / "whole", adapter, max_tokens=400)
    assert (result.token_ids, result.finish_reason) == (cut.whole.token_ids, "stop")
    stopped = cut.session.generate("the ", until=lambda step: step.index == 3, trace=tmp_path / "until")
    assert resume(tmp_path / "until", adapter, max_tokens=400)[0].token_ids == stopped.token_ids
    (short,) = resume(cut.at_length(4), adapter)
    assert (len(short.token_ids), short.finish_reason) == (4, "length")
    assert adapter.asked == []


def test_until_sees_the_recorded_steps_first(tmp_path):
    seen: list[int] = []

    def until(step: decodekit.Step) -> bool:
        seen.append(step.token_id)
        return len(seen) == 9

    cut = Cut(tmp_path, Chain(), until=until)
    seen.clear()
    cut.check(cut.killed(4), until=until)
    assert seen == list(cut.whole.token_ids)
    with pytest.raises(TraceError, match="step 3 of stream 0 cannot come after 3 tokens: the sequence ended there"):
        resume(cut.killed(4), MODEL, until=lambda step: step.index == 2)

    def impatient(step: decodekit.Step) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume(cut.killed(4), MODEL, until=impatient, trace=tmp_path / "never")
    assert not (tmp_path / "never").exists()
