"""Numbers of things in words, and messages with one of them."""

from __future__ import annotations

import decodekit
from decodekit.distribution.disclosure import Disclosure
from decodekit.testing import TableAdapter
from decodekit.text.counted import counted


def test_one_is_singular_and_all_else_is_plural() -> None:
    told = [counted(count, "token") for count in (0, 1, 2, 1024)]
    assert told == ["0 tokens", "1 token", "2 tokens", "1,024 tokens"]


def test_one_token_is_not_one_tokens() -> None:
    result = decodekit.Session(TableAdapter(lambda _: [0.0, 1.0], 2)).generate([0], max_tokens=1)
    assert "1 token," in repr(result) and "1 step, 1 sequence," in repr(result.trace)
    assert str(Disclosure(1, (7,))) == "the most likely token and 1 token by id (7)"
