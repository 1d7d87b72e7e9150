"""Biases on tokens that are named by their text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import ConfigError, Context, ParameterError, PluginError, Session
from decodekit.testing import PiecesTokenizer, TableAdapter

PIECES = PiecesTokenizer([b"a", b"b", b" a", b"ab", None, b"2"], eos_ids=[4])


def bias(**texts: Any) -> Any:
    return decodekit.processor("logit_bias", logit_bias=texts["of"])


def adapter(tokenizer: Any = PIECES) -> TableAdapter:
    return TableAdapter({(): np.zeros(6)}, 6, tokenizer=tokenizer)


def test_a_text_is_its_token() -> None:
    by_text, by_id = bias(of={" a": 2.5, "ab": False, "5": 1}), bias(of={2: 2.5, 3: False, 5: 1})
    dist, context = adapter().predict([decodekit.Prefix([0])])[0], Context((0,), tokenizer=PIECES)
    assert np.array_equal(by_text(dist, context).scores, by_id(dist, context).scores)
    assert by_text.ids(PIECES) == {" a": 2, "ab": 3, 5: 5}
    assert by_text.needs(context) == by_id.needs


def test_it_is_recorded_as_given_and_verified(tmp_path: Any) -> None:
    path = tmp_path / "run.jsonl"
    chain = decodekit.Chain([bias(of={" a": 9.0})])
    result = Session(adapter(), chain, seed=1).generate([0], max_tokens=6, trace=path, level="full")
    assert result.token_ids.count(2) == 6
    trace = decodekit.read_trace(path)
    assert trace.header.chain["processors"][0]["params"] == {"logit_bias": {" a": 9.0}}
    assert decodekit.replay(path, adapter=adapter()).explained


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"ba": 1.0}, r"'ba' is 2 tokens: 'b' \(1\), 'a' \(0\). Name one of them, or bias the text with sequence_bias"),
        ({"a": 1.0, 0: 2.0}, "token 0 is named twice, as 'a' and as 0"),
    ],
)
def test_a_text_that_is_not_one_token_is_refused(texts: Any, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        Session(adapter(), bias(of=texts)).generate([0], max_tokens=1)


def test_a_text_needs_a_tokenizer() -> None:
    with pytest.raises(PluginError, match="needs a tokenizer, and this adapter has none; give token ids"):
        Session(adapter(None), bias(of={"a": 1.0})).generate([0], max_tokens=1)
    with pytest.raises(ParameterError, match="logit_bias"):
        bias(of={"": 1.0})
    assert issubclass(ParameterError, ConfigError)
