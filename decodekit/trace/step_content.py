"""The content of a step as bytes, without plain data in between.

A serializer that knows the types reads the objects of a step directly. It writes what `encode_step` and `to_line`
write, except for infinities, which are strings in the format: such a step goes through those two.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import SchemaSerializer, core_schema

from decodekit.chain import Entry
from decodekit.draw.choice import Choice
from decodekit.trace.codec import encode_optional, encode_step, may_hold_infinities, to_line
from decodekit.trace.step import Step
from decodekit.trace.summary import RawSummary

__all__ = ["content_of"]


def content_of(step: Step) -> bytes:
    """The content of a step's line. Raises `ValueError` for NaN, and for text that is not Unicode."""
    content = {
        "stream": step.stream,
        "step": step.index,
        "token": step.token_id,
        "text": step.text,
        "raw": step.raw,
        "entries": step.entries,
        "choice": step.choice,
        **encode_optional(step),
    }
    line = _WRITE(content, warnings=False, exclude_defaults=True)
    return to_line(encode_step(step)) if may_hold_infinities(line) else line


def _object(kind: type, fields: dict[str, Any], left_out: dict[str, Any] | None = None) -> Any:
    """These fields of an object, in this order; those of ``left_out`` only if they have another value than there."""
    optional = {name: core_schema.with_default_schema(_ANY, default=value) for name, value in (left_out or {}).items()}
    named = [core_schema.dataclass_field(name, field) for name, field in (fields | optional).items()]
    schema = core_schema.dataclass_args_schema(kind.__name__, named)
    return core_schema.dataclass_schema(kind, schema, [*fields, *optional], slots=True, config=_AS_CONSTANTS)


_AS_CONSTANTS = core_schema.CoreConfig(ser_json_inf_nan="constants")  # as `to_json`, to be found and written again
# The types make it fast, no more: a value of another type is written as that type.
_INT, _FLOAT, _TEXT, _ANY = (getattr(core_schema, f"{name}_schema")() for name in ("int", "float", "str", "any"))
_INT_OR_NONE, _FLOAT_OR_NONE = core_schema.nullable_schema(_INT), core_schema.nullable_schema(_FLOAT)
_TOP = core_schema.tuple_schema([core_schema.tuple_schema([_INT, _FLOAT])], variadic_item_index=0)
_RAW = _object(
    RawSummary,
    {
        "disclosed": _INT,
        "support": _INT_OR_NONE,
        "entropy": _FLOAT_OR_NONE,
        "log_normalizer": _FLOAT_OR_NONE,
        "origin": _TEXT,
        "stage": _TEXT,
        "temperature": _FLOAT,
        "tail": _ANY,
        "top": _TOP,
    },
)
_ENTRY = _object(
    Entry,
    {
        "name": _TEXT,
        "support": _INT_OR_NONE,
        "entropy": _FLOAT_OR_NONE,
        "kl": _FLOAT_OR_NONE,
        "mass_removed": _FLOAT_OR_NONE,
        "chosen": _FLOAT_OR_NONE,
        "top": _TOP,
    },
    {"kept_mass": None, "kept_bounds": None, "ambiguous": False, "tail": None, "gave_up": None, "tosses": ()},
)
_CHOICE = _object(
    Choice,
    {
        "logprob": _FLOAT_OR_NONE,
        "raw_logprob": _FLOAT_OR_NONE,
        "rank": _INT_OR_NONE,
        "score": _FLOAT,
        "margin": _FLOAT,
        "runner_up": _INT_OR_NONE,
    },
)
_FIELDS = {
    "stream": _INT,
    "step": _INT,
    "token": _INT,
    "text": _TEXT,
    "raw": _RAW,
    "entries": core_schema.tuple_schema([_ENTRY], variadic_item_index=0),
    "choice": _CHOICE,
    **dict.fromkeys(("draw", "schedule", "final", "row", "complete", "asked", "abandoned"), _ANY),
}
_STEP = core_schema.typed_dict_schema(
    {name: core_schema.typed_dict_field(field, required=False) for name, field in _FIELDS.items()},
    config=_AS_CONSTANTS,
)
_WRITE = SchemaSerializer(_STEP, _AS_CONSTANTS).to_json
