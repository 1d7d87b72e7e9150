"""JSON: any, or by a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from decodekit_grammar.constraint import Constraint
from decodekit_grammar.schemas import checked_schema, prepared, schema_of_type
from decodekit_grammar.writable import is_writable

__all__ = ["Json", "JsonConstraint", "JsonSchema"]

_WHITESPACE = {"bounded": " |\\n[ \\t]{0,40}", "any": "[\\x20\\x0A\\x0D\\x09]+", "none": None}
_MOST_KEPT = 8  # schemas, each of which may be large
_NUMBER = 24  # -1.7976931348623157e+308: no float64 needs more


class JsonConstraint(Constraint):
    """A constraint to JSON texts."""

    whitespace: Literal["bounded", "any", "none"] = "bounded"
    number_length: Annotated[int, Field(ge=1, le=10_000)] | None = _NUMBER

    @property
    def longest_number(self) -> int | None:
        return self.number_length

    def value(self, parts: Sequence[str]) -> Any:
        """The JSON value of a complete text."""
        (text,) = parts
        return json.loads(text)

    def written(self, schema: dict[str, Any]) -> str:
        """A schema with these settings, as an expression."""
        return _written(json.dumps(schema), self.whitespace)


@lru_cache(maxsize=_MOST_KEPT)
def _written(schema: str, whitespace: str) -> str:
    pattern = _WHITESPACE[whitespace]
    options = {"whitespace_flexible": False} if pattern is None else {"whitespace_pattern": pattern}
    return f"%json {json.dumps({**prepared(json.loads(schema)), 'x-guidance': options})}"


class JsonSchema(JsonConstraint):
    """Allow the JSON texts that are valid by this schema, and no others. In code it may be a type.

    A type is a pydantic model or another type that pydantic knows; its objects have no other keys than it names. Keys
    come in the order in which the schema names them, then any others. ``whitespace='bounded'`` allows one space,
    or a line break with an indentation, where JSON allows blanks. A number outside of strings has at most
    ``number_length`` characters and an exponent of two digits, unless the schema leaves nothing else. With ``after``
    the text may begin with a block of thinking that ``opened_by`` opens; the constraint begins behind this mark.

    Formula: -inf for every token that no valid text continues with
    Edges: forcing='canonical' allows, where only one text can follow, only the tokens that the model's own tokenizer
    splits it into; forcing='free' allows every split. A keyword that is not supported is an error that names it.
    Source: JSON Schema 2020-12 and draft 7; llguidance.
    Engines: vLLM, SGLang and llama.cpp under response_format; what they do with an unsupported keyword differs.
    Example: json_schema = {type = "boolean"}

    Raises:
        ParameterError: the schema is not valid, not supported, or satisfied by no text; there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    json_schema: dict[str, Any]

    @field_validator("json_schema", mode="before")
    @classmethod
    def _of_type(cls, given: Any) -> Any:
        return given if isinstance(given, Mapping) else schema_of_type(given)

    @field_validator("json_schema", mode="after")
    @classmethod
    def _supported(cls, given: dict[str, Any]) -> dict[str, Any]:
        return checked_schema(given)

    @property
    def expression(self) -> str:
        return self.written(self.json_schema)

    def is_writable(self, missing: frozenset[int]) -> bool:
        return is_writable(self.json_schema, missing)


class Json(JsonConstraint):
    """Allow any JSON text and nothing else; ``json=False`` lets a value of any type be the whole text.

    Whitespace and numbers are bounded as for json_schema.

    Formula: -inf for every token that no JSON text continues with
    Edges: with ``json=True`` the text is an object or an array.
    Source: RFC 8259; llguidance.
    Engines: OpenAI's response_format json_object.
    Example: json = true

    Raises:
        ParameterError: there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    json_: bool = Field(default=True, alias="json")

    @property
    def expression(self) -> str:
        return self.written(self._schema)

    def is_writable(self, missing: frozenset[int]) -> bool:
        return is_writable(self._schema, missing)

    @property
    def _schema(self) -> dict[str, Any]:
        return {"type": ["object", "array"]} if self.json_ else {}
