"""The keywords of JSON Schema: where schemas are inside of a schema, and which words a constraint cannot keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from decodekit import ParameterError
from decodekit.errors import did_you_mean

__all__ = ["is_keyword", "old_draft", "parts", "rebuilt", "require_kept", "require_shallow", "without_notes"]

_ONE = ("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_LISTS = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_OTHERS = (
    "$anchor $dynamicAnchor $dynamicRef $id $ref const dependencies dependentRequired enum exclusiveMaximum "
    "exclusiveMinimum format maxContains maxItems maxLength maxProperties maximum minContains minItems minLength "
    "minProperties minimum multipleOf pattern required type unevaluatedItems unevaluatedProperties uniqueItems "
    "$recursiveAnchor $recursiveRef "
)
_NOTES = (  # words that allow and forbid nothing; the last line is of OpenAPI and of editors
    "$comment $schema default deprecated description examples readOnly title writeOnly "
    "discriminator enumDescriptions example externalDocs markdownDescription xml"
)
_SAYING_NOTHING = frozenset(_NOTES.split()) - {"$schema"}
_NOT_KEPT = {
    "contentEncoding": "what a string encodes is not constrained; leave the word out, or make the field a plain string",
    "contentMediaType": "what a string holds is not constrained; leave the word out, or make the field a plain string",
    "contentSchema": "what a string holds is not constrained; leave the word out, or make the field a plain string",
    "$vocabulary": "it changes what other keywords mean; leave the word out",
}
_KEYWORDS = frozenset((*_ONE, *_LISTS, *_MAPS, *_OTHERS.split(), *_NOTES.split()))
_BESIDE_REF = frozenset((*_NOTES.split(), "$defs", "$id", "$ref", "definitions"))
_REF_ALONE = ("draft-03", "draft-04", "draft-06", "draft-07")
_DEEPEST = 400


def is_keyword(word: str) -> bool:
    """Whether JSON Schema has this keyword."""
    return word in _KEYWORDS or word in _NOT_KEPT


def old_draft(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is of a draft in which nothing counts beside ``$ref``."""
    return any(name in str(schema.get("$schema", "")) for name in _REF_ALONE)


def without_notes(part: dict[str, Any], whole: str) -> dict[str, Any]:
    """One schema without the words that allow and forbid nothing: llguidance takes some for keywords beside $ref.

    Args:
        part: the schema.
        whole: the JSON text of the schema that it is in; a word into which that refers is kept.
    """
    noted = [key for key in part if key in _SAYING_NOTHING or key.startswith("x-")]
    left_out = {key for key in noted if f"/{key}/" not in whole}
    return {key: value for key, value in part.items() if key not in left_out} if left_out else part


def parts(schema: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema in a schema of JSON values with its place, as a JSON pointer; the outer ones first."""
    waiting = [("", schema)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, dict):
            yield place, part
            waiting.extend([(place + step, each) for step, each in _inner(part)][::-1])


def require_shallow(places: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `ParameterError` for more than 400 levels, through references too: llguidance follows them by recursion.

    Args:
        places: every schema in a schema, by its place, the outer ones first.
    """
    targets: dict[str, Any] = {}
    if any("$ref" in part for part in places.values()):
        for place, part in places.items():
            targets[f"#{place}"] = part
            targets[f"#{part.get('$anchor')}"] = targets[str(part.get("$id"))] = part
    seen: set[int] = set()
    waiting: list[tuple[Any, int]] = [(places.get(""), 0)]
    while waiting:
        part, depth = waiting.pop()
        if not isinstance(part, dict) or id(part) in seen:
            continue
        if depth > _DEEPEST:
            raise ParameterError(
                f"a JSON Schema is at most {_DEEPEST} levels deep, with the references that it follows"
            )
        seen.add(id(part))
        waiting.append((targets.get(unquote(str(part.get("$ref")))), depth + 1))
        waiting.extend([(each, depth + 1) for _, each in _inner(part)][::-1])


def _inner(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly in a schema, with the step to each."""
    for key, value in part.items():
        if isinstance(value, dict):
            if key in _ONE:
                yield f"/{key}", value
            elif key in _MAPS:
                for name, each in value.items():
                    yield f"/{key}/{_escaped(name)}", each
        elif isinstance(value, list) and key in _LISTS:
            for at, each in enumerate(value):
                yield f"/{key}/{at}", each


def rebuilt(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The schema with every schema in it changed, the inner ones first. Values of const, default and enum are kept."""
    if not isinstance(schema, dict):
        return schema
    new = dict(schema)
    for key, value in schema.items():
        if key in _MAPS and isinstance(value, dict):
            new[key] = named = dict(value)
            for name in value:
                named[name] = rebuilt(value[name], change)
        elif key in _LISTS and isinstance(value, list):
            new[key] = listed = list(value)
            for at in range(len(value)):
                listed[at] = rebuilt(value[at], change)
        elif key in _ONE:
            new[key] = rebuilt(value, change)
    return change(new)


def require_kept(place: str, part: Mapping[str, Any], draft: str) -> None:
    """Raise `ParameterError` for a word that llguidance would ignore although it may mean something.

    Args:
        place: of the part, as a JSON pointer.
        part: one schema of a schema.
        draft: the ``$schema`` of the whole.
    """
    where = f"at {place or 'its root'}"
    if "x-guidance" in part:
        raise ParameterError(f"{where}: x-guidance is set by the processor; use its own parameters")
    for key in part:
        if key in _NOT_KEPT:
            raise ParameterError(f"{where}: {key!r} is not supported: {_NOT_KEPT[key]}")
        if key not in _KEYWORDS and not key.startswith("x-"):
            hint = did_you_mean(key, _KEYWORDS)
            hint = hint if "did you mean" in hint else ", which would ignore it."
            raise ParameterError(
                f"{where}: {key!r} is no keyword of JSON Schema{hint} A name of your own begins with x-"
            )
    _require_countable_keys(where, part)
    if "$ref" in part and old_draft({"$schema": draft}):
        beside = sorted(key for key in part if key not in _BESIDE_REF and not key.startswith("x-"))
        if beside:
            raise ParameterError(
                f"{where}: beside $ref, {', '.join(beside)} has no effect in the draft that $schema names, and one in "
                "later drafts; put both into allOf"
            )


def _require_countable_keys(where: str, part: Mapping[str, Any]) -> None:
    """A text may name a key twice, and write a key of a pattern with escapes; neither is seen while it is written."""
    least, required = part.get("minProperties", 0), part.get("required", [])
    if isinstance(least, int) and isinstance(required, list) and least > len(required):
        raise ParameterError(f"{where}: minProperties is not supported beyond the keys that are required")
    if part.get("patternProperties") and part.get("additionalProperties", True) is not False:
        raise ParameterError(f"{where}: patternProperties is supported with additionalProperties: false only")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
