"""`check_guesser` accepts ours, and finds what would switch a guesser off."""

from __future__ import annotations

from itertools import count

import pytest

import decodekit
from decodekit import ConfigError
from decodekit.testing import NGramAdapter, PiecesTokenizer, check_guesser


def test_ours_keep_the_contract_and_are_sometimes_right() -> None:
    assert check_guesser(decodekit.guesser("prompt_lookup")) > 5
    assert check_guesser(decodekit.guesser("fixed", fixed="cat sat on the dog")) > 5
    assert check_guesser(decodekit.guesser("draft", draft=NGramAdapter("and the cat sat on the dog"))) > 5


class Says:
    def __init__(self, say) -> None:
        self.say = say

    def guess(self, prefix, ctx):
        return self.say(prefix, ctx)


turn = count()


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda *_: None, "an empty list where there is none"),
        (lambda *_: [257], "below 257"),
        (lambda *_: [-1], "below 257"),
        (lambda *_: [1.0], "below 257"),
        (lambda *_: [True], "below 257"),
        (lambda *_: ["a"], "below 257"),
        (lambda *_: [next(turn) % 3], "after the same"),
    ],
)
def test_a_broken_guesser_is_found(say, message) -> None:
    with pytest.raises(AssertionError, match=message):
        check_guesser(Says(say))


def test_what_is_no_guesser_is_found_and_what_refuses_a_tokenizer_does_so() -> None:
    with pytest.raises(AssertionError, match="no method guess"):
        check_guesser(lambda prefix, ctx: [])  # noqa: ARG005
    with pytest.raises(ConfigError, match="tokens"):
        check_guesser(
            decodekit.guesser("draft", draft=NGramAdapter("a")), tokenizer=PiecesTokenizer([b"a", b"b"]), text="ab"
        )
