"""What a grammar may have at most, known before a token is drawn: text that leaves no choice, and optional keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from decodekit import ParameterError

__all__ = ["longest_forced", "require_few_objects", "require_few_optional_keys", "require_short", "require_short_texts"]

_MOST_FORCED = 4096  # bytes
_MOST_OBJECTS = 1000  # that may begin at one place; a parser's row has room for 2000
_MOST_OPTIONAL = 498  # each may come next and is four items of a parser's row, which has 2000


def require_short(forced: int, where: str = "") -> None:
    """Raise `ParameterError` for so many bytes in a row that leave no choice.

    They are split into tokens at every step, so a long text would never come to an end.
    """
    if forced > _MOST_FORCED:
        raise ParameterError(
            f"{where}the grammar leaves no choice for the next {forced} bytes, and at most {_MOST_FORCED} are "
            "supported; write such a text into the prompt"
        )


def longest_forced(texts: Iterable[bytes]) -> int:
    """The most bytes in a row that leave no choice where one of these texts is written."""
    every = {*texts}
    if max(map(len, every), default=0) <= _MOST_FORCED:  # nobody asks for less
        return 0
    longest, previous = 0, b""
    places = [0]  # where the text before has parted from others, or ended
    for text in [*sorted(every), b""]:
        common = _shared(previous, text)
        while places[-1] > common:
            end = places.pop()
            longest = max(longest, end - max(places[-1], common))
            if places[-1] < common:
                places.append(common)
        if len(text) > places[-1]:
            places.append(len(text))
        previous = text
    return longest


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with together."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def require_short_texts(where: str, part: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for a const, an enum or a key of a schema that leaves no choice for too many bytes."""
    enum, properties = part.get("enum"), part.get("properties")
    listed = enum if isinstance(enum, list) else []
    keys = properties if isinstance(properties, Mapping) else {}
    together = [each for each in listed if isinstance(each, str)]
    apart = [*_texts([part.get("const"), *(each for each in listed if not isinstance(each, str))]), *keys]
    for group in (together, *([text] for text in apart)):
        require_short(longest_forced(json.dumps(text, ensure_ascii=False).encode() for text in group), f"{where}: ")


def _texts(values: list[Any]) -> Iterator[str]:
    """The texts in JSON values."""
    waiting = values
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            waiting.extend((*value, *value.values()))


def require_few_optional_keys(where: str, part: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for an object with more optional keys in a row than a parser's row can hold."""
    properties, required = part.get("properties"), part.get("required")
    needed = set(required) if isinstance(required, list) else set()
    count = 0
    for key in properties if isinstance(properties, Mapping) else ():
        count = 0 if key in needed else count + 1
        if count > _MOST_OPTIONAL:
            raise ParameterError(
                f"{where}: more than {_MOST_OPTIONAL} optional keys in a row are not supported; make some of them "
                "required, or put them into objects of their own"
            )


def require_few_objects(where: str, part: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for so many branches that begin with the same bracket."""
    for key in ("anyOf", "oneOf"):
        branches = part.get(key)
        if not isinstance(branches, list) or len(branches) <= _MOST_OBJECTS:
            continue
        for kind in ("object", "array"):
            if sum(isinstance(each, Mapping) and each.get("type") == kind for each in branches) > _MOST_OBJECTS:
                raise ParameterError(
                    f"{where}: more than {_MOST_OBJECTS} branches of the type {kind} in {key} are not supported; give "
                    "one branch an enum in place of many that differ in a const"
                )
