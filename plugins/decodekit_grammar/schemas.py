"""The check of a JSON Schema before a model is asked: what llguidance does not support is named with its place."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from llguidance import LLMatcher
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from decodekit import ParameterError
from decodekit.errors import did_you_mean
from decodekit_grammar.matcher import require_valid

__all__ = ["checked_schema", "schema_of_type"]

_ONE = ("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_OTHERS = (
    "$ref const contentEncoding contentMediaType default dependentRequired deprecated description enum "
    "examples exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength maxProperties "
    "maximum minContains minItems minLength minProperties minimum multipleOf pattern readOnly required "
    "title type unevaluatedItems unevaluatedProperties uniqueItems writeOnly "
)
_KEYWORDS = frozenset((*_ONE, *_LISTS, *_MAPS, *_OTHERS.split()))
_DEEPEST = 400


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if a constraint can be made of it.

    Raises:
        ParameterError: it is not valid or not supported, with the place as a JSON pointer; or a keyword is misspelled,
            which JSON Schema itself would ignore.
    """
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"a JSON Schema is made of JSON values: {error}") from error
    for place, part in _parts(schema):
        _require_spelled(place, part)
    message = _refused(schema)
    if message is None:
        return schema
    raise ParameterError(f"at {_place_of(message, schema) or 'its root'}: {message}; see docs/constraints.md")


def schema_of_type(given: Any) -> Any:
    """The schema of a type that pydantic knows, without keys that it does not name: its values would not hold them.

    Raises:
        ParameterError: it is no type, or has no JSON Schema.
    """
    kinds = (type, types.GenericAlias, types.UnionType)
    if not isinstance(given, kinds) and typing.get_origin(given) is None:
        raise ParameterError(
            f"a JSON Schema is a mapping; or give a class of your own, whose fields it is made of; not {given!r}"
        )
    try:
        return _closed(TypeAdapter(given).json_schema())
    except PydanticUserError as error:
        raise ParameterError(f"{given!r} has no JSON Schema: {error.message.splitlines()[0]}") from error


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in ("const", "default", "enum") else _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _refused(schema: Any) -> str | None:
    """llguidance's words for a schema that it does not take."""
    try:
        require_valid(LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    except ParameterError as error:
        return str(error)
    return None


def _place_of(message: str, schema: dict[str, Any]) -> str:
    """The deepest place whose schema alone is refused with the same words."""
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    found = ""
    for place, part in _parts(schema):
        inside = place != found and place.startswith(found)
        if inside and _refused({**shared, **part}) == message:
            found = place
    return found


def _require_spelled(place: str, part: Mapping[str, Any]) -> None:
    if "x-guidance" in part:
        raise ParameterError(f"at {place or 'its root'}: x-guidance is set by the processor; use its own parameters")
    for key in part:
        if key not in _KEYWORDS and not key.startswith(("$", "x-")):
            hint = did_you_mean(key, _KEYWORDS)
            if hint:
                raise ParameterError(
                    f"at {place or 'its root'}: {key!r} is no keyword of JSON Schema{hint} A name of your own begins "
                    "with x-"
                )


def _parts(schema: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema in a schema with its place, as a JSON pointer; the outer ones first."""
    if not isinstance(schema, Mapping):
        return
    if depth > _DEEPEST:
        raise ParameterError(f"a JSON Schema is at most {_DEEPEST} levels deep")
    yield place, schema
    for key in _ONE:
        yield from _parts(schema.get(key), f"{place}/{key}", depth + 1)
    for key in _LISTS:
        each = schema.get(key)
        for at, part in enumerate(each if isinstance(each, list) else ()):
            yield from _parts(part, f"{place}/{key}/{at}", depth + 1)
    for key in _MAPS:
        named = schema.get(key)
        for name, part in named.items() if isinstance(named, Mapping) else ():
            yield from _parts(part, f"{place}/{key}/{_escaped(name)}", depth + 1)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
