"""Tokens as labels."""

from __future__ import annotations

import json

from decodekit.testing import PiecesTokenizer
from decodekit.text.labels import quoted, token_label
from decodekit.trace.named_texts import named_labels


def test_a_token_is_quoted_and_half_a_character_is_shown_as_bytes() -> None:
    tokenizer = PiecesTokenizer([b" Paris", b"\xc3", b"\n", None])
    labels = [token_label(tokenizer, token) for token in (0, 1, 2, 3, 99)]
    assert labels == ['" Paris"', '"\\xc3"', '"\\n"', "#3", "#99"]
    assert token_label(None, 7) == "#7"


def test_a_token_of_a_hostile_model_cannot_move_the_cursor() -> None:
    tokenizer = PiecesTokenizer([b"\x1b[2J", "\u202eabc".encode(), b'"'])
    assert [token_label(tokenizer, token) for token in range(3)] == ['"\\x1b[2J"', '"\\u202eabc"', '"\\""']


def test_no_two_texts_have_the_same_label() -> None:
    texts = ["\n", "\\n", "\\\\n", "\x00", "\\x00", "\x9b", b"\x9b", "\\x9b", b"\\x9b\x9b", '"', '\\"', "\\u009b", "\\"]
    assert len({quoted(text) for text in texts}) == len(texts)
    assert quoted('a\\n"\n') == r'"a\\n\"\n"'


def test_texts_that_an_adapter_names_have_labels_of_the_same_kind() -> None:
    schedule = {"tokens": json.dumps({"1": "\n", "2": "\\n", "3": "\\xff", "4": '"'})}
    assert named_labels(schedule) == {1: r'"\n"', 2: r'"\\n"', 3: r'"\xff"', 4: r'"\""'}
