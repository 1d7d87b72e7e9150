"""Phrases, sets of tokens and lengths against transformers and llama.cpp, and where they fall silent."""

from __future__ import annotations

import ctypes
import math
import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import (
    CHEAP,
    Chain,
    Context,
    Disclosure,
    Distribution,
    EmptySupport,
    ParameterError,
    PluginError,
    Session,
    Undisclosed,
    processor,
)
from decodekit.testing import BytesTokenizer, PiecesTokenizer, TableAdapter, check_processor

from .cases import TIGHT, apply, cases, context, scores, split
from .test_history import check_same, torch_scores

INF = math.inf
FLAT = np.zeros(6, dtype=np.float32)


def theirs() -> Any:
    pytest.importorskip("torch")
    return pytest.importorskip("transformers.generation")


# -- biases --------------------------------------------------------------------------------------------------------


def test_logit_bias_is_llama_cpps() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    for rng, row, _ in cases(250, seed=10):
        ids = rng.choice(len(row), int(rng.integers(1, min(len(row), 9) + 1)), replace=False).tolist()
        bias = {token: float(np.float32(rng.normal(0, 5))) for token in ids}
        table = (llama.C.llama_logit_bias * len(ids))(*((token, bias[token]) for token in ids))
        c = llama.build(
            "logit_bias",
            len(row),
            len(ids),
            ctypes.cast(table, ctypes.POINTER(table._type_)),
        )
        np.testing.assert_allclose(scores("logit_bias", row, context(), logit_bias=bias), llama.scores(c, row), **TIGHT)


def test_phrases_are_biased_as_in_transformers() -> None:
    generation, due = theirs(), 0
    for rng, row, ids in cases(250, seed=11):
        if not ids:
            continue
        size = len(row)
        pairs = {}
        for _ in range(int(rng.integers(1, 12))):
            start, length = int(rng.integers(0, len(ids))), int(rng.integers(0, 4))
            begin = ids[start : start + length] if rng.random() < 0.5 else ids[len(ids) - length :]
            pairs[*begin, int(rng.integers(0, size))] = float(np.float32(rng.normal(0, 5)))
        expected = torch_scores(generation.SequenceBiasLogitsProcessor(pairs), ids, row)
        ctx = context(*split(rng, ids))
        got = scores("sequence_bias", row, ctx, sequence_bias=[[list(k), v] for k, v in pairs.items()])
        np.testing.assert_allclose(got, expected, **TIGHT)
        due += bool((got != row).any())
        words = [list(phrase) for phrase in pairs]
        expected = torch_scores(generation.NoBadWordsLogitsProcessor(words), ids, row)
        check_same("bad_words", row, ctx, expected, bad_words=words)
        check_same("sequence_bias", row, ctx, expected, sequence_bias=[[word, False] for word in words])
    assert due > 125


def test_a_phrase_by_hand() -> None:
    bias = [[[1, 2, 3], 2.0], [[2, 3], 0.5], [[4], -1.0], [[3, 5], False]]
    assert scores("sequence_bias", FLAT, context([1], [2]), sequence_bias=bias).tolist() == [0, 0, 0, 2.5, -1, 0]
    assert scores("sequence_bias", FLAT, context([3], []), sequence_bias=bias).tolist() == [0, 0, 0, 0, -1, -INF]
    assert scores("sequence_bias", FLAT, context([2, 1], []), sequence_bias=bias).tolist() == [0, 0, 0, 0, -1, 0]


def test_a_text_is_found_by_its_bytes_by_hand() -> None:
    tokenizer = PiecesTokenizer([b"a", b"b", b" ", b" a", b"ba", None])
    ctx = context([4], [3], tokenizer)  # "ba a": both texts are begun, and the tokens 1 and 4 complete them
    assert scores("sequence_bias", FLAT, ctx, sequence_bias=[["ab", 1.0], [" ab", 2.0]]).tolist() == [0, 3, 0, 0, 3, 0]
    banned = scores("bad_words", FLAT, ctx, bad_words=["ab", [4, 3, 2]])
    assert banned.tolist() == [0, -INF, -INF, 0, -INF, 0]
    assert scores("bad_words", FLAT, ctx, bad_words=["b"]).tolist() == [0, -INF, 0, 0, -INF, 0]  # what holds it
    assert scores("bad_words", FLAT, context([0], tokenizer=tokenizer), bad_words=["ab"])[1] == -INF
    assert scores("bad_words", FLAT, context([0], tokenizer=tokenizer), bad_words=["ab"], scope="output")[1] == 0
    for name in ("sequence_bias", "bad_words"):
        phrases = [["ab", 1.0]] if name == "sequence_bias" else ["ab"]
        with pytest.raises(PluginError, match=r"the text 'ab' needs a tokenizer.*give token ids"):
            scores(name, FLAT, context([0]), **{name: phrases})


PIECES = [
    b"a",
    b"b",
    b"ab",
    b"ba",
    b"aab",
    b" ",
    b" a",
    "é".encode(),
    "é".encode()[:1],
    "é".encode()[1:],
    b"bb a",
    None,
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab é", min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.integers(0, len(PIECES) - 1), max_size=8),
    st.integers(0, 8),
)
def test_exactly_the_tokens_are_banned_that_would_complete_a_text(texts: list[str], ids: list[int], cut: int) -> None:
    tokenizer = PiecesTokenizer(PIECES)
    written = tokenizer.decode(ids)

    def completes(token: int) -> bool:
        grown = written + (PIECES[token] or b"")
        return any(text.encode() in grown[max(0, len(written) - len(text.encode()) + 1) :] for text in texts)

    got = scores("bad_words", np.zeros(12), context(ids[:cut], ids[cut:], tokenizer), bad_words=texts)
    expected = [-INF if PIECES[token] and completes(token) else 0.0 for token in range(12)]
    assert got.tolist() == expected
    biased = scores(
        "sequence_bias", np.zeros(12), context(ids[:cut], ids[cut:], tokenizer), sequence_bias=[[texts[0], 2.0]]
    )
    texts = texts[:1]
    assert biased.tolist() == [2.0 if PIECES[token] and completes(token) else 0.0 for token in range(12)]


def test_a_banned_text_is_never_written_and_a_control_token_is_banned_by_its_name() -> None:
    pytest.importorskip("tokenizers")
    from tests.session.test_control_tokens import IM_END, TOKENIZER

    row = np.full(259, -30.0)
    row[[*b"ab", IM_END]] = 0.0
    adapter = TableAdapter(lambda _: row, 259, tokenizer=TOKENIZER)
    free = Session(adapter, Chain([]), seed=2).generate("Q", max_tokens=200)
    assert "aba" in free.text and IM_END in free.token_ids
    chain = Chain([processor("bad_words", bad_words=["aba", "<|im_end|>"])])
    result = Session(adapter, chain, seed=2).generate("Q", max_tokens=200)
    assert "aba" not in result.text and IM_END not in result.token_ids and "bb" in result.text


def test_a_vocabulary_is_listed_once_and_one_that_cannot_be_is_refused() -> None:
    class Counting(BytesTokenizer):
        asked = 0

        def token_bytes(self, token_id: int) -> bytes | None:
            self.asked += 1
            return super().token_bytes(token_id)

    class Elsewhere(BytesTokenizer):
        listed = False

    tokenizer = Counting()
    chain = Chain([processor("bad_words", bad_words=["ab"]), processor("sequence_bias", sequence_bias=[["ab", 1.0]])])
    for output in ([], [97]):
        ctx = context([], output, tokenizer)
        chain.need(ctx)
        chain.apply(Distribution.dense(np.zeros(257)), ctx)
    assert 257 <= tokenizer.asked < 2 * 257

    endless = BytesTokenizer()
    endless.vocab_size = 2**63
    for name, value in (("bad_words", ["ab"]), ("token_healing", "ab"), ("dry", 1.0)):
        for unknown in (endless, Elsewhere()):
            with pytest.raises(PluginError, match="whole vocabulary must be known"):
                scores(name, np.zeros(257), context([97, 98, 97], tokenizer=unknown), **{name: value})


@pytest.mark.parametrize(
    "value",
    [[], [[[1], True]], [[[], 1.0]], [["", 1.0]], [[[1], 1001.0]], [[[-1], 1.0]], [[1, 1.0]], [[[1]]], "ab", {1: 2.0}],
)  # fmt: skip
def test_a_sequence_bias_that_makes_no_sense_is_a_typed_error(value: Any) -> None:
    with pytest.raises(ParameterError, match="sequence_bias"):
        processor("sequence_bias", sequence_bias=value)


def test_phrases_come_from_toml() -> None:
    parameters = tomllib.loads('sequence_bias = [["ab", -2.0], [[1, 2], false]]')
    plugin = processor("sequence_bias", **parameters)
    assert plugin.sequence_bias == (("ab", -2.0), ((1, 2), False))
    assert processor("sequence_bias", **Chain([plugin]).describe()["processors"][0]["params"]) == plugin


# -- sets of tokens ------------------------------------------------------------------------------------------------


def test_suppressed_tokens_are_transformers() -> None:
    generation = theirs()
    for rng, row, ids in cases(250, seed=12):
        if not ids:
            continue
        tokens = rng.integers(0, len(row), int(rng.integers(1, 9))).tolist()
        expected = torch_scores(generation.SuppressTokensLogitsProcessor(tokens), ids, row)
        ctx = context(*split(rng, ids))
        check_same("suppressed_tokens", row, ctx, expected, suppressed_tokens=tokens)
        begin = generation.SuppressTokensAtBeginLogitsProcessor(tokens, len(ctx.prompt_ids))
        check_same("begin_suppressed_tokens", row, ctx, torch_scores(begin, ids, row), begin_suppressed_tokens=tokens)


def test_allowed_tokens_are_transformers_where_those_do_not_fall_back() -> None:
    generation = theirs()
    for rng, row, ids in cases(250, seed=13):
        allowed = rng.integers(0, len(row), int(rng.integers(1, 9))).tolist()
        law = generation.PrefixConstrainedLogitsProcessor(lambda *_, allowed=allowed: allowed, 1)
        row[rng.random(len(row)) < 0.5] = -INF
        if np.isneginf(row).all():
            continue
        expected = torch_scores(law, ids or [0], row)
        if np.isneginf(row[allowed]).all():
            with pytest.raises(EmptySupport, match="stage 'allowed_tokens'"):
                scores("allowed_tokens", row, context(ids), allowed_tokens=allowed)
        else:
            check_same("allowed_tokens", row, context(ids), expected, allowed_tokens=allowed)


def test_an_empty_set_is_refused() -> None:
    for name in ("allowed_tokens", "suppressed_tokens", "begin_suppressed_tokens"):
        for value in ([], [-1], [True], [1.5], ["a"], 3, None):
            with pytest.raises(ParameterError, match=f"processor '{name}': {name}"):
                processor(name, **{name: value})


def test_a_mask_that_leaves_nothing_names_itself_where_transformers_goes_on() -> None:
    row = np.array([-INF, 1.0, 0.0], dtype=np.float32)
    with pytest.raises(EmptySupport, match="stage 'allowed_tokens'"):
        scores("allowed_tokens", row, context(), allowed_tokens=[0])
    with pytest.raises(EmptySupport, match="stage 'suppressed_tokens'"):
        scores("suppressed_tokens", row, context(), suppressed_tokens=[1, 2])
    generation = theirs()
    law = generation.PrefixConstrainedLogitsProcessor(lambda *_: [0], 1)
    assert torch_scores(law, [1], row).tolist() == [0.0, -INF, -INF]  # a token without probability gets all of it


# -- lengths -------------------------------------------------------------------------------------------------------


def test_lengths_are_transformers() -> None:
    generation, acted = theirs(), 0
    for rng, row, ids in cases(250, seed=14, longest=12):
        if not ids:
            continue
        ends = sorted(set(rng.integers(0, len(row), int(rng.integers(1, 4))).tolist()))
        at, (prompt, output) = int(rng.integers(0, 14)), split(rng, ids)
        ctx = context(prompt, output)
        expected = torch_scores(generation.MinLengthLogitsProcessor(at, ends), ids, row)
        check_same("min_length", row, ctx, expected, min_length=at, eos_ids=ends)
        law = generation.MinNewTokensLengthLogitsProcessor(len(prompt), at, ends)
        expected = torch_scores(law, ids, row)
        check_same("min_new_tokens", row, ctx, expected, min_new_tokens=at, eos_ids=ends[:1], stop_ids=ends)
        factor = float(rng.uniform(0.8, 1.5))
        law = generation.ExponentialDecayLengthPenalty((at, factor), ends, len(prompt))
        expected = torch_scores(law, ids, row)
        got = scores("exponential_length_decay", row, ctx, exponential_length_decay=factor, start=at, eos_ids=ends)
        np.testing.assert_allclose(got, expected, rtol=3e-6, atol=5e-6)
        acted += bool((got != row).any())
        law = generation.ForcedEOSTokenLogitsProcessor(at + 1, ends)
        expected = torch_scores(law, ids, row)
        got = scores("forced_eos", row, ctx, forced_eos=ends, max_length=at + 1, equal=True)
        np.testing.assert_allclose(got, expected, **TIGHT)
        got = scores("forced_eos", row, ctx, forced_eos=ends, max_length=at + 1)
        assert (np.isneginf(got) == np.isneginf(expected)).all()
        assert got[ends].tolist() == row[ends].tolist()  # the model's proportions
    assert acted > 35


def test_forced_bos_is_transformers_after_one_token_and_forces_after_any_prompt() -> None:
    generation = theirs()
    for rng, row, _ in cases(250, seed=15):
        token = int(rng.integers(0, len(row)))
        law = generation.ForcedBOSTokenLogitsProcessor(token)
        expected = torch_scores(law, [0], row)
        got = apply("forced_bos", Distribution.dense(row), context([0]), forced_bos=token)
        np.testing.assert_allclose(got.logprobs_of(np.arange(len(row))), expected, **TIGHT)
        assert torch_scores(law, [0, 1], row).tolist() == row.tolist()  # a longer prompt: nothing, and no word
        assert apply("forced_bos", Distribution.dense(row), context([0, 1]), forced_bos=token).support() == [token]
        assert scores("forced_bos", row, context([0], [1]), forced_bos=token).tolist() == row.tolist()


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.sampled_from(["both", "output"]))
def test_at_the_longest_length_nothing_but_the_end_is_left(prompt: int, output: int, most: int, scope: str) -> None:
    got = scores("max_length", FLAT, context([0] * prompt, [1] * output), max_length=most, scope=scope, eos_ids=[2, 4])
    length = output + (prompt if scope == "both" else 0)
    assert np.flatnonzero(got > -INF).tolist() == ([2, 4] if length + 1 >= most else list(range(6)))


ENDING: list[tuple[str, dict[str, Any], Context]] = [
    ("min_length", {"min_length": 5}, context([0, 1])),
    ("min_new_tokens", {"min_new_tokens": 5}, context([0, 1])),
    ("max_length", {"max_length": 2}, context([0, 1])),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 0}, context([0], [1, 1])),
]


@pytest.mark.parametrize(("name", "parameters", "ctx"), ENDING)
def test_the_end_is_the_tokenizers_unless_it_is_given(name: str, parameters: dict[str, Any], ctx: Context) -> None:
    row = np.array([1.0, 0.5, 2.0, 0.25, 1.0, 1.0], dtype=np.float32)
    knows = PiecesTokenizer([b"a", b"b", None, None, b"c", b"d"], eos_ids=[2, 3])
    ctx_with = context(ctx.prompt_ids, ctx.output_ids, knows)
    moved = scores(name, row, ctx_with, **parameters)
    assert moved.tolist() == scores(name, row, ctx, eos_ids=[3, 2], **parameters).tolist() != row.tolist()
    with pytest.raises(PluginError, match=f"plugin '{name}'.*the end of text needs a tokenizer"):
        scores(name, row, ctx, **parameters)
    endless = context(ctx.prompt_ids, ctx.output_ids, PiecesTokenizer([b"a"]))
    with pytest.raises(PluginError, match="has no end-of-text token; give eos_ids"):
        scores(name, row, endless, **parameters)


def test_a_length_that_leaves_nothing_names_itself() -> None:
    only_end = np.array([-INF, -INF, 1.0], dtype=np.float32)
    for name in ("min_length", "min_new_tokens"):
        with pytest.raises(EmptySupport, match=f"stage '{name}'"):
            scores(name, only_end, context([0]), **{name: 5, "eos_ids": [2]})
    no_end = np.array([1.0, 1.0, -INF], dtype=np.float32)
    for name, parameters in (
        ("max_length", {"max_length": 1, "eos_ids": [2]}),
        ("forced_eos", {"forced_eos": [2], "max_length": 2}),
        ("forced_bos", {"forced_bos": 2}),
    ):
        with pytest.raises(EmptySupport, match=f"stage '{name}'"):
            scores(name, no_end, context([0]), **parameters)


def test_a_decay_of_thousands_of_tokens_stays_finite() -> None:
    row = np.array([3.0, -1.0], dtype=np.float32)
    got = apply("exponential_length_decay", Distribution.dense(row), context([0], [0] * 5000),
                exponential_length_decay=100.0, start=0, eos_ids=[1])  # fmt: skip
    assert got.mode == 1 and np.isfinite(got.scores).all()


# -- the contract --------------------------------------------------------------------------------------------------

NEEDS: list[tuple[str, dict[str, Any], Context, Disclosure]] = [
    ("sequence_bias", {"sequence_bias": [[[1, 2], 1.0], [[3], 1.0]]}, context([1]), Disclosure(None, (2, 3))),
    ("sequence_bias", {"sequence_bias": [[[1, 2], 1.0], [[3], 1.0]]}, context([0]), Disclosure(None, (3,))),
    ("bad_words", {"bad_words": [[1, 2], [4]]}, context([0], [1]), Disclosure(None, (2, 4))),
    ("allowed_tokens", {"allowed_tokens": [2, 5]}, context([0]), Disclosure(None, (2, 5))),
    ("suppressed_tokens", {"suppressed_tokens": [2, 5]}, context([0]), Disclosure(None, (2, 5))),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [2]}, context([0]), Disclosure(None, (2,))),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [2]}, context([0], [1]), CHEAP),
    ("min_length", {"min_length": 3, "eos_ids": [2]}, context([0], [1]), Disclosure(None, (2,))),
    ("min_length", {"min_length": 3, "eos_ids": [2]}, context([0], [1, 1]), CHEAP),
    ("min_new_tokens", {"min_new_tokens": 3, "eos_ids": [2], "stop_ids": [3]}, context([0]), Disclosure(None, (2, 3))),
    ("max_length", {"max_length": 3, "eos_ids": [2]}, context([0], [1]), Disclosure(None, (2,))),
    ("max_length", {"max_length": 3, "eos_ids": [2]}, context([0]), CHEAP),
    ("forced_bos", {"forced_bos": 2}, context([0]), Disclosure(None, (2,))),
    ("forced_eos", {"forced_eos": [2], "max_length": 2}, context([0]), Disclosure(None, (2,))),
]


@pytest.mark.parametrize(("name", "parameters", "ctx", "need"), NEEDS)
def test_each_says_what_it_needs_and_asks_a_head_for_it(
    name: str, parameters: dict[str, Any], ctx: Context, need: Disclosure
) -> None:
    plugin = processor(name, **parameters)
    assert Chain([plugin]).need(ctx) == need
    head = Distribution.head([0, 1], np.log([0.5, 0.3]), 9)
    if need is CHEAP:
        assert Chain([plugin]).apply(head, ctx) is head
        return
    with pytest.raises(Undisclosed) as caught:
        Chain([plugin]).apply(head, ctx)
    assert caught.value.need == Disclosure(2, need.ids)
    shown = Distribution.head([0, 1, *need.ids], np.log([0.5, 0.3, *[0.01] * len(need.ids)]), 9, max_hidden=-2.0)
    Chain([plugin]).apply(shown, ctx)


CONTRACT: list[tuple[str, dict[str, Any]]] = [
    ("sequence_bias", {"sequence_bias": [[[0, 1], 1.5], [[1], -1.0], [[1, 0], False]]}),
    ("bad_words", {"bad_words": [[0, 1], [1, 1, 0]]}),
    ("allowed_tokens", {"allowed_tokens": [0, 1]}),
    ("suppressed_tokens", {"suppressed_tokens": [1, 1]}),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [1]}),
    ("min_length", {"min_length": 4, "eos_ids": [1]}),
    ("min_new_tokens", {"min_new_tokens": 2, "eos_ids": [1], "stop_ids": [0]}),
    ("max_length", {"max_length": 4, "eos_ids": [1, 0]}),
    ("forced_bos", {"forced_bos": 1}),
    ("forced_eos", {"forced_eos": [0, 1], "max_length": 4}),
    ("forced_eos", {"forced_eos": [0, 1], "max_length": 4, "equal": True}),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 1, "eos_ids": [1]}),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 1, "eos_ids": [1], "law": "logprobs"}),
]


@pytest.mark.parametrize(("name", "parameters"), CONTRACT)
def test_each_keeps_the_contract(name: str, parameters: dict[str, Any]) -> None:
    plugin = processor(name, **parameters)
    assert check_processor(plugin, names_ids=True) >= 20
    assert processor(name, **Chain([plugin]).describe()["processors"][0]["params"]) == plugin


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(CONTRACT), st.integers(0, 2**32))
def test_masked_tokens_stay_masked(case: tuple[str, dict[str, Any]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 3, 6).astype(np.float32)
    row[rng.integers(0, 6, 3)] = -INF
    try:
        after = scores(case[0], row, context([0], [1, 0][: int(rng.integers(0, 3))]), **case[1])
    except EmptySupport:
        return
    assert (after[np.isneginf(row)] == -INF).all() and not np.isnan(after).any()
