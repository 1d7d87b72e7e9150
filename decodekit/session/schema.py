"""The schema of a call: what its texts must be, and the value of a complete one."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from decodekit.chain import Chain
from decodekit.errors import ParameterError
from decodekit.plugin import registry
from decodekit.text.tokenizer import Tokenizer

__all__ = ["Schema"]


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a call.

    Args:
        constraint: a processor that allows the texts, with ``parse(text)``; it may have ``constrained(text)``, which
            is the part of a text that it is for.
        type: what the value of a text is made into; None for the value that ``parse`` returns.
    """

    constraint: Any
    type: Any = None

    @classmethod
    def of(cls, given: Any) -> Schema:
        """The schema that a caller gave: a JSON Schema, a pydantic model or another type, or a built constraint.

        Raises:
            ParameterError: it is none of these, or has no JSON Schema.
            UnknownPlugin: no installed distribution has the processor ``json_schema``.
        """
        if isinstance(given, Schema):
            return given
        if isinstance(given, Mapping):
            return cls(registry.processor("json_schema", json_schema=dict(given)))
        if not isinstance(given, type) and callable(given) and callable(getattr(given, "parse", None)):
            return cls(given)
        kinds = (type, types.GenericAlias, types.UnionType)
        if not isinstance(given, kinds) and typing.get_origin(given) is None:
            raise ParameterError(
                f"schema is a JSON Schema (a dict), a pydantic model, a type or a constraint, not {given!r}; for one "
                "of some texts: schema=processor('choice', choice=[...])"
            )
        return cls(registry.processor("json_schema", json_schema=given), given)

    def before(self, chain: Chain) -> Chain:
        """The chain with the constraint in front: what it cuts off is measured on the model's own distribution."""
        joined = Chain([self.constraint, *chain.processors], chain.sampler)
        joined.notes = chain.notes
        return joined

    def value(self, text: str, token_ids: Sequence[int] = (), tokenizer: Tokenizer | None = None) -> Any:
        """The value of a complete text. The ids and the tokenizer tell of marks that are control tokens.

        Raises:
            ParameterError: a check that the type makes in code refuses the value.
        """
        marked = getattr(self.constraint, "marked", None)
        if marked is not None and self.constraint.marks and tokenizer is not None:
            text = marked(token_ids, tokenizer)
        if self.type is None:
            return self.constraint.parse(text)
        part: Callable[[str], str] = getattr(self.constraint, "constrained", str)
        try:
            return TypeAdapter(self.type).validate_json(part(text))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the value"
            raise ParameterError(
                f"parsed: the text is valid by the JSON Schema, and the type refuses {place}: {first['msg']}"
            ) from error
