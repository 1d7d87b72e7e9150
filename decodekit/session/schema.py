"""The schema of a call: what its texts must be, and the value of a complete one."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from decodekit.chain import Chain
from decodekit.draw.context import Context
from decodekit.errors import ParameterError
from decodekit.plugin import registry

__all__ = ["Schema"]


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a call.

    Args:
        constraint: a processor that allows the texts, with ``parse(text)``. Where a part of a text alone is
            constrained, it has ``parts(context)``, the parts of a complete text, and ``value(parts)``.
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

    def parts(self, context: Context) -> tuple[str, ...] | None:
        """The constrained parts of a complete text, ``context.output_ids``; None where the constraint names none."""
        parts = getattr(self.constraint, "parts", None)
        return None if parts is None else tuple(parts(context))

    def value(self, text: str, parts: tuple[str, ...] | None = None) -> Any:
        """The value of a complete text, of which these are the constrained parts.

        Raises:
            ParameterError: a check that the type makes in code refuses the value, or Python cannot hold it.
        """
        try:
            if self.type is not None:
                return TypeAdapter(self.type).validate_json(text if parts is None else parts[0])
            return self.constraint.parse(text) if parts is None else self.constraint.value(parts)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the value"
            raise ParameterError(
                f"parsed: the text is valid by the JSON Schema, and the type refuses {place}: {first['msg']}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ParameterError(f"parsed: the text has no value in Python: {error}") from error
