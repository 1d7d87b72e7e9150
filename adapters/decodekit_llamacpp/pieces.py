"""Sentencepiece vocabularies in llama.cpp, which adds spaces to texts: the ids of a text without them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import llama_cpp

from decodekit.text.unwritten import unwritable_error

__all__ = ["MARKUP", "Pieces"]

_SPACE = "\u2581"  # what sentencepiece writes for a space
_ANCHORS = "\x01\x02\x03\x1a\x1b\n\t\ue000\ue001\uf8ff"
MARKUP = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_BYTES = 256


class Pieces:
    """What is needed of such a vocabulary to get the ids of a text without added spaces.

    llama.cpp writes a space in front of a text and after every token that it matches as a whole, and with a unigram
    vocabulary replaces several spaces by one. So texts are cut at the tokens that are matched as a whole, and an anchor
    is put in front of each part: a character that merges with nothing, whose ids are removed again.

    Args:
        vocab: the C handle.
        size: the number of tokens.
        tokenize: llama.cpp's own ids of a text, without BOS; the flag says whether control tokens are matched.
        unigram: the vocabulary is unigram, not BPE.
    """

    def __init__(self, vocab: Any, size: int, tokenize: Callable[[str, bool], list[int]], *, unigram: bool) -> None:
        self._tokenize = tokenize
        self._unigram = unigram
        self._vocab, self._size = vocab, size

    @cached_property
    def _texts(self) -> list[str]:
        return [llama_cpp.llama_vocab_get_text(self._vocab, i).decode("utf-8", "replace") for i in range(self._size)]

    @cached_property
    def _attributes(self) -> list[int]:
        return [int(llama_cpp.llama_vocab_get_attr(self._vocab, i)) for i in range(self._size)]

    @cached_property
    def anchor(self) -> tuple[str, int] | None:
        """The character and the number of its ids; None where every candidate is a part of some token."""
        for candidate in self._candidates():
            if any(candidate in text and candidate != text for text in self._texts):
                continue
            first, twice = self._tokenize(candidate, False), self._tokenize(candidate + candidate, False)
            if first and twice[: len(first)] == first:
                return candidate, len(first)
        return None

    def encode(self, text: str, special: bool) -> list[int]:
        """The ids of a text, with nothing in front if there is an anchor.

        Raises:
            ParameterError: a character has no token.
        """
        if self.anchor is None:
            return self.encode_own(text, special)
        anchor, cut = self.anchor
        ids: list[int] = []
        for part, token_id in self._parts(text, special):
            if token_id is not None:
                ids.append(token_id)
            else:
                self._require(part)
                ids += self._tokenize(anchor + self._each_space(part), False)[cut:]
        return ids

    def encode_prompt(self, text: str, special: bool) -> list[int]:
        """The ids of a text with the spaces that llama.cpp adds to it. No space of the text is lost."""
        if not self._unigram:
            return self.encode_own(text, special)
        ids: list[int] = []
        for part, token_id in self._parts(text, special):
            if token_id is not None:
                ids.append(token_id)
            elif part.strip(" "):
                ids += self._tokenize(self._each_space(part), False)
            else:
                ids += self.encode(part, False)  # llama.cpp puts no space in front of spaces
        return ids

    def _each_space(self, part: str) -> str:
        """Spelled so that a unigram vocabulary does not make one space of many."""
        return part.replace(" ", _SPACE) if self._unigram else part

    def encode_own(self, text: str, special: bool) -> list[int]:
        """llama.cpp's own ids of a text. Raises `ParameterError` for a character that has no token."""
        for part, token_id in self._parts(text, special):
            if token_id is None:
                self._require(part)
        return self._tokenize(text, special)

    def _parts(self, text: str, special: bool) -> Iterator[tuple[str, int | None]]:
        """The text cut at the tokens that are matched whole, longest first."""
        found, pattern = self._whole[special]
        for part in re.split(pattern, text) if found else [text]:
            if part:
                yield part, found.get(part)

    @cached_property
    def _whole(self) -> list[tuple[dict[str, int], str]]:
        """The tokens that are matched whole and a pattern for them: without and with markup."""
        wanted = [llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED, llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED | MARKUP]
        tables = [
            {text: i for i, text in enumerate(self._texts) if text and self._attributes[i] & mask} for mask in wanted
        ]
        return [(found, f"({'|'.join(map(re.escape, sorted(found, key=len, reverse=True)))})") for found in tables]

    def _require(self, part: str) -> None:
        """llama.cpp ends the process where a letter has neither a token nor bytes."""
        if not all(map(self._has_token, dict.fromkeys(part))):
            raise unwritable_error(part, lambda letter: not self._has_token(letter))

    def _has_token(self, letter: str) -> bool:
        """Whether the letter, or each of its bytes, has a token; a unigram vocabulary has 'unknown' for the others."""
        if self._unigram or letter.replace(" ", _SPACE) in self._letters:
            return True
        return all(byte in self._bytes for byte in letter.encode())

    @cached_property
    def _letters(self) -> frozenset[str]:
        """The letters that have a token of their own."""
        return frozenset(text for text in self._texts if len(text) == 1)

    @cached_property
    def _bytes(self) -> frozenset[int]:
        """The bytes that have a token."""
        written = {f"<0x{byte:02X}>": byte for byte in range(_BYTES)}
        return frozenset(written[text] for text in self._texts if text in written)

    def _candidates(self) -> Iterator[str]:
        """Characters to try as the anchor."""
        yield from filter(self._has_token, _ANCHORS)
        if not self._unigram:
            yield from sorted(self._letters - {_SPACE, *_ANCHORS})
