"""A place in a grammar: which tokens may come next, and the place after one. Nothing in a place ever changes.

llguidance does not raise: after an error its mask holds the end of text alone, which looks like a model that has
finished. So it is asked for an error after every call.
"""

from __future__ import annotations

import threading

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from decodekit import ParameterError
from decodekit_grammar.limits import require_short
from decodekit_grammar.messages import explained
from decodekit_grammar.vocabulary import BYTES, Vocabulary

__all__ = ["Matcher", "matches", "require_valid"]

_MOST_GUESSED = 1024  # bytes: no more can be asked for in one call
_NO_TOKEN = "NoExtensionBias"  # noqa: S105 - a reason of llguidance


def require_valid(grammar: str, *, placed: bool = True) -> None:
    """Raise `ParameterError` for a grammar that llguidance does not take, or that has no text.

    Args:
        grammar: as llguidance reads it.
        placed: name the line and the column, which are those of the caller's text.
    """
    native = LLMatcher(BYTES, grammar, log_level=0)
    if not native.is_error():
        forced = native.compute_ff_bytes()
        require_short(len(forced))
        native.compute_bitmask()
        native.try_consume_tokens(list(forced))  # behind a first bracket there may be too many ways to go on
    if native.is_error():
        message = native.get_error()
        if _NO_TOKEN in message:
            raise ParameterError("no text is allowed: its parts exclude each other; loosen one of them")
        raise ParameterError(explained(message, placed=placed))


def matches(grammar: str, text: str) -> bool:
    """Whether a grammar without control tokens has this text."""
    matcher, data = LLMatcher(BYTES, grammar, log_level=0), list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and bool(matcher.is_accepting())


class Matcher:
    """A place in a grammar.

    llguidance changes an object when it is asked, so each place has its own, behind a lock.

    Args:
        vocabulary: the model's.
        native: llguidance's object, which nobody else has.
    """

    __slots__ = ("_lock", "_mask", "_native", "_vocabulary")

    def __init__(self, vocabulary: Vocabulary, native: LLMatcher) -> None:
        self._vocabulary = vocabulary
        self._native = native
        self._lock = threading.Lock()
        self._mask: NDArray[np.bool_] | None = None
        self._require_sound()

    def __deepcopy__(self, memo: object) -> Matcher:
        return self  # it never changes

    @classmethod
    def start(cls, vocabulary: Vocabulary, grammar: str) -> Matcher:
        """The place before the first token.

        Raises:
            ParameterError: the grammar is not valid, or too large.
        """
        return cls(vocabulary, LLMatcher(vocabulary.native, grammar, log_level=0))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool[vocabulary], the tokens that may come next.

        Raises:
            ParameterError: no token of this vocabulary can continue, or the grammar is too complex.
        """
        with self._lock:
            if self._mask is None:
                self._require_writable()
                bits = np.frombuffer(self._native.compute_bitmask(), dtype=np.uint8)
                self._require_sound()
                size = len(self._vocabulary.tokens)
                mask = np.unpackbits(bits, count=size, bitorder="little").view(np.bool_)
                if self._native.is_stopped() and not self._native.is_accepting():
                    raise self._no_token()
                mask.flags.writeable = False
                self._mask = mask
            return self._mask

    @property
    def accepting(self) -> bool:
        """Whether the text may end here."""
        with self._lock:
            return bool(self._native.is_accepting())

    def after(self, token_id: int) -> Matcher:
        """The place after this token.

        Raises:
            ParameterError: the grammar does not allow it.
        """
        with self._lock:
            native = self._native.deep_copy()
        if not native.consume_token(token_id):
            if token_id < len(self._vocabulary.tokens) and self.mask[token_id]:
                raise ParameterError(explained(native.get_error()))  # too complex to go on
            data = self._vocabulary.tokens[token_id] if token_id < len(self._vocabulary.tokens) else b""
            raise ParameterError(f"the grammar does not allow the token {token_id} ({data!r}) here")
        return Matcher(self._vocabulary, native)

    @property
    def forced_bytes(self) -> bytes:
        """The text that must come next; empty where nothing must."""
        with self._lock:
            return bytes(self._native.compute_ff_bytes())

    @property
    def forced(self) -> list[int]:
        """The ids of the text that must come next, as the model's tokenizer splits it; empty where nothing must."""
        with self._lock:
            forced = self._native.compute_ff_tokens()
            data = b"" if forced else bytes(self._native.compute_ff_bytes())[:_MOST_GUESSED]
            self._require_sound()
        return list(forced) or self._vocabulary(data)[:-1]  # the last may be a part of a longer token

    def _require_sound(self) -> None:
        if self._native.is_error():
            message = self._native.get_error()
            raise ParameterError(explained(message)) if _NO_TOKEN not in message else self._no_token()

    def _require_writable(self) -> None:
        """The text that must follow is not too long, and there are tokens for it."""
        forced = bytes(self._native.compute_ff_bytes())
        require_short(len(forced))
        missing = self._vocabulary.missing
        if missing and not missing.isdisjoint(forced):
            lost = min(forced.index(byte) for byte in missing.intersection(forced))
            raise ParameterError(
                f"the text must go on with {forced[: lost + 1]!r}, and no token of this vocabulary has its last byte"
            )

    def _no_token(self) -> ParameterError:
        return ParameterError(
            "no token of this vocabulary continues the grammar here; a byte that it needs has no token"
        )
