"""A schema as JSON has it, and values of its keywords that no schema may have, named by what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from decodekit import ParameterError

__all__ = ["as_json", "require_sensible"]


def as_json(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, made of dicts, lists, texts, numbers, booleans and None.

    Raises:
        ParameterError: something in it is no JSON value, or a key that is no text.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
        json.dumps(schema, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"a JSON Schema is made of JSON values: {error.object[error.start]!r} is half of a character; give the "
            "whole one"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"a JSON Schema is made of JSON values: {error}") from error
    waiting: list[Any] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):  # json would write it as a text
                    raise ParameterError(f"a JSON Schema is made of JSON values: a key is a text, not {key!r}")
            waiting.extend(value.values())
    made: dict[str, Any] = json.loads(text)
    return made


def require_sensible(where: str, part: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for a value that llguidance takes, or tells of in words that nobody wrote."""
    for key in ("enum", "type"):
        if part.get(key) == []:
            raise ParameterError(f"{where}: {key} is an empty list, so no value is valid")
    multiple = part.get("multipleOf")
    if isinstance(multiple, (int, float)) and multiple <= 0:
        raise ParameterError(f"{where}: multipleOf is greater than 0, not {multiple!r}")
