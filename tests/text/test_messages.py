"""`decodekit.messages`: a conversation of one question."""

from __future__ import annotations

from typing import Any

import pytest

import decodekit


def test_one_question_is_a_conversation() -> None:
    assert decodekit.messages("hi") == [{"role": "user", "content": "hi"}]
    both = decodekit.messages("", system="Be brief.")
    assert both == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ""}]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"user": None}, "user"),
        ({"user": [{"role": "user", "content": "hi"}]}, "user"),
        ({"user": "hi", "system": 7}, "system"),
    ],
)
def test_what_is_no_text_is_refused_by_name(given: Any, named: str) -> None:
    with pytest.raises(decodekit.ParameterError, match=f"messages: {named} is a text"):
        decodekit.messages(**given)
