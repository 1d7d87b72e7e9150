"""Every field again, inside of one of the forms that applications put fields in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.plugins.grammar.samples.fields import FIELDS
from tests.plugins.grammar.samples.sample import NULL, STR, Sample, arr, obj, ref

__all__ = ["BUILT"]

Wrap = Callable[[Any], Any]


def _call(schema: Any) -> dict[str, Any]:
    """A call of a tool, as OpenAI's format has it."""
    return obj(name={"const": "set_value"}, arguments=obj(value=schema, why=STR))


def _extraction(schema: Any) -> dict[str, Any]:
    return obj(items=arr(obj("text", text=STR, value=schema), minItems=1))


def _referred(schema: Any) -> dict[str, Any]:
    """As pydantic writes it: every part is a definition."""
    return {"$defs": {"Value": schema, "Box": obj(value=ref("Value"))}, **obj(box=ref("Box"), again=ref("Value"))}


def _optional(schema: Any) -> dict[str, Any]:
    return obj("id", id={"enum": [1, 2]}, value={"anyOf": [schema, NULL], "default": None})


def _tree(schema: Any) -> dict[str, Any]:
    node = obj(value=schema, children=arr(ref("Node")))
    return {"$defs": {"Node": node}, **ref("Node")}


def _deep(schema: Any) -> dict[str, Any]:
    for key in ("d", "c", "ключ", "a"):
        schema = obj(**{key: schema})
    return dict(schema)


# The schema, documents that are valid with a valid value, and documents that are not.
WRAPS: dict[str, tuple[Wrap, list[Wrap], list[Wrap]]] = {
    "call": (_call, [lambda v: {"name": "set_value", "arguments": {"value": v, "why": "so"}}],
             [lambda v: {"name": "set", "arguments": {"value": v, "why": ""}}]),
    "extraction": (_extraction, [lambda v: {"items": [{"text": "a"}, {"text": "", "value": v}]}],
                   [lambda _: {"items": []}, lambda v: {"items": [{"value": v}]}]),
    "referred": (_referred, [lambda v: {"box": {"value": v}, "again": v}], [lambda v: {"box": {}, "again": v}]),
    "optional": (_optional, [lambda v: {"id": 1, "value": v}, lambda _: {"id": 2}],
                 [lambda v: {"value": v}, lambda v: {"id": 3, "value": v}]),
    "tree": (_tree, [lambda v: {"value": v, "children": [{"value": v, "children": []}]}],
             [lambda v: {"value": v}, lambda v: {"value": v, "children": [{}]}]),
    "deep": (_deep, [lambda v: {"a": {"ключ": {"c": {"d": v}}}}], [lambda v: {"a": {"ключ": {"c": v}, "more": 1}}]),
}  # fmt: skip


def _wrapped(field: Sample, name: str) -> Sample:
    wrap, documents, wrong = WRAPS[name]
    value = field.valid[0]
    valid = [document(each) for document in documents for each in field.valid[:2]]
    invalid = [document(value) for document in wrong]
    if name != "optional":
        invalid += [documents[0](each) for each in field.invalid[:2]]
    return Sample(f"{field.name}, {name}", wrap(field.schema), tuple(valid), tuple(invalid))


BUILT = [
    _wrapped(field, name)
    for at, field in enumerate(FIELDS)
    for name in (list(WRAPS)[at % len(WRAPS)], list(WRAPS)[(at + 1 + at // len(WRAPS) % 5) % len(WRAPS)])
]
