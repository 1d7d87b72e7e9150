"""What is wrong with given parameters, in our words: pydantic's errors name its own types and the branches of a union.

One sentence for each field: ``processor 'temperature': temperature: must be at least 0 or 'inf', not -1``.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from decodekit.errors import did_you_mean
from decodekit.plugin.secrets import masked

__all__ = ["explained", "first_fault"]

Place = tuple[str | int, ...]

_KINDS = {
    "bool_type": "true or false",
    "bytes_type": "bytes",
    "callable_type": "a function",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number that is not longer",
    "int_type": "a whole number",
    "is_instance_of": "of the type {class}",
    "is_subclass_of": "a subclass of {class}",
    "iterable_type": "a list",
    "list_type": "a list",
    "literal_error": "{expected}",
    "mapping_type": "a table",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "multiple_of": "a multiple of {multiple_of}",
    "none_required": "absent",
    "set_type": "a list",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "string_unicode": "valid Unicode text",
    "too_long": "at most {max_length} items long",
    "too_short": "at least {min_length} items long",
    "tuple_type": "a list",
}
_ONE = {"string_too_short": "text that is not empty", "too_short": "a list that is not empty"}  # of at least one
_PATTERNS = {"^[0-9a-fA-F]{64}$": "64 hexadecimal digits"}
_NUMBER = re.compile(r"[+-]?(\d{1,18}\.?\d{0,18}|\.\d{1,18})", re.ASCII)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 120


def explained(
    errors: Sequence[Mapping[str, Any]], data: Any, known: Callable[[Place], Iterable[str]], owner: str
) -> str:
    """All that pydantic found, one sentence for each field.

    Args:
        errors: of a ``ValidationError``.
        data: what was validated.
        known: the names that a table at this place may have, to say which one was meant.
        owner: what the parameters belong to.
    """
    fields: dict[Place, list[Mapping[str, Any]]] = {}
    for error in errors:
        fields.setdefault(_place(error, data), []).append(error)
    # A union reports the inside of each branch, and the type of the others: the deepest place is the one to mend.
    inner = {place[:depth] for place in fields for depth in range(len(place))}
    shown = {place: found for place, found in fields.items() if place not in inner or _own(found)} or fields
    return "; ".join(_sentence(place, found, known, owner) for place, found in shown.items())


def first_fault(errors: Sequence[Mapping[str, Any]], data: Any) -> str:
    """The first field that pydantic found wrong in data that a program wrote, such as a record.

    The arguments are those of `explained`; nobody is told which names there are, because nobody wrote one by hand.
    """
    place = _place(errors[0], data)
    found = [error for error in errors if _place(error, data) == place]
    field, kinds = ".".join(map(str, place)), {error["type"] for error in found}
    if kinds & {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{field} is no field of this format"
    if "missing" in kinds:
        return f"{field} is missing"
    return _sentence(place[:0], found, lambda _: (), field or "all of it")


def _own(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a place has an error that is not one of a union's other branches."""
    return any(error["type"] in ("value_error", "assertion_error") for error in found)


def _sentence(
    place: Place, found: Sequence[Mapping[str, Any]], known: Callable[[Place], Iterable[str]], owner: str
) -> str:
    field = ".".join(str(each) if each != "" else "''" for each in place)
    kinds = {error["type"] for error in found}
    if "extra_forbidden" in kinds:
        return f"{owner}: unknown parameter {field!r}{did_you_mean(str(place[-1]), known(place[:-1]))}"
    if "missing" in kinds:
        return f"{owner}: parameter {field!r} is missing"
    said = f"{owner}: {field}" if field else owner
    for error in found:
        if error["type"] in ("value_error", "assertion_error"):
            return f"{said}: {error.get('ctx', {}).get('error', error['msg'])}"
    wanted = list(dict.fromkeys(map(_wanted, found)))
    if any(error["loc"][-1:] == ("[key]",) for error in found):
        return f"{said}: the name {_SHORT.repr(place[-1])} must be {' or '.join(wanted)}"
    given = found[0]["input"]
    return f"{said}: must be {' or '.join(wanted)}, not {_SHORT.repr(_shown(place, given))}{_as_number(given, wanted)}"


def _as_number(given: object, wanted: Sequence[str]) -> str:
    """What to write where a number is a text: it has quotes, or no digit before its point."""
    if not isinstance(given, str) or not any("number" in each for each in wanted):
        return ""
    if not _NUMBER.fullmatch(given):
        return ""
    return f"; as a number it is {int(given) if given.strip('+-').isdigit() else float(given)}"


def _shown(place: Place, value: Any) -> Any:
    """The value without what may be a secret: a wrong type is often a right value in the wrong brackets."""
    names = [each for each in place if isinstance(each, str)]
    return masked(names[-1] if names else "", value)


def _wanted(error: Mapping[str, Any]) -> str:
    """What a value must be, after 'must be'."""
    given = error.get("ctx", {})
    if given.get("min_length") == 1 and error["type"] in _ONE:
        return _ONE[error["type"]]
    if given.get("pattern") in _PATTERNS:
        return _PATTERNS[given["pattern"]]
    kind = _KINDS.get(error["type"])
    if kind is not None:
        return kind.format_map({key: getattr(each, "__name__", each) for key, each in given.items()})
    # "Input should be less than or equal to 1" and other kinds, of which a plugin of a stranger may have any
    words = str(error["msg"]).removeprefix("Input should ").removeprefix("be ")
    return words.removeprefix("a valid ") if words else "another value"


def _place(error: Mapping[str, Any], data: Any) -> Place:
    """Where in the data the error is: pydantic's location without the names of a union's branches."""
    place: list[str | int] = []
    at = data
    parts = error["loc"]
    for part in parts:
        if isinstance(at, Mapping):
            here = part if part in at else _key(at, part)
            if here is not None:
                place.append(part)
                at = at[here]
        elif isinstance(part, int) and isinstance(at, Sequence) and not isinstance(at, str) and part < len(at):
            place.append(part)
            at = at[part]
    if error["type"] == "missing":  # its own name is not in the data
        place.append(parts[-1])
    return tuple(place)


def _key(table: Mapping[Any, Any], part: str | int) -> Any:
    """The key that pydantic names as text."""
    return next((key for key in table if str(key) == str(part)), None)
