"""Which texts are valid: what a caller gives, and how it is asked."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Protocol, cast, get_origin

import numpy as np

from decodekit.distribution.passes import rising
from decodekit.draw.context import Context
from decodekit.errors import ParameterError, PluginError, message_of
from decodekit.model.loops import OutOfTime
from decodekit.search.constraint import OfConstraint, is_constraint
from decodekit.session.schema import Schema
from decodekit.text.token_text import TokenText
from decodekit.text.tokenizer import Tokenizer
from decodekit.types import Ids

__all__ = ["Checker", "Judgement", "Predicate", "Validator", "validator_of"]

Predicate = Callable[[str, bool], bool]
Judgement = Literal["open", "ended", "invalid"]

_REMEMBERED = 4096  # judgements; most that come again are of the first tokens
_MASKS_REMEMBERED = 8  # they may be large


class Validator(Protocol):
    """Says which sequences of generated ids are valid: those of which every beginning passes, and that are complete.

    The ids are those after the prompt, without an end-of-text token. The answers must depend on them alone.

    A validator may also have a method ``allowed(ids)``, which returns the ids that may come next: an array of ids, or a
    boolean mask of the vocabulary. The end-of-text tokens are among them exactly where `complete` is true, and another
    token exactly where `prefix_ok` is true after it. A grammar knows this at once; a parser or a type checker does not.
    """

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        """Whether a valid sequence may begin so. True where that is not known: it is checked again later."""
        ...

    def complete(self, ids: tuple[int, ...]) -> bool:
        """Whether this is a valid sequence as it stands."""
        ...


def validator_of(given: Any, context: Context, vocab_size: int | None, ends: Collection[int]) -> Validator:
    """The validator that a caller means: the object, or one that asks a constraint or a function of the text.

    Args:
        given: see `decodekit.search.sampling.sample_valid`.
        context: the prompt's.
        vocab_size: how many tokens the model has; None where that is not known.
        ends: the ids that end a text.

    Raises:
        ParameterError: it is none of these, or a function and there is no tokenizer to make a text of the ids.
        UnknownPlugin: a schema, and no installed distribution has the processor ``json_schema``.
    """
    tokenizer = context.tokenizer
    if isinstance(given, type | UnionType | Mapping) or get_origin(given) is not None:
        given = Schema.of(given).constraint
    if is_constraint(given):
        return OfConstraint(given, context, vocab_size)
    if all(callable(getattr(given, name, None)) for name in ("prefix_ok", "complete")):
        return cast(Validator, given)
    if not callable(given) or not _takes_two(given):
        raise ParameterError(
            "valid: give a function predicate(text, ended) -> bool, a constraint or a schema, or an object with "
            f"prefix_ok(ids) and complete(ids), not {given!r}"
        )
    if tokenizer is None:
        raise ParameterError(
            "valid: this adapter has no tokenizer, so a function gets no text; give an object with prefix_ok(ids) and "
            "complete(ids)"
        )
    return _OfText(given, tokenizer, ends)


class Checker:
    """A validator that is asked once for each answer, as far as that is remembered.

    Args:
        validator: what is asked.
        ends: the ids that end a text.
        stop_when_complete: a text also ends after the first token that makes it complete.
        until: the deadline, on the clock of ``time.monotonic``.

    Attributes:
        checks: how often the validator was asked.
        judge, allowed: as `_judge` and `_ids_after`, and remember.
    """

    def __init__(
        self, validator: Validator, ends: Collection[int], *, stop_when_complete: bool = False, until: float | None
    ) -> None:
        self._validator = validator
        self.ends = ends
        self._stop_when_complete = stop_when_complete
        self._until = until
        self._name = getattr(validator, "name", None) or type(validator).__name__
        self.checks = 0
        self.judge = lru_cache(_REMEMBERED)(self._judge)
        self._allowed = getattr(validator, "allowed", None)
        self.allowed = lru_cache(_MASKS_REMEMBERED)(self._ids_after)

    @property
    def knows_allowed(self) -> bool:
        """Whether the validator says which ids may come next."""
        return self._allowed is not None

    def _ids_after(self, ids: tuple[int, ...], vocab_size: int | None) -> Ids:
        """int64[n] rising: the ids that may come next.

        Raises:
            PluginError: the validator raised, or returned no ids; OutOfTime: the deadline has passed.
        """
        given = self._asked(self._allowed, ids)
        try:
            array = given if isinstance(given, np.ndarray) else np.array(list(given))
            if array.dtype == np.bool_ and array.ndim == 1:
                array = np.flatnonzero(array)
            if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
                raise ValueError
        except (ValueError, TypeError):
            raise self._fault(ids, f"allowed returned {type(given).__name__}, not ids or a mask") from None
        found = rising(array.astype(np.int64))
        # A mask may be longer than the vocabulary: engines pad it.
        return found if vocab_size is None else found[(found >= 0) & (found < vocab_size)]

    def _judge(self, ids: tuple[int, ...], token_id: int) -> Judgement:
        """What a token makes of a sequence that is open: it ends it, leaves it open, or cannot be part of a valid one.

        Raises:
            PluginError: the validator raised, or answered with something else than true or false.
            OutOfTime: the deadline has passed.
        """
        if token_id in self.ends:
            return "ended" if self._true(self._validator.complete, ids, "complete") else "invalid"
        ids = (*ids, token_id)
        if not self._true(self._validator.prefix_ok, ids, "prefix_ok"):
            return "invalid"
        if self._stop_when_complete and self._true(self._validator.complete, ids, "complete"):
            return "ended"
        return "open"

    def _true(self, question: Callable[[tuple[int, ...]], Any], ids: tuple[int, ...], name: str) -> bool:
        answer = self._asked(question, ids)
        if not isinstance(answer, bool | np.bool_):
            raise self._fault(ids, f"{name} returned {answer!r}, not true or false")
        return bool(answer)

    def _asked(self, question: Any, ids: tuple[int, ...]) -> Any:
        if self._until is not None and time.monotonic() >= self._until:
            raise OutOfTime
        self.checks += 1
        try:
            return question(ids)
        except PluginError:
            raise
        except Exception as error:
            raise self._fault(ids, f"raised {type(error).__name__}: {message_of(error)}") from error

    def _fault(self, ids: tuple[int, ...], what: str) -> PluginError:
        return PluginError(what, plugin=self._name, step=len(ids))


class _OfText:
    """A function of the text, as a validator.

    Of text that is not ended it gets no bytes of a character that is not complete.
    """

    def __init__(self, predicate: Predicate, tokenizer: Tokenizer, ends: Collection[int]) -> None:
        self.name = getattr(predicate, "__name__", "predicate")
        self._predicate = predicate
        self._tokenizer, self._ends = tokenizer, ends
        self._base: tuple[int, ...] = ()  # ids whose text is ready
        self._stream = TokenText(tokenizer, (), ends)
        self._mark = self._stream.checkpoint()

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        return self._predicate(self._text(ids, ended=False), False)

    def complete(self, ids: tuple[int, ...]) -> bool:
        return self._predicate(self._text(ids, ended=True), True)

    def _text(self, ids: tuple[int, ...], *, ended: bool) -> str:
        base = ids[:-1]
        if self._base == base:
            self._stream.rewind(self._mark)
        else:
            self._stream = TokenText(self._tokenizer, (), self._ends)
            for token_id in base:
                self._stream.take(token_id)
            self._base, self._mark = base, self._stream.checkpoint()
        if ids:
            self._stream.take(ids[-1])
        if ended:
            self._stream.finish()
        return self._stream.text


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind("", False)
    except TypeError:
        return False
    except ValueError:  # a function of C without a signature
        return True
    return True
