"""Prefixes that no text gives: a server that takes text gets the start of one, and its answer begins with the rest.

A server reads a text as its tokenizer divides it, so two line ends that were drawn one after the other become the
token of a double one. Where the server can be made to begin its answer with given tokens, the tokens from there on are
such a beginning, and the server continues the sequence that was meant.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from decodekit.errors import ParameterError
from decodekit.model.prefix import Prefix
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary

__all__ = ["BegunAnswers", "Sent"]

_MOST_KEPT = 10_000
_MOST_TRIED = 16  # starts of a prefix that are tried
_MOST_RAISED = 12  # tokens that begin an answer by raised logits


class Sent(NamedTuple):
    """What a server gets for a prefix.

    Args:
        text: the prompt.
        begin: the ids with which its answer must begin.
        by_grammar: whether a grammar makes it, or raised logits.
    """

    text: str
    begin: tuple[int, ...] = ()
    by_grammar: bool = True


class BegunAnswers:
    """How prefixes are sent to one server.

    Args:
        vocabulary: the server's.
        grammars: whether the server's grammars take ids.
    """

    def __init__(self, vocabulary: KnownVocabulary | HashedVocabulary, *, grammars: bool) -> None:
        self._vocabulary, self._grammars = vocabulary, grammars
        self._kept: dict[bytes, Sent] = {}
        self._pieces: dict[int, bytes] = {}  # of the ids that the server gave to texts

    def text_of(self, token: int) -> str:
        """The text of an id with which an answer begins."""
        if isinstance(self._vocabulary, KnownVocabulary):
            return self._vocabulary.text_of(token)
        return self._pieces[token].decode("utf-8")

    def continue_with(self, prefix: Prefix, start: Prefix, ids: Sequence[int], pieces: Sequence[bytes]) -> bool:
        """Send a prefix as the text of its start, and begin with these ids of the server; False where that cannot be.

        Without a tokenizer, the server's own names the tokens that were drawn as texts.
        """
        self._pieces |= zip(ids, pieces, strict=True)
        prompt = self._vocabulary.prompt_of(start)
        if not isinstance(prompt, str) or not self._grammars or not _whole(pieces):
            return False
        self._kept[prefix.digest] = Sent(prompt, tuple(ids))
        return True

    def of(self, prefix: Prefix) -> Sent | None:
        """What gives this prefix at the server; None where nothing is known to."""
        if prefix.digest not in self._kept:
            found = self._found(prefix, self._vocabulary) if isinstance(self._vocabulary, KnownVocabulary) else None
            if found is None:
                return None
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[prefix.digest] = found
        return self._kept[prefix.digest]

    def _found(self, prefix: Prefix, vocabulary: KnownVocabulary) -> Sent | None:
        text, same = _text_of(prefix, vocabulary)
        if same == len(prefix):
            return Sent(text)
        ids = prefix.token_ids
        parent = prefix.parent
        before = None if parent is None else self._kept.get(parent.digest)
        if before is not None and parent is not None:
            return self._begun(before.text, (*before.begin, *ids[len(parent) :]))
        longest = min(same, len(ids) - 1)
        for length in range(longest, max(longest - _MOST_TRIED, 0), -1):
            text, same = _text_of(Prefix(ids[:length]), vocabulary)
            if same == length and text:
                return self._begun(text, ids[length:])
        return None

    def _begun(self, text: str, begin: Sequence[int]) -> Sent | None:
        """A grammar takes whole characters, each token at least one; raised logits take any tokens, each once."""
        pieces = [self._vocabulary.tokenizer.token_bytes(token) for token in begin]
        ends = self._vocabulary.tokenizer.eos_ids
        if any(piece is None or piece[:1] in (b"", b"\0") for piece in pieces) or not ends.isdisjoint(begin):
            return None
        if self._grammars and _whole([piece for piece in pieces if piece is not None]):
            return Sent(text, tuple(begin))
        if len(set(begin)) == len(begin) <= _MOST_RAISED:
            return Sent(text, tuple(begin), by_grammar=False)
        return None


def _whole(pieces: Sequence[bytes]) -> bool:
    """Whether each piece completes a character, and the last one ends with one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return all(decoder.decode(piece) for piece in pieces) and not decoder.getstate()[0]
    except UnicodeDecodeError:
        return False


def _text_of(prefix: Prefix, vocabulary: KnownVocabulary) -> tuple[str, int]:
    """The text of a prefix, and how many of its tokens the server makes of that; all where it makes no others."""
    ids = prefix.token_ids
    try:
        text = vocabulary.prompt_of(prefix)
        theirs = vocabulary.ids_at_server(prefix)
    except ParameterError:
        return "", len(ids) - 1
    assert isinstance(text, str)
    if theirs == list(ids):
        return text, len(ids)
    pairs = zip(theirs, ids, strict=False)
    return text, next((at for at, (one, other) in enumerate(pairs) if one != other), len(ids) - 1)
