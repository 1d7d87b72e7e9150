"""check_tokenizer accepts the little tokenizers, and refuses each one broken on purpose, for the right reason."""

from __future__ import annotations

import pytest

from decodekit.testing import BytesTokenizer, PiecesTokenizer, check_tokenizer


class DropsBytes(BytesTokenizer):
    """Decodes through text and loses what is no whole character."""

    def decode(self, ids):
        return super().decode(ids).decode(errors="ignore").encode()


class Normalises(BytesTokenizer):
    def encode(self, text, *, special=False):
        import unicodedata

        return super().encode(unicodedata.normalize("NFC", text))


class AddsASpace(BytesTokenizer):
    def encode(self, text, *, special=False):
        return super().encode(" " + text if text else text)


class AddsBos(BytesTokenizer):
    def encode(self, text, *, special=False):
        return [256, *super().encode(text)]


class TakesMarkupForControl(BytesTokenizer):
    def encode(self, text, *, special=False):
        before, mark, after = text.partition("<|endoftext|>")
        return [*super().encode(before), *([256] if mark else []), *super().encode(after)]


class EndsOutside(BytesTokenizer):
    def __init__(self):
        super().__init__()
        self.eos_ids = frozenset([257])


class GivesTextForBytes(BytesTokenizer):
    def token_bytes(self, token_id):
        return chr(token_id)


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        (DropsBytes, "decoded"),
        (Normalises, "came back as"),
        (AddsASpace, "came back as"),
        (AddsBos, "adds no begin-of-text token"),
        (TakesMarkupForControl, "markup in a text is plain text"),
        (EndsOutside, "eos_ids lies outside"),
        (GivesTextForBytes, "not str"),
    ],
)
def test_a_tokenizer_broken_on_purpose_is_refused(tokenizer, why):
    with pytest.raises(AssertionError, match=why):
        check_tokenizer(tokenizer())


@pytest.mark.parametrize(
    "tokenizer",
    [BytesTokenizer(), PiecesTokenizer([b"a", b"b", b"ab", None, "é".encode(), b"\xc3", b"\xa9"], eos_ids=[3])],
)
def test_the_little_tokenizers_keep_their_contract(tokenizer):
    check_tokenizer(tokenizer)
