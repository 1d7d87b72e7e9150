"""Biases on tokens, phrases and texts, against transformers, llama.cpp and by hand."""

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
    Chain,
    Distribution,
    ParameterError,
    PluginError,
    Session,
    processor,
)
from decodekit.testing import BytesTokenizer, PiecesTokenizer, TableAdapter

from .cases import TIGHT, cases, context, scores, split
from .transformers_laws import check_same, theirs, torch_scores

INF = math.inf
FLAT = np.zeros(6, dtype=np.float32)


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
