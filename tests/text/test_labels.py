"""Tokens as labels."""

from __future__ import annotations

from decodekit.testing import PiecesTokenizer
from decodekit.text.labels import token_label


def test_a_token_is_quoted_and_half_a_character_is_shown_as_bytes() -> None:
    tokenizer = PiecesTokenizer([b" Paris", b"\xc3", b"\n", None])
    labels = [token_label(tokenizer, token) for token in (0, 1, 2, 3, 99)]
    assert labels == ['" Paris"', '"\\xc3"', '"\\n"', "#3", "#99"]
    assert token_label(None, 7) == "#7"


def test_a_token_of_a_hostile_model_cannot_move_the_cursor() -> None:
    tokenizer = PiecesTokenizer([b"\x1b[2J", "\u202eabc".encode(), b'"'])
    assert [token_label(tokenizer, token) for token in range(3)] == ['"\\x1b[2J"', '"\\u202eabc"', '"""']
