"""A cache of what is computed once for each tokenizer, and freed with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from decodekit.text.tokenizer import Tokenizer

__all__ = ["cached_for"]

Value = TypeVar("Value")


class _NoTokenizer:
    """Stands for no tokenizer."""


_no_tokenizer = _NoTokenizer()
_found: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()
_found_by_fingerprint: dict[str, dict[Hashable, Any]] = {}


def cached_for(tokenizer: Tokenizer | None, question: Hashable, answer: Callable[[], Value]) -> Value:
    """What ``answer()`` returned the first time the question was asked of this tokenizer.

    The question names its caller too, and all that the answer depends on. The answers are freed with the tokenizer; for
    a tokenizer without weak references they are kept under its fingerprint.
    """
    key: Any = _no_tokenizer if tokenizer is None else tokenizer
    try:
        known = _found.setdefault(key, {})
    except TypeError:
        known = _found_by_fingerprint.setdefault(key.fingerprint, {})
    if question not in known:
        known[question] = answer()
    found: Value = known[question]
    return found
