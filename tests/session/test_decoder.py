"""The state machine without I/O: when it ends, what it shows, what it asks for, and what a failed step leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import (
    ALL,
    CHEAP,
    Chain,
    Choice,
    Context,
    Decoder,
    Disclosure,
    Distribution,
    DistributionError,
    ParameterError,
    PluginError,
    Prefix,
    Randomness,
    Step,
    Stop,
    Undisclosed,
)
from decodekit.draw.samplers import multinomial
from decodekit.testing import BytesTokenizer, PiecesTokenizer

LOG, INF = math.log, math.inf
PROMPT = Prefix([0, 1])


def sure(token: int, size: int = 257) -> Distribution:
    """A distribution that leaves no choice."""
    row = np.full(size, -INF)
    row[token] = 0.0
    return Distribution.dense(row)


def decoder(chain: Chain | None = None, stop: Stop | None = None, tokenizer: Any = None, **options: Any) -> Decoder:
    return Decoder(chain or Chain(), Randomness(5, 9), PROMPT, stop, tokenizer, **options)


def spell(machine: Decoder, tokens: list[int], size: int = 257) -> list[Step]:
    """Feed tokens that leave no choice, until the end."""
    steps = []
    for token in tokens:
        if machine.finished:
            break
        steps.append(machine.feed(sure(token, size)))
    return steps


# -- steps ---------------------------------------------------------------------------------------------------------


def test_each_step_extends_the_prefix_and_draws_with_the_noise_of_its_place() -> None:
    machine = decoder(attempt=2)
    row = Distribution.dense([0.0, 0.5, 1.0, -1.0])
    tokens = []
    for n in range(5):
        step = machine.feed(row, waited=0.25)
        expected = multinomial(row, Context(), Randomness(5, 9).at(n, draw=2))
        assert (step.index, step.token_id, step.draw) == (n, expected.token_id, expected.draw)
        assert (step.stream, step.timing.predict) == (9, 0.25) and step.timing.chain >= 0
        assert step.raw.support == 4 and step.raw.entropy == row.entropy and step.raw.disclosed == 4
        tokens.append(step.token_id)
    assert machine.prefix == PROMPT.extend(tokens) and tuple(machine.output_ids) == tuple(tokens)
    assert not machine.finished and machine.finish_reason is None


def test_processors_see_the_ids_so_far_the_tokenizer_and_the_metadata() -> None:
    seen = []

    def look(dist: Distribution, ctx: Context) -> Distribution:
        seen.append((tuple(ctx.prompt_ids), tuple(ctx.output_ids), ctx.step, ctx.tokenizer, dict(ctx.metadata)))
        return dist

    tokenizer = BytesTokenizer()
    spell(decoder(Chain([look]), tokenizer=tokenizer, metadata={"user": 3}), [7, 8])
    assert seen == [((0, 1), (), 0, tokenizer, {"user": 3}), ((0, 1), (7,), 1, tokenizer, {"user": 3})]


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
def test_the_level_decides_what_a_step_keeps(level: Any) -> None:
    for dist in (
        Distribution.dense(np.array([0.0, 2.0, 1.0], dtype=np.float32)),
        Distribution.dense([0, 4, 2]).scaled(0.5),
    ):
        step = decoder(level=level, top_logprobs=2).feed(dist)
        assert (step.evidence is None) == (level == "choice") and (step.row is None) == (level != "full")
        assert [i for i, _ in step.raw.top] == [1, 2]
        if step.row is not None:
            assert step.row[0] is None and step.row[1].tolist() == [0.0, 2.0, 1.0]


def test_the_summary_of_a_head_says_what_was_disclosed() -> None:
    head = Distribution.head([3, 1], [LOG(0.7), LOG(0.25)], 5)
    raw = decoder(Chain([], "greedy")).feed(head).raw
    assert (raw.disclosed, raw.support, raw.entropy, raw.log_normalizer) == (2, None, None, 0.0)
    assert raw.tail == head.tail and raw.origin == "logprobs" and raw.top == ((3, LOG(0.7)), (1, LOG(0.25)))


# -- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_max_tokens_ends_it_by_length(limit: int) -> None:
    machine = decoder(stop=Stop(limit), tokenizer=BytesTokenizer())
    steps = spell(machine, [65, 66, 67, 68, 69])
    assert (len(steps), machine.finish_reason, machine.text) == (limit, "length", "ABCDE"[:limit])
    with pytest.raises(ParameterError, match="has finished"):
        machine.feed(sure(65))


def test_end_of_text_and_stop_ids_end_it_and_stay_in_the_ids_but_not_in_the_text() -> None:
    for end, stop in ((256, Stop()), (66, Stop(ids=frozenset({66, 9})))):
        machine = decoder(stop=stop, tokenizer=BytesTokenizer())
        steps = spell(machine, [65, end, 67])
        assert (machine.finish_reason, machine.text, tuple(machine.output_ids)) == ("stop", "A", (65, end))
        assert [step.text for step in steps] == ["A", ""]
    alone = decoder(stop=Stop(ids=frozenset({3})))
    assert len(spell(alone, [2, 3, 2])) == 2 and alone.text == ""


def test_a_stop_string_across_tokens_is_cut_and_its_ids_stay() -> None:
    tokenizer = PiecesTokenizer([b"one ", b"tw", b"o. E", b"N", b"D and", b"more"])
    machine = decoder(stop=Stop(strings=("END", "xyz")), tokenizer=tokenizer)
    steps = spell(machine, [0, 1, 2, 3, 4, 5], size=6)
    assert [step.text for step in steps] == ["one ", "tw", "o. ", "", ""]
    assert (machine.text, machine.finish_reason, tuple(machine.output_ids)) == ("one two. ", "stop", (0, 1, 2, 3, 4))


def test_text_held_for_a_stop_string_that_never_came_is_released_by_the_last_step() -> None:
    for tokens, stop in (([65, 69, 78], Stop(3, ("END",))), ([65, 69, 78, 256], Stop(9, ("END",)))):
        machine = decoder(stop=stop, tokenizer=BytesTokenizer())
        texts = [step.text for step in spell(machine, tokens)]
        assert "".join(texts) == machine.text == "AEN" and texts[-1].endswith("EN")


def test_until_sees_each_step_and_can_end_it() -> None:
    seen: list[Step] = []

    def until(step: Step) -> bool:
        seen.append(step)
        return step.text == "C"

    machine = decoder(stop=Stop(until=until), tokenizer=BytesTokenizer())
    spell(machine, [65, 67, 66])
    assert [step.token_id for step in seen] == [65, 67] and machine.finish_reason == "stop" and machine.text == "AC"


def test_the_driver_can_make_a_step_the_last_or_end_it_between_steps() -> None:
    machine = decoder(stop=Stop(strings=("END",)), tokenizer=BytesTokenizer())
    machine.feed(sure(69))
    assert machine.text == "" and machine.feed(sure(78), last="deadline").text == "EN"
    assert machine.finish_reason == "deadline"
    other = decoder(stop=Stop(strings=("END",)), tokenizer=BytesTokenizer())
    other.feed(sure(69))
    assert (other.finish("cancelled"), other.finish("error"), other.finish_reason) == ("E", "", "cancelled")


@settings(max_examples=100)
@given(
    st.text(alphabet="aé€😀\n", max_size=12) | st.binary(max_size=12),
    st.lists(st.sampled_from(["é", "a€", "\n\n"]), max_size=2),
    st.integers(1, 40),
)
def test_the_texts_of_the_steps_add_up_to_the_text_and_never_hold_half_a_character(
    content: str | bytes, stop: list[str], limit: int
) -> None:
    data = content.encode() if isinstance(content, str) else content
    machine = decoder(stop=Stop(limit, tuple(stop)), tokenizer=BytesTokenizer())
    steps = spell(machine, [*data, 256])
    assert machine.finished and "".join(step.text for step in steps) == machine.text
    whole = data[:limit].decode(errors="replace")
    cuts = [at for at in map(whole.find, stop) if at >= 0]
    assert machine.text == (whole[: min(cuts)] if cuts and machine.finish_reason == "stop" else whole)
    if isinstance(content, str) and limit >= len(data):
        assert "\ufffd" not in machine.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": -1}, {"max_tokens": 10_000_001}, {"max_tokens": True}, {"max_tokens": 2.5}, {"max_tokens": "9"},
        {"strings": ("",)}, {"strings": (3,)}, {"strings": ("a", None)}, {"strings": "END"},
    ],
)  # fmt: skip
def test_a_stop_rule_that_makes_no_sense_is_a_typed_error(wrong: dict) -> None:
    with pytest.raises(ParameterError):
        Stop(**wrong)


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(ParameterError, match="need a tokenizer"):
        decoder(stop=Stop(strings=("END",)))
    spell(machine := decoder(), [1])
    assert machine.text == ""


# -- failures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """Counts its own runs and keeps every state it was handed."""

    calls: list
    name = "memory"

    def initial(self, ctx: Context) -> int:
        return 0

    def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
        self.calls.append(("run", ctx.step, state))
        return dist.top(2)

    def advance(self, state: int, choice: Choice, ctx: Context) -> int:
        self.calls.append(("advance", ctx.step, state))
        return state + 1


def test_undisclosed_leaves_the_decoder_as_it_was_and_its_need_grows() -> None:
    calls: list = []
    machine = decoder(Chain([Memory(calls), decodekit.processor("top_k", top_k=2)]))
    assert machine.need == Disclosure(2)
    machine.feed(Distribution.head([1, 2], [LOG(0.9), LOG(0.05)], 4))
    poor = Distribution.head([1], [LOG(0.6)], 4)
    before = (machine.prefix, tuple(machine.output_ids), machine.text, machine.finished)
    needs = [machine.need]
    for dist in (poor, poor):
        with pytest.raises(Undisclosed):
            machine.feed(dist)
        assert (machine.prefix, tuple(machine.output_ids), machine.text, machine.finished) == before
        needs.append(machine.need)
    assert all(after.covers(earlier) for earlier, after in pairwise(needs))
    step = machine.feed(Distribution.head([1, 2], [LOG(0.6), LOG(0.3)], 4))
    assert step.asked == (("the 2 most likely tokens", Disclosure(2)),) * 2
    again = [("run", 1, 1)] * 3  # from the same state, until it was enough
    assert calls == [("run", 0, 0), ("advance", 0, 0), *again, ("advance", 1, 1)]
    assert machine.need == Disclosure(2) and machine.feed(sure(1, 4)).asked == ()  # a new token, a new question


def test_what_was_asked_for_before_is_asked_for_again_with_the_new() -> None:
    def curious(dist: Distribution, ctx: Context) -> Distribution:
        dist.logprob(5)
        return dist.top(3)

    machine = decoder(Chain([curious]))
    heads = [
        Distribution.head([1], [LOG(0.6)], 8),
        Distribution.head([1, 5], [LOG(0.6), LOG(0.01)], 8, max_hidden=LOG(0.3)),
    ]
    for head, need in zip(heads, (Disclosure(1, (5,)), Disclosure(3, (5,))), strict=True):
        with pytest.raises(Undisclosed):
            machine.feed(head)
        assert machine.need == need


def test_the_same_token_comes_out_whether_it_was_asked_for_at_once_or_in_pieces() -> None:
    rng = np.random.default_rng(3)
    asked = 0
    for case in range(200):
        full = Distribution.dense(rng.normal(0, 1.5, 40))
        direct = Decoder(Chain(), Randomness(case), PROMPT).feed(full)
        machine = Decoder(Chain(), Randomness(case), PROMPT)
        ids, logprobs = full.leading(3)
        head = Distribution.head(ids, logprobs, 40)
        try:
            step = machine.feed(head)
        except Undisclosed:
            assert machine.need.top == 3 and machine.need.ids
            shown = np.union1d(ids, machine.need.ids)
            edge = float(logprobs.min())
            step = machine.feed(Distribution.head(shown, full.logprobs_of(shown), 40, max_hidden=edge))
            asked += 1
        assert step.token_id == direct.token_id and machine.need == CHEAP
    assert 20 < asked < 180


def test_a_failed_step_changes_nothing_and_can_be_fed_again() -> None:
    def fragile(dist: Distribution, ctx: Context) -> Distribution:
        if dist.mode == 3:
            raise RuntimeError("three")
        return dist.keep([0, 1])

    machine = decoder(Chain([fragile]))
    machine.feed(Distribution.dense([0.0, 1.0, 2.0, -1.0]))
    before = (machine.prefix, tuple(machine.output_ids))
    with pytest.raises(PluginError, match="plugin 'fragile', step 1"):
        machine.feed(sure(3, 4))
    with pytest.raises(DistributionError):
        machine.feed(sure(2, 4))
    assert (machine.prefix, tuple(machine.output_ids), machine.finished) == (*before, False)
    assert machine.feed(sure(1, 4)).index == 1


def test_truncate_gives_up_the_tail_only_when_the_adapter_can_give_no_more() -> None:
    head = Distribution.head([1, 2], [LOG(0.6), LOG(0.3)], 8)
    chain = Chain([decodekit.processor("temperature", temperature=0.7), decodekit.processor("top_k", top_k=3)])
    for policy, final in (("error", True), ("error", False), ("truncate", False)):
        with pytest.raises(Undisclosed):
            decoder(chain, on_undisclosed=policy).feed(head, final=final)
    step = decoder(chain, on_undisclosed="truncate").feed(head, final=True)
    assert [entry.gave_up is not None for entry in step.entries] == [False, True]
    assert step.entries[1].gave_up == head.scaled(1 / 0.7).tail and step.token_id in (1, 2)
    assert step.evidence is not None and step.evidence.floor is None
    # A head that settles everything gives up nothing.
    kept = decoder(Chain([decodekit.processor("top_k", top_k=2)]), on_undisclosed="truncate").feed(head, final=True)
    assert kept.entries[0].gave_up is None


def test_an_impure_processor_takes_the_first_answer_as_the_last() -> None:
    runs = []

    def foreign(dist: Distribution, ctx: Context) -> Distribution:
        runs.append(ctx.step)
        return dist

    foreign.pure = False  # type: ignore[attr-defined]
    chain = Chain([foreign, decodekit.processor("top_k", top_k=3)])
    head = Distribution.head([1, 2], [LOG(0.6), LOG(0.3)], 8)
    machine = decoder(chain, on_undisclosed="truncate")
    assert machine.need == ALL
    step = machine.feed(head)
    assert step.entries[1].gave_up == head.tail and runs == [0]
    with pytest.raises(PluginError, match="cannot run again"):
        decoder(chain).feed(head)
    assert runs == [0, 0]
