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


class PutsASpaceBehindMarkup(PiecesTokenizer):
    """As sentencepiece does it in a conversation, where a text has none."""

    def encode(self, text, *, special=False):
        before, mark, after = text.partition("</s>") if special else (text, "", "")
        return [
            *super().encode(before),
            *([0] if mark else []),
            *super().encode(f" {after}" if mark and after else after),
        ]


LETTERS = [None, *(bytes([i]) for i in range(32, 127)), b"\n"]


def test_a_control_token_does_not_change_its_neighbours():
    with pytest.raises(AssertionError, match="with markup"):
        check_tokenizer(PutsASpaceBehindMarkup(LETTERS))


class Loses(PiecesTokenizer):
    """A vocabulary of small letters, which says so."""

    loses = "capital letters"

    def __init__(self, pieces):
        super().__init__(pieces)
        self.loses = type(self).loses

    def encode(self, text, *, special=False):
        return super().encode(text.lower())


class LosesInSilence(Loses):
    loses = ""


class LosesMoreEachTime(Loses):
    def encode(self, text, *, special=False):
        return super().encode(text[:-1])


def test_what_is_lost_is_said_and_is_lost_once():
    check_tokenizer(Loses(LETTERS))
    for tokenizer, why in ((LosesInSilence, "came back as"), (LosesMoreEachTime, "came back as")):
        with pytest.raises(AssertionError, match=why):
            check_tokenizer(tokenizer(LETTERS))


def test_a_reference_has_the_same_ids_bytes_and_ends():
    check_tokenizer(BytesTokenizer(), BytesTokenizer())
    pieces = [bytes([i]) for i in range(256)]
    for reference, why in (
        (PiecesTokenizer([*pieces, None], eos_ids=[255]), "eos_ids"),
        (PiecesTokenizer([*pieces, None], eos_ids=[256], bos_id=256), "bos_id"),
        (PiecesTokenizer([*pieces[:255], b"x", None], eos_ids=[256]), "token 255"),
        (PiecesTokenizer([*pieces, None, b"ll"], eos_ids=[256]), "encode of 'Hello, world!'"),
    ):
        with pytest.raises(AssertionError, match=why):
            check_tokenizer(BytesTokenizer(), reference)
    spaced = BytesTokenizer()
    spaced.space_in_front = "always"
    with pytest.raises(AssertionError, match="the prompt of"):
        check_tokenizer(BytesTokenizer(), spaced)
