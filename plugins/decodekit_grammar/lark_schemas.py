"""JSON Schemas in a grammar in Lark (``%json {...}``): checked and prepared as those of the processor json_schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from decodekit import ParameterError
from decodekit_grammar.lark_tokens import NotReadError, tokens_of
from decodekit_grammar.schemas import checked_schema, prepared

__all__ = ["require_supported_schemas", "with_prepared_schemas"]

_WORD = "%json"
_OPTIONS = "x-guidance"
_LOOSE = ("lenient", "coerce_one_of")  # options with which the caller gives the schema up


def require_supported_schemas(grammar: str) -> None:
    """Raise `ParameterError` for a schema that is not supported, with its line and its place there."""
    for place, schema in _schemas(grammar):
        try:
            checked_schema({key: value for key, value in schema.items() if key != _OPTIONS})
        except ParameterError as error:
            line = grammar.count("\n", 0, place.start) + 1
            raise ParameterError(f"line {line}, {_WORD}, {error}") from error


def with_prepared_schemas(grammar: str) -> str:
    """The grammar with its schemas as llguidance gets them; no line changes its number."""
    found, end = [], 0
    for place, schema in _schemas(grammar):
        options = {_OPTIONS: schema[_OPTIONS]} if _OPTIONS in schema else {}
        text = json.dumps({**prepared({key: schema[key] for key in schema if key != _OPTIONS}), **options})
        lines = "\n" * grammar.count("\n", place.start, place.stop)
        found += [grammar[end : place.start], f"{_WORD} {{{lines}{text[1:]}"]
        end = place.stop
    return "".join([*found, grammar[end:]])


def _schemas(grammar: str) -> Iterator[tuple[slice, dict[str, Any]]]:
    """The schemas in a grammar with their places; none in a grammar that is not read here."""
    try:
        places = [place for kind, text, place in tokens_of(grammar) if kind == "json" and text.startswith(_WORD)]
    except NotReadError:
        return
    for place in places:
        schema = json.loads(grammar[place].removeprefix(_WORD))
        options = schema.get(_OPTIONS)
        if not isinstance(options, dict) or not any(options.get(name) for name in _LOOSE):
            yield place, schema
