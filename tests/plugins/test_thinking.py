"""The thinking budget, token by token, by hand and against a plain reading of the ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import (
    Chain,
    Context,
    Disclosure,
    Distribution,
    EmptySupport,
    ParameterError,
    Prefix,
    Randomness,
    Session,
    Undisclosed,
    processor,
)
from decodekit.draw.choice import Choice
from decodekit.draw.context import TokenIds
from decodekit.session.decoder import Decoder
from decodekit.session.stop import Stop
from decodekit.testing import BytesTokenizer, PiecesTokenizer, TableAdapter, check_processor
from decodekit_sampling.thinking import Thinking

from .cases import context

START, END, OTHER = 7, 8, 9


def budget(most: int, **parameters: Any) -> Any:
    return processor("thinking_budget", **{"thinking_budget": most, "start": [START], "end": [END], **parameters})


def forced(plugin: Any, prompt: list[int], output: list[int], tokenizer: Any = None) -> list[int | None]:
    """For each step the token that is forced there, None where all are free; the output is what was chosen."""
    ctx = context(prompt, [], tokenizer)
    state, found = plugin.initial(ctx), []
    dist = Distribution.dense(np.zeros(257))
    for at, token in enumerate([*output, -1]):
        kept = plugin(dist, ctx, state)
        found.append(None if kept is dist else int(kept.support()[0]))
        if token >= 0:
            state = plugin.advance(state, Choice(token, None), ctx)
            ctx = context(prompt, output[: at + 1], tokenizer)
    return found


def test_by_hand() -> None:
    # Two tokens of thought, then the end; free again after it.
    assert forced(budget(2), [1], [START, 1, 2, END, 3]) == [None, None, None, END, None, None]
    # Ended before the budget was spent.
    assert forced(budget(2), [1], [START, 1, END, 3, 3]) == [None] * 6
    # No budget: the end at once.
    assert forced(budget(0), [1], [START, END, 3]) == [None, END, None, None]
    # Every block has the whole budget.
    assert forced(budget(1), [1], [START, 1, END, START, 1]) == [None, None, END, None, None, END]
    # Opened in the prompt: what is there counts.
    assert forced(budget(3), [START, 1, 2], [1]) == [None, END]
    assert forced(budget(2), [START, 1, 2, 3], []) == [END]
    assert forced(budget(2), [START, 1, END], [1, 1, 1]) == [None] * 4
    # Outside a block nothing counts.
    assert forced(budget(0), [1], [1, 2, 3]) == [None] * 4


def test_a_longer_ending_is_forced_token_by_token() -> None:
    plugin = budget(1, end=[5, END], forced=[1, 5, END])
    assert forced(plugin, [START], [2, 1, 5, END, 2]) == [None, 1, 5, END, None, None]
    # The ending may come by itself, and only its own tokens within the block make it.
    assert forced(budget(3, end=[5, END]), [START], [5, END, 1, 1, 1]) == [None] * 6
    assert forced(budget(2, start=[5], end=[5, END]), [1], [5, END, 1]) == [None, None, None, 5]


def test_a_start_that_begins_with_a_part_of_itself_is_found() -> None:
    # llama.cpp's matcher counts tokens that fit and forgets, at the third 1, that two fit already.
    assert forced(budget(0, start=[1, 1, 2]), [9], [1, 1, 1, 2]) == [None, None, None, None, END]


def test_the_end_waits_for_the_rest_of_a_character() -> None:
    euro = list("€".encode())  # three tokens
    texts: dict[str, Any] = {"start": [60], "end": [62]}
    tokenizer = BytesTokenizer()
    assert forced(budget(1, **texts), [60], euro, tokenizer) == [None, None, None, 62]
    assert forced(budget(2, **texts), [60], euro, tokenizer) == [None, None, None, 62]
    assert forced(budget(3, **texts), [60], euro, tokenizer) == [None, None, None, 62]
    assert forced(budget(4, **texts), [60], [65, *euro], tokenizer) == [None] * 4 + [62]
    assert forced(budget(1, **texts), [60], [euro[0], 65, 65], tokenizer)[:3] == [None, None, 62]  # never completed
    assert forced(budget(1, **texts), [60, euro[0]], [*euro[1:]], tokenizer) == [None, None, 62]
    assert forced(budget(1, **texts), [60], euro)[:2] == [None, 62]  # no tokenizer: nothing is known of characters
    smile = list("😀".encode())
    assert forced(budget(1, **texts), [60], smile, tokenizer) == [None] * 4 + [62]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([START, END, OTHER]), max_size=12),
    st.lists(st.sampled_from([START, END, OTHER]), max_size=12),
    st.integers(0, 4),
)
def test_no_block_is_longer_than_its_budget(prompt: list[int], wanted: list[int], most: int) -> None:
    """Play the machine: where a token is forced it is taken, else the wanted one; then read the whole."""
    plugin, output = budget(most), []
    for token in wanted:
        want = forced(plugin, prompt, output)[-1]
        output.append(token if want is None else want)
    inside = 0 if START in prompt and END not in prompt[len(prompt) - 1 - prompt[::-1].index(START) :] else None
    if inside is not None:
        inside = prompt[::-1].index(START)
    for token in output:
        if inside is None:
            inside = 0 if token == START else None
        elif token == END:
            inside = None
        else:
            inside += 1
            assert inside <= most


def test_in_a_session_by_text() -> None:
    tokenizer = PiecesTokenizer([b"<think>", b"</think>", b"a", b"b", None], eos_ids=[4])
    adapter = TableAdapter({(): [-5.0, -5.0, 2.0, 0.0, -9.0]}, 5, tokenizer=tokenizer)
    session = Session(adapter, Chain([processor("thinking_budget", thinking_budget=3)], "greedy"))
    assert session.generate("b<think>", max_tokens=6).text == "aaa</think>aa"
    assert session.generate("b", max_tokens=3).text == "aaa"


def test_an_end_that_cannot_be_forced_names_the_plugin() -> None:
    row = np.zeros(10)
    row[END] = -np.inf
    decoder = Decoder(Chain([budget(0)]), Randomness(0), Prefix([START]), Stop(3))
    with pytest.raises(EmptySupport, match="stage 'thinking_budget', step 0"):
        decoder.feed(Distribution.dense(row))


def test_states_are_small_values_and_the_contract_holds() -> None:
    ctxs = [Context(TokenIds(p), TokenIds(o)) for p, o in (([0], []), ([0, 1], [1]), ([1, 0, 1], [0, 0, 1, 0]))]
    for most in (0, 1, 5):
        plugin = processor("thinking_budget", thinking_budget=most, start=[0], end=[1, 1], forced=[0, 1, 1])
        assert check_processor(plugin, names_ids=True, contexts=ctxs) >= 20
        assert processor("thinking_budget", **Chain([plugin]).describe()["processors"][0]["params"]) == plugin
    assert budget(2).initial(context([START, 1])) == Thinking("inside", 1)


def test_on_a_head_it_asks_for_the_token_it_forces() -> None:
    head = Distribution.head([0, 1], np.log([0.5, 0.3]), 20)
    chain = Chain([budget(0)])
    assert chain.need(context([START])) == Disclosure(None, (END,))
    with pytest.raises(Undisclosed) as caught:
        chain.apply(head, context([START]))
    assert caught.value.need == Disclosure(2, (END,))
    assert chain.apply(head, context([1])) is head


@pytest.mark.parametrize("parameters", [{"start": ""}, {"end": []}, {"thinking_budget": -1}, {"forced": [-1]}])
def test_a_budget_that_makes_no_sense_is_a_typed_error(parameters: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"thinking_budget.*{next(iter(parameters))}"):
        processor("thinking_budget", **{"thinking_budget": 3, **parameters})


# -- marks that are texts ------------------------------------------------------------------------------------------

PIECES = [b"<", b"think", b">", b"</", b"></", b">\n", b"<think>", b"</think>", b"<think></", b"a", b"b", b">a", None]


class Named(PiecesTokenizer):
    """The last token is the control token ``<stop>``."""

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return [len(PIECES) - 1] if special and text == "<stop>" else super().encode(text)


def text_budget(most: int, **parameters: Any) -> Any:
    return processor("thinking_budget", **{"thinking_budget": most, "forced": [7], **parameters})


def test_a_mark_is_found_however_it_is_split() -> None:
    pieces = Named(PIECES)
    for start in ([6], [0, 1, 2], [0, 1, 5], [9, 0, 1, 11]):
        for end in ([7], [3, 1, 2], [3, 1, 5], [3, 1, 11]):
            ids = [*start, 9, *end, 9, 9, 9]
            assert forced(text_budget(9), [10], ids, pieces) == [None] * (len(ids) + 1)
            assert forced(text_budget(1), [10], [*start, 9], pieces)[-1] == 7
            assert forced(text_budget(1), [10, *start], [9], pieces) == [None, 7]
            assert forced(text_budget(2), [*start, 9, *end], [9, 9, 9], pieces) == [None] * 4
    # The token that ends the one mark begins the other: an empty block.
    for split in ([0, 1, 4, 1, 2], [8, 1, 2], [6, 7]):
        assert forced(text_budget(9), [10], [*split, 9, 9], pieces) == [None] * (len(split) + 3)
        assert forced(text_budget(3), split, [9] * 5, pieces) == [None] * 6
    assert forced(text_budget(1), [8], [9], pieces) == [None, 7]  # begun, and another thing in the end
    assert forced(text_budget(3), [8, 1], [2, 9, 9, 9, 9], pieces) == [None] * 6  # ends just behind the prompt


def test_the_name_of_a_control_token_is_that_token() -> None:
    pieces, stop = Named(PIECES), len(PIECES) - 1
    assert forced(text_budget(9, end="<stop>", start="a"), [10], [9, 10, stop, 10], pieces) == [None] * 5
    assert forced(text_budget(1, end="<stop>", start="a", forced="<stop>"), [10], [9, 10], pieces)[-1] == stop


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 11), max_size=14), st.integers(0, 14), st.integers(0, 3))
def test_marks_are_where_the_text_has_them(ids: list[int], cut: int, most: int) -> None:
    """Outside where the text, read from its beginning, is outside; the state is the same from any cut on."""
    plugin, pieces = text_budget(10_000), Named(PIECES)
    ctx = context(ids[:cut], [], pieces)
    state = plugin.initial(ctx)
    for at in range(len(ids[:cut]), len(ids)):
        state = plugin.advance(state, Choice(ids[at], None, None, None, 0.0, 0.0, None, None), ctx)
        ctx = context(ids[:cut], ids[cut : at + 1], pieces)
    text = b"".join(PIECES[i] or b"" for i in ids)
    opened = text.rfind(b"<think>")
    assert (state.phase == "inside") == (opened >= 0 and b"</think>" not in text[opened + 7 :])
