"""Texts that name control tokens, such as ``<|im_end|>``: they also match these tokens, wherever a text is searched
for.

A control token has no text, so a search in the output's text would never find it. Its markup counts as found when the
token occurs, only as a whole; the same characters written by ordinary tokens count as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from decodekit.errors import ParameterError
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tokenizer_cache import cached_for

__all__ = ["Spelling", "reading", "spellings"]

_FIRST_SYMBOL = 0x100  # the characters below stand for bytes


def reading(tokenizer: Tokenizer, text: str) -> tuple[str | int, ...]:
    """The text, cut where it names control tokens, with their ids in place of their markup: ``("a", 257, "b")``.

    A text that names none, or that the vocabulary cannot encode, is one part.
    """
    return cached_for(tokenizer, (reading, text), lambda: _read(tokenizer, text))


def _read(tokenizer: Tokenizer, text: str) -> tuple[str | int, ...]:
    try:
        ids = tokenizer.encode(text, special=True)
    except ParameterError:
        return (text,)
    pieces = [(token_id, tokenizer.token_bytes(token_id)) for token_id in ids]
    parts: list[bytes | int] = []
    for token_id, piece in pieces:
        if piece is None:
            parts.append(token_id)
        elif parts and isinstance(parts[-1], bytes):
            parts[-1] += piece
        else:
            parts.append(piece)
    if all(isinstance(part, bytes) for part in parts):
        return (text,)
    return tuple(part if isinstance(part, int) else part.decode("utf-8", "replace") for part in parts)


class Spelling:
    """Tokens as strings that can be searched: a character for each byte, and one for each control token that is named.

    Args:
        tokenizer: for the bytes of tokens.
        texts: the texts to search for. Control tokens that none of them names become empty strings.
    """

    def __init__(self, tokenizer: Tokenizer, texts: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        self._symbols: dict[int, str] = {}
        self.forms: dict[str, tuple[str, ...]] = {}
        """Of each text the strings that stand for it: its bytes, and with control tokens where it names some."""
        for text in texts:
            parts = reading(tokenizer, text)
            for part in parts:
                if isinstance(part, int):
                    self._symbols.setdefault(part, chr(_FIRST_SYMBOL + len(self._symbols)))
            marked = "".join(self._symbols[part] if isinstance(part, int) else _bytewise(part) for part in parts)
            self.forms[text] = tuple(dict.fromkeys((_bytewise(text), marked)))

    @property
    def controls(self) -> list[int]:
        """The control tokens that some text names."""
        return list(self._symbols)

    def of(self, token_id: int) -> str:
        """One token."""
        symbol = self._symbols.get(token_id)
        return (self._tokenizer.token_bytes(token_id) or b"").decode("latin-1") if symbol is None else symbol

    def all(self, token_ids: Iterable[int]) -> tuple[str, list[int]]:
        """Several tokens as one string, and where each of them ends in it."""
        pieces = [self.of(token) for token in token_ids]
        return "".join(pieces), list(accumulate(map(len, pieces)))


def spellings(tokenizer: Tokenizer, phrases: Sequence[str]) -> list[tuple[Spelling, list[tuple[str, str]]]]:
    """How to read tokens, and what to look for there, as (phrase, form): without control tokens, and with those that
    a phrase names."""
    plain, marked = Spelling(tokenizer, ()), Spelling(tokenizer, phrases)
    forms = [(phrase, *marked.forms[phrase]) for phrase in phrases]
    made = [(plain, [(phrase, form) for phrase, form, *_ in forms])]
    if marked.controls:
        made.append((marked, [(phrase, form) for phrase, _, *named in forms for form in named]))
    return made


def _bytewise(text: str) -> str:
    return text.encode().decode("latin-1")
