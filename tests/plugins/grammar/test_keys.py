"""No key passes by the schema of its name by being written with escapes, or twice."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import Context, processor
from decodekit.draw.context import TokenIds
from decodekit.testing.tokenizers import BytesTokenizer

WHOLE = {"type": "integer"}
TEXT = {"type": "string"}


def allowed(schema: dict[str, Any], text: str) -> bool:
    """Whether the masks allow a text to its end."""
    part = processor("json_schema", json_schema=schema, forcing="free")
    place = part.initial(Context(TokenIds([0]), TokenIds(), BytesTokenizer()))
    for token in text.encode():
        if not place.mask[token]:
            return False
        place = place.after(token)
    return bool(place.mask[256])


@pytest.mark.parametrize(
    ("schema", "fine", "wrong"),
    [
        ({"properties": {"a": WHOLE}}, ['{"a":1,"b":"x"}', '{"é":2}'], ['{"\\u0061":"x"}', '{"b":1,"\\u0061":"x"}']),
        (
            {"properties": {"ab": WHOLE, "a": WHOLE, "": WHOLE}, "additionalProperties": TEXT},
            ['{"ab":1,"a":2}', '{"":3,"b":"x","abc":"y","ac":"z"}'],
            ['{"b":1}', '{"ab":"x"}', '{"a":"x"}', '{"":"x"}', '{"\\u0061b":"x"}', '{"b\\n":"x"}'],
        ),
        ({"properties": {"a": WHOLE}, "required": ["b"]}, ['{"b":"x"}', '{"a":1,"b":2}'], ['{"a":1}', '{"\\u0062":1}']),
        (
            {"allOf": [{"properties": {"a": WHOLE}}, {"properties": {"b": WHOLE}}]},
            ['{"a":1,"b":2,"c":"x"}'],
            ['{"a":1,"b":"x"}', '{"\\u0061":"x"}'],
        ),
        (
            {"properties": {"a]^-\\": WHOLE}, "additionalProperties": TEXT},
            ['{"a]^-\\\\":1,"a":"x","]":"y"}'],
            ['{"a]^-\\\\":"x"}', '{"a":1}'],
        ),
    ],
)
def test_keys(schema: dict[str, Any], fine: list[str], wrong: list[str]) -> None:
    assert [text for text in fine if not allowed({"type": "object", **schema}, text)] == []
    assert [text for text in wrong if allowed({"type": "object", **schema}, text)] == []
