"""vLLM's bad words beside ours; what vLLM itself bans is in tests/peers."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit import Context, Disclosure, Distribution, ParameterError, Undisclosed, processor
from decodekit.testing import PiecesTokenizer

PIECES = PiecesTokenizer([b"ab", b"a", b" ab", b" a", b"b", b" b", b" ", b"c"])
FLAT = Distribution.dense(np.zeros(8))


def banned(words: list[str], output: tuple[int, ...] = (), prompt: tuple[int, ...] = ()) -> list[int]:
    after = processor("vllm_bad_words", vllm_bad_words=words)(FLAT, Context(prompt, output, PIECES))
    return sorted(set(range(8)) - set(after.support().tolist()))


def test_it_looks_for_two_forms_in_the_output_alone() -> None:
    assert banned(["ab"]) == [0, 2] == banned(["   ab"])
    assert banned(["cb"], output=(7,)) == [4] and banned(["cb"], prompt=(7,)) == []
    assert banned(["c"]) == [7]  # " c" has two tokens, "c" one: the form with the space does not count
    assert banned(["ac", "ab"], output=(3,)) == [0, 2, 7]


def test_it_needs_a_tokenizer_and_texts_with_tokens() -> None:
    plugin = processor("vllm_bad_words", vllm_bad_words=["ab"])
    with pytest.raises(ParameterError, match="needs a tokenizer"):
        plugin(FLAT, Context())
    with pytest.raises(ParameterError, match="no tokens"):
        processor("vllm_bad_words", vllm_bad_words=["  "])(FLAT, Context(tokenizer=PIECES))
    assert plugin.needs(Context(tokenizer=PIECES)) == Disclosure(None, (0, 2))
    with pytest.raises(Undisclosed):
        plugin(Distribution.head([0, 1], np.log([0.5, 0.3]), 8), Context(tokenizer=PIECES))
