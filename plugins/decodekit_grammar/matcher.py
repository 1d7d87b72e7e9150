"""A place in a grammar: which tokens may come next, and the place after one. Nothing in a place ever changes.

llguidance does not raise: after an error its mask holds the end of text alone, which looks like a model that has
finished. So it is asked for an error after every call.
"""

from __future__ import annotations

import re
import threading

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from decodekit import ParameterError
from decodekit_grammar.vocabulary import BYTES, Vocabulary

__all__ = ["Matcher", "require_valid"]

_NO_TEXT = "NoExtension"
_MOST_FORCED = 4096  # bytes
_MOST_GUESSED = 1024  # bytes: no more can be asked for in one call
_LONGEST_MESSAGE = 600

_ENDED = ("NotStopped", "EndOfSentence", "NoExtension")  # reasons to stop that are no errors


def require_valid(grammar: str) -> None:
    """Raise `ParameterError` with llguidance's own words for a grammar that it does not take, or that has no text."""
    native = LLMatcher(BYTES, grammar, log_level=0)
    if not native.is_error():
        native.compute_bitmask()
    if native.is_error():
        message = native.get_error()
        raise ParameterError("no text satisfies the grammar" if message.startswith(_NO_TEXT) else _short(message))


class Matcher:
    """A place in a grammar.

    llguidance changes an object when it is asked, so each place has its own, behind a lock.

    Args:
        vocabulary: the model's.
        native: llguidance's object, which nobody else has.
    """

    __slots__ = ("_forced", "_lock", "_mask", "_native", "_vocabulary")

    def __init__(self, vocabulary: Vocabulary, native: LLMatcher) -> None:
        self._vocabulary = vocabulary
        self._native = native
        self._lock = threading.Lock()
        self._mask: NDArray[np.bool_] | None = None
        self._forced: list[int] | None = None
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
                self._require_choices()
                bits = np.frombuffer(self._native.compute_bitmask(), dtype=np.uint8)
                self._require_sound()
                size = len(self._vocabulary.tokens)
                mask = np.unpackbits(bits, count=size, bitorder="little").view(np.bool_)
                if self._native.is_stopped() and not self._native.is_accepting():
                    self._refuse()
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
            if self._mask is not None and token_id < len(self._mask) and self._mask[token_id]:
                raise ParameterError(_short(native.get_error()))  # the grammar allows it, and is too complex
            data = self._vocabulary.tokens[token_id] if token_id < len(self._vocabulary.tokens) else b""
            raise ParameterError(f"the grammar does not allow the token {token_id} ({data!r}) here")
        return Matcher(self._vocabulary, native)

    @property
    def forced(self) -> list[int]:
        """The ids of the text that must come next, as the model's tokenizer splits it; empty where nothing must."""
        with self._lock:
            if self._forced is None:
                forced = self._native.compute_ff_tokens()
                if not forced:
                    data = bytes(self._native.compute_ff_bytes())[:_MOST_GUESSED]
                    forced = self._vocabulary(data)[:-1] if data else []  # the last may be a part of a longer token
                self._require_sound()
                self._forced = list(forced)
            return self._forced

    def _require_sound(self) -> None:
        if self._native.is_error():
            message = self._native.get_error()
            if message.startswith(_NO_TEXT):
                self._refuse()
            raise ParameterError(_short(message))

    def _require_choices(self) -> None:
        """The text that must follow is split into tokens at every step, so a long one would never come to an end."""
        forced = len(self._native.compute_ff_bytes())
        if forced > _MOST_FORCED:
            raise ParameterError(
                f"the grammar leaves no choice for the next {forced} bytes, and at most {_MOST_FORCED} are supported; "
                "write such a text into the prompt"
            )

    def _refuse(self) -> None:
        raise ParameterError(
            f"no token of this vocabulary continues the grammar here ({self._native.stop_reason()}); a byte that it "
            "needs has no token"
        )


def _short(message: str) -> str:
    """llguidance's words without the state of its parser and without the most of a long grammar."""
    text = re.split(r"\n\n|\n<state>", message)[0].strip()
    return (
        text
        if len(text) <= _LONGEST_MESSAGE
        else f"{text[: _LONGEST_MESSAGE // 2]} ... {text[-_LONGEST_MESSAGE // 2 :]}"
    )
