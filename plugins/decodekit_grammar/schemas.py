"""The check of a JSON Schema before a model is asked: what llguidance does not support is named with its place."""

from __future__ import annotations

import json
import types
import typing
from itertools import islice
from typing import Any

from llguidance import LLMatcher
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from decodekit import ParameterError
from decodekit_grammar.aliases import require_readable
from decodekit_grammar.branches import Branches, with_required_tags
from decodekit_grammar.ecma import with_patterns_in_rust
from decodekit_grammar.endless import require_end
from decodekit_grammar.formats import with_dates
from decodekit_grammar.json_values import as_json, require_sensible
from decodekit_grammar.keys import with_plain_keys
from decodekit_grammar.keywords import is_keyword, parts, rebuilt, require_kept, require_shallow, without_notes
from decodekit_grammar.limits import require_few_objects, require_few_optional_keys, require_short_texts
from decodekit_grammar.matcher import require_valid
from decodekit_grammar.messages import NO_VALUE
from decodekit_grammar.number_bounds import with_kept_bounds
from decodekit_grammar.numbers import require_exact_numbers

__all__ = ["checked_schema", "prepared", "refused", "require_supported_words", "schema_of_type"]

_FORMATS_OF_TYPES = ("binary", "path", "file-path", "directory-path", "password")  # of pydantic; any text will do
_LONGEST_PLACE = 300
_MOST_READ = 5_000_000  # characters of schemas that are tried to find a place: about a second


def checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if a constraint can be made of it.

    Raises:
        ParameterError: it is not valid or not supported, with the place as a JSON pointer; or a word in it is no
            keyword, which JSON Schema itself would ignore.
    """
    schema = require_supported_words(schema)
    message = refused(schema)
    if message is None:
        return schema
    place, message = _deepest(message, schema)
    if len(place) > _LONGEST_PLACE:
        place = f"{place[: _LONGEST_PLACE // 2]} ... {place[-_LONGEST_PLACE // 2 :]}"
    raise ParameterError(f"at {place or 'its root'}: {message}; see docs/constraints.md")


def require_supported_words(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as JSON has it, if all that can be judged without compiling it is supported.

    Raises:
        ParameterError: as for `checked_schema`.
    """
    schema = as_json(schema)
    places = dict(parts(schema))
    require_shallow(places)
    draft = str(schema.get("$schema", ""))
    for place, part in places.items():
        require_kept(place, part, draft)
        where = f"at {place or 'its root'}"
        require_sensible(where, part)
        require_exact_numbers(where, part)
        require_short_texts(where, part)
        require_few_optional_keys(where, part)
        require_few_objects(where, part)
    require_end(places)
    return schema


def prepared(schema: Any) -> Any:
    """The schema as llguidance gets it: read as the standard says, where llguidance alone would not.

    Raises:
        ParameterError: a pattern or a key cannot be read so.
    """
    branches, text = Branches(schema), json.dumps(schema)

    def read(part: dict[str, Any]) -> dict[str, Any]:
        return with_plain_keys(with_dates(with_patterns_in_rust(branches.separate(without_notes(part, text)))))

    return rebuilt(rebuilt(schema, read), with_kept_bounds)  # after it: branches are told apart by their bounds


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
        adapter = TypeAdapter(given)
        schema = adapter.json_schema()
        require_readable(adapter.core_schema)
        return rebuilt(with_required_tags(schema), _of_a_type)
    except PydanticUserError as error:
        raise ParameterError(f"{given!r} has no JSON Schema: {error.message.splitlines()[0]}") from error


def _of_a_type(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema of a type, without what its value does not need: it makes a set of an array, and keeps no notes."""
    kept = {key: value for key, value in schema.items() if is_keyword(key)}
    if kept.get("minItems", 0) < 2:  # a set that needs two items needs two that differ
        kept.pop("uniqueItems", None)
    if kept.get("format") in _FORMATS_OF_TYPES:
        del kept["format"]
    if kept.get("type") == "object" and isinstance(kept.get("properties"), dict):
        return {"additionalProperties": False, **kept}
    return kept


def refused(schema: Any) -> str | None:
    """Why llguidance does not take a schema; None if it does."""
    try:
        require_valid(LLMatcher.grammar_from_json_schema(json.dumps(prepared(schema))))
    except ParameterError as error:
        return str(error)
    return None


def _deepest(message: str, schema: dict[str, Any]) -> tuple[str, str]:
    """The deepest place whose schema alone is refused for the same reason, and the message there."""
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    found = ""
    most = 10 + _MOST_READ // len(json.dumps(schema))
    for place, part in islice(parts(schema), most):
        if place != found and place.startswith(found):
            here = refused({**shared, **part})
            if here is not None and (here == message or (here.startswith(NO_VALUE) and message.startswith(NO_VALUE))):
                found, message = place, here
    return found, message
