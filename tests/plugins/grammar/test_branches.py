"""oneOf is taken where it is certain that no value satisfies two branches."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from tests.plugins.grammar.models import accepts


def constraint(schema: Any) -> Any:
    return processor("json_schema", json_schema=schema, forcing="free", whitespace="none")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Home(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


def test_a_union_with_a_discriminator() -> None:
    part = constraint(Home)
    assert accepts(part, '{"pet":{"kind":"cat","lives":9}}') and accepts(part, '{"pet":{"kind":"dog","name":"Rex"}}')
    assert not accepts(part, '{"pet":{"kind":"dog","lives":9}}')


class Bird(BaseModel):
    kind: Literal["bird"] = "bird"
    wings: int = 2


class Fish(BaseModel):
    kind: Literal["fish"] = "fish"
    friend: Water | None = None  # a branch that refers to its union


Water = Annotated[Bird | Fish, Field(discriminator="kind")]


class Pond(BaseModel):
    animals: list[Water]


def test_a_tag_with_a_default_is_written() -> None:
    part = constraint(Pond)
    assert accepts(part, '{"animals":[{"kind":"fish","friend":{"kind":"bird"}},{"kind":"bird","wings":3}]}')
    assert not accepts(part, '{"animals":[{"wings":3}]}') and not accepts(
        part, '{"animals":[{"kind":"fish","wings":3}]}'
    )


class Code(IntEnum):
    a = 1
    b = 2


class First(BaseModel):
    code: Literal[Code.a]


class Second(BaseModel):
    code: Literal[2]
    more: bool


def test_tags_may_be_numbers() -> None:
    part = constraint(Annotated[First | Second, Field(discriminator="code")])
    assert accepts(part, '{"code":1}') and accepts(part, '{"code":2,"more":true}') and not accepts(part, '{"code":2}')


def tagged(value: Any, key: str = "k") -> dict[str, Any]:
    return {"type": "object", "properties": {key: value}, "required": [key]}


@pytest.mark.parametrize(
    ("schema", "fine", "wrong"),
    [
        ({"oneOf": [{"const": 1}, {"const": 2}]}, ["1", "2"], ["3"]),
        ({"type": "integer", "oneOf": [{"enum": [1, 3]}, {"enum": [2]}]}, ["1", "2", "3"], ["4"]),
        ({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4}]}, ["3", "4"], ["null"]),
        (
            {"oneOf": [{"type": "number", "exclusiveMaximum": 3}, {"type": "number", "minimum": 3}]},
            ["2.5", "3"],
            ["null"],
        ),
        ({"oneOf": [tagged({"const": 1}), tagged({"const": 2})]}, ['{"k":1}', '{"k":2}'], ['{"k":3}', "{}"]),
        ({"oneOf": [tagged(tagged({"const": 1})), tagged(tagged({"const": 2}))]}, ['{"k":{"k":2}}'], ['{"k":2}']),
        (
            {
                "oneOf": [{"$ref": "#/$defs/a"}, {"anyOf": [{"const": 1}, {"type": "null"}]}],
                "$defs": {"a": {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 9}]}},
            },
            ["null", "1", "2"],
            ["0"],
        ),
    ],
)
def test_branches_that_exclude_each_other(schema: dict[str, Any], fine: list[str], wrong: list[str]) -> None:
    part = constraint(schema)
    assert [text for text in fine if not accepts(part, text)] == []
    assert [text for text in wrong if accepts(part, text)] == []


@pytest.mark.parametrize(
    "branches",
    [
        [{"const": 1}, {"const": 1.0}],
        [{"const": {"a": 1}}, {"const": {"a": 1.0}}],
        [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 3}],
        [{"type": "number"}, {"const": 2}],
        [{"maximum": 3}, {"minimum": 4}],  # a text satisfies both
        [tagged({"const": 1}), {"type": "object", "properties": {"k": {"const": 2}}}],
        [tagged({"const": 1}, "a"), tagged({"const": 2}, "b")],
        [
            {"properties": {"k": {"const": 1}}, "required": ["k"]},
            {"properties": {"k": {"const": 2}}, "required": ["k"]},
        ],
    ],
)
def test_branches_that_a_value_may_share(branches: list[Any]) -> None:
    with pytest.raises(ParameterError, match=r"at /items: one value may satisfy two branches of oneOf.* or use anyOf"):
        constraint({"items": {"oneOf": branches}})


def test_a_reference_of_another_document_is_not_looked_up_in_this_one() -> None:
    inner = {
        "$id": "https://example.org/inner",
        "$defs": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
    }
    outer = {"$defs": {"a": {"type": "integer"}, "b": {"type": "string"}}, "items": inner}
    with pytest.raises(ParameterError):
        constraint(outer)
