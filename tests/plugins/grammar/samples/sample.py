"""What a sample is."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sample(NamedTuple):
    """A schema, and documents with their keys in its order.

    Args:
        name: of the sample.
        schema: a JSON Schema.
        valid: documents that satisfy it.
        invalid: documents that do not.
    """

    name: str
    schema: dict[str, Any]
    valid: tuple[Any, ...]
    invalid: tuple[Any, ...]


def obj(required: str = "", /, **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others; all are required unless some are named, ``-`` names none."""
    names = list(properties) if not required else [] if required == "-" else required.split()
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def arr(items: Any, **more: Any) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": items, **more}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


STR, INT, NUM, BOOL, NULL = ({"type": name} for name in ("string", "integer", "number", "boolean", "null"))
