"""Types that pydantic knows, and what their schemas allow."""

from __future__ import annotations

import datetime
import enum
import uuid
from typing import Annotated, Any, Literal

from pydantic import AnyUrl, BaseModel, ConfigDict, Field

from decodekit_grammar.schemas import schema_of_type
from tests.plugins.grammar.samples.sample import Sample

__all__ = ["TYPES"]


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Part(BaseModel):
    id: uuid.UUID
    colour: Colour = Colour.RED
    level: Level | None = None


class Order(BaseModel):
    model_config = ConfigDict(title="An order", json_schema_extra={"examples": [{"when": "2024-01-01"}]})

    when: datetime.date
    at: datetime.time | None = None
    parts: Annotated[list[Part], Field(min_length=1, max_length=2, description="What is ordered.")]
    notes: dict[str, Annotated[str, Field(max_length=5)]] = {}


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(pattern="^[A-Z][a-z]+$")]
    friend: Pet | None = None


class Pet(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")
    open_: bool = Field(alias="open", default=False)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    n: int


_ID = "2eb8aa08-aa98-11ea-b4aa-73b441d16380"


def _of(given: Any, valid: list[Any], invalid: list[Any]) -> Sample:
    name = getattr(given, "__name__", str(given)) if isinstance(given, type) else str(given)
    return Sample(f"type {name}", schema_of_type(given), tuple(valid), tuple(invalid))


Dog.model_rebuild()
TYPES = [
    _of(Part, [{"id": _ID}, {"id": _ID, "colour": "blue", "level": 2}], [{"id": "x"}, {"id": _ID, "colour": "green"}]),
    _of(Order, [{"when": "2024-02-29", "parts": [{"id": _ID}]},
                {"when": "2024-01-01", "at": "10:00:00Z", "parts": [{"id": _ID}], "notes": {"a": "short"}}],
        [{"when": "2023-02-29", "parts": [{"id": _ID}]}, {"when": "2024-01-01", "parts": []},
         {"when": "2024-01-01", "parts": [{"id": _ID}], "notes": {"a": "too long"}}]),
    _of(Pet, [{"pet": {"kind": "cat", "lives": 9}}, {"pet": {"kind": "dog", "name": "Rex", "friend":
              {"pet": {"kind": "cat", "lives": 1}}}}],
        [{"pet": {"kind": "cat", "lives": 10}}, {"pet": {"kind": "dog", "name": "rex"}}]),
    _of(Tree, [{"label": "a"}, {"label": "a", "children": [{"label": "b", "children": []}]}], [{"children": []}]),
    _of(Aliased, [{"firstName": "A"}, {"firstName": "A", "open": True}], [{"first_name": "A"}]),
    _of(Open, [{"n": 1}, {"n": 1, "x": [None]}], [{"x": 1}]),
    _of(list[Colour], [[], ["red", "blue"]], [["green"], "red"]),
    _of(tuple[int, str, bool], [[1, "a", True]], [[1, "a"], [1, "a", True, 1]]),
    _of(tuple[int, ...], [[], [1, 2]], [["a"]]),
    _of(dict[str, list[int]], [{}, {"a": [1]}], [{"a": 1}]),
    _of(int | str | None, [1, "a", None], [1.5, []]),
    _of(Literal["a", 1, None], ["a", 1, None], ["b", 2]),
    _of(Annotated[float, Field(gt=0, le=1.5)], [0.5, 1.5], [0, 1.6]),
    _of(AnyUrl, ["https://example.com/a?b=c"], ["example", ""]),
    _of(datetime.datetime, ["2024-02-29T10:00:00Z"], ["2024-02-30T10:00:00Z"]),
]  # fmt: skip
