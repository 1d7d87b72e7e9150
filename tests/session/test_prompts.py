"""A prompt in any of its forms becomes the same ids, and what is no prompt is refused by its name."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit import ParameterError, Prefix
from decodekit.session.prompts import as_given, as_prefix
from decodekit.testing import NGramAdapter
from decodekit.testing.tokenizers import BytesTokenizer
from tests.session.conftest import TEXT, V, table

NGRAM = NGramAdapter(TEXT)


def test_every_form_of_a_prompt_gives_its_ids() -> None:
    ids = NGRAM.tokenizer.encode("the cat")
    begin = [] if NGRAM.tokenizer.bos_id is None else [NGRAM.tokenizer.bos_id]
    assert as_prefix(NGRAM, "the cat").token_ids == (*begin, *ids)
    for form in (ids, tuple(ids), np.array(ids), Prefix(ids), Prefix(ids[:2]).extend(ids[2:])):
        assert as_prefix(NGRAM, form) == Prefix(ids)  # type: ignore[arg-type]


def test_an_empty_prompt_is_the_begin_of_text_where_there_is_one() -> None:
    adapter, begins = NGramAdapter(TEXT), BytesTokenizer()
    begins.bos_id = 2
    adapter.tokenizer = begins
    for empty in ("", [], Prefix()):
        assert as_prefix(adapter, empty).token_ids == (2,)
    assert as_prefix(adapter, "th").token_ids == (2, *begins.encode("th"))
    for without in (table(), NGRAM):
        with pytest.raises(ParameterError, match="prompt 3 is empty, and this model has no begin-of-text token"):
            as_prefix(without, [], 3)


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        (b"the", "prompt 0: a prompt is text, a list of token ids, a list of messages or a Prefix, not b'the'"),
        (7, "not 7$"),
        (["the", "cat"], "prompt 0 is a list of texts; several prompts are for generate_many"),
        ({"role": "user"}, "a message stands in a list"),
        ("the", "prompt 0: this adapter has no tokenizer"),
        ([{"role": "user", "content": "the"}], "prompt 0: this adapter has no tokenizer"),
        ([V], f"prompt 0: token id {V} lies outside the vocabulary of {V} tokens"),
        ([1, -1], "must lie in"),
    ],
    ids=["bytes", "a number", "texts", "a dict", "text", "messages", "too large", "negative"],
)
def test_what_cannot_be_a_prompt_of_this_adapter_says_why(prompt: object, why: str) -> None:
    with pytest.raises(ParameterError, match=why):
        as_prefix(table(), prompt)  # type: ignore[arg-type]


def test_prompts_are_kept_as_given_only_where_their_ids_do_not_tell_them() -> None:
    assert as_given(NGRAM, ["the", [1]]) is None

    class MadeUp:
        """Stands for a tokenizer whose ids mean nothing outside this process."""

        def relearn(self, schedules: object) -> None: ...

    adapter = NGramAdapter(TEXT)
    adapter.tokenizer = MadeUp()  # type: ignore[assignment]
    messages = [{"role": "user", "content": "hi"}]
    assert as_given(adapter, ["the", [1], messages, Prefix([1])]) == ["the", None, messages, None]
