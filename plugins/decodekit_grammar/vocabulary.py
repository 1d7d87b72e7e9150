"""A model's vocabulary as llguidance reads it: the bytes of every token, and a way to split bytes into tokens."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from llguidance import LLTokenizer, TokenizerWrapper

from decodekit import AdapterError, ParameterError
from decodekit.log import get_logger
from decodekit.text.tokenizer import Tokenizer
from decodekit_grammar.marks import CONTROL, control_of

__all__ = ["BYTES", "Vocabulary", "vocabulary_of"]

BYTES = LLTokenizer("byte")
"""A vocabulary of single bytes, to check a grammar before there is a model."""

Start = TypeVar("Start")

_MOST_STARTED = 32  # grammars of one vocabulary
_MOST_KEPT = 4  # a vocabulary of 152,000 tokens takes about 200 MB with its lists


class Vocabulary:
    """A vocabulary, read once.

    Args:
        tokenizer: the model's.

    Attributes:
        native: what llguidance makes of it.
        texts: the bytes of each token; b"" for a control token.
        tokens: as `texts`, with the markup of control tokens, by which llguidance tells them apart.
        eos_ids: the tokens that end a text.
        missing: the bytes that are in no token.

    Raises:
        ParameterError: the tokenizer does not list the bytes of its tokens, or has no end-of-text token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not getattr(tokenizer, "listed", True) or getattr(tokenizer, "whole_texts", False):
            raise ParameterError(
                "a constraint reads the bytes of every token, and this tokenizer gives them one by one; give the "
                "adapter a tokenizer of its own (tokenizer=...)"
            )
        self.eos_ids = sorted(tokenizer.eos_ids)
        if not self.eos_ids:
            raise ParameterError(
                "a constraint ends a text with an end-of-text token, and this model's files name none; use a model or "
                "a tokenizer that has one"
            )
        size = tokenizer.vocab_size
        get_logger().debug("reading a vocabulary for constraints", tokens=size)
        found = [tokenizer.token_bytes(token_id) for token_id in range(size)]
        markup = {token_id: name.encode() for name, token_id in control_of(tokenizer).items()}
        self.texts = [data or b"" for data in found]
        self.tokens = [data or markup.get(i, b"<|token %d|>" % i) for i, data in enumerate(self.texts)]
        # Read by llguidance's wrapper:
        self.eos_token_id = self.eos_ids[0]
        self.bos_token_id = tokenizer.bos_id
        self.special_token_ids = [token_id for token_id, data in enumerate(found) if not data]
        self._readers: list[Callable[[], Tokenizer | None]] = []
        self.read_with(tokenizer)
        self._by_bytes: dict[bytes, int] = {}
        for token_id, data in enumerate(self.texts):
            if data:
                self._by_bytes.setdefault(data, token_id)
        self._longest = max(map(len, self._by_bytes), default=0)
        self.missing = frozenset(range(256)).difference(*self._by_bytes)
        self._starts: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self.native = LLTokenizer(TokenizerWrapper(self), n_vocab=size, eos_token=self.eos_ids)

    def marked(self, token_id: int) -> bytes:
        """The bytes of a token; of a control token, its markup as in `Marks`."""
        return self.texts[token_id] or CONTROL + self.tokens[token_id]

    def read_with(self, tokenizer: Tokenizer) -> None:
        """Split with this tokenizer from now on, which has the same tokens: a model may be closed before another."""
        if self._readers and self._readers[0]() is tokenizer:
            return
        others = [each for each in self._readers if each() not in (None, tokenizer)]
        try:
            self._readers = [weakref.ref(tokenizer), *others]
        except TypeError:  # it has no weak references
            self._readers = [lambda: tokenizer, *others]

    def started(self, grammar: str, start: Callable[[], Start]) -> Start:
        """What ``start()`` returned for this grammar, if it is one of the last that were asked for."""
        with self._lock:
            found: Start | None = self._starts.pop(grammar, None)
            found = start() if found is None else found
            self._starts[grammar] = found
            while len(self._starts) > _MOST_STARTED:
                self._starts.popitem(last=False)
            return found

    def __call__(self, data: bytes | str) -> list[int]:
        """Token ids whose bytes are exactly these: the model's own where there are such, else the longest first."""
        data = data if isinstance(data, bytes) else data.encode()
        for reader in self._readers:
            tokenizer = reader()
            try:
                ids = tokenizer.encode(data.decode()) if tokenizer is not None else []
                if tokenizer is not None and tokenizer.decode(ids) == data:
                    return ids
            except AdapterError:  # its model is closed
                continue
            except (ParameterError, UnicodeDecodeError):  # letters without a token, or half a letter
                break
        return self._longest_first(data)

    def _longest_first(self, data: bytes) -> list[int]:
        """The longest token each time that leaves a rest which can be split; none where there is no split."""
        can_split = [False] * len(data) + [True]
        for at in range(len(data) - 1, -1, -1):
            can_split[at] = any(can_split[at + size] for size, _ in self._beginning(data, at))
        ids, at = [], 0
        while at < len(data) and can_split[at]:
            size, token_id = next(each for each in self._beginning(data, at) if can_split[at + each[0]])
            ids.append(token_id)
            at += size
        return ids

    def _beginning(self, data: bytes, at: int) -> Iterator[tuple[int, int]]:
        """The tokens that a text has here, by their sizes; the longest first."""
        for size in range(min(self._longest, len(data) - at), 0, -1):
            found = self._by_bytes.get(data[at : at + size])
            if found is not None:
                yield size, found


_kept: OrderedDict[str, Vocabulary] = OrderedDict()
_lock = threading.Lock()


def vocabulary_of(tokenizer: Tokenizer | None) -> Vocabulary:
    """The vocabulary of a tokenizer; the same one for tokenizers with the same fingerprint.

    Raises:
        ParameterError: there is no tokenizer, or as for `Vocabulary`.
    """
    if tokenizer is None:
        raise ParameterError(
            "a constraint needs a tokenizer, whose tokens it reads byte by byte, and this adapter has none; give it "
            "one with tokenizer=..."
        )
    key = tokenizer.fingerprint
    with _lock:
        found = _kept.get(key)
        if found is None:
            found = _kept[key] = Vocabulary(tokenizer)
            while len(_kept) > _MOST_KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        found.read_with(tokenizer)
        return found
