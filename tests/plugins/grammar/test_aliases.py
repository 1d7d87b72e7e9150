"""Fields that have another name in a text: what the type reads is what its schema asks for, or the type is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from tests.plugins.grammar.models import accepts


class Path(BaseModel):
    z: int = Field(validation_alias=AliasPath("z", 0))


class Paths(BaseModel):
    z: int = Field(validation_alias=AliasChoices(AliasPath("z", 0), AliasPath("y", "a")))


class Holder(BaseModel):
    held: list[Path] | None = None


@dataclass
class Data:
    z: int = Field(validation_alias=AliasPath("z", 0))


class NameOnly(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    x: int = Field(alias="y")


class OneName(BaseModel):
    z: int = Field(validation_alias=AliasChoices(AliasPath("z", 0), "q", "r"))


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True)
    z: int = Field(validation_alias=AliasPath("k", 0))


class Aliased(BaseModel):
    z: int = Field(alias="Z-1", serialization_alias="other")


@pytest.mark.parametrize("kind", [Path, Paths, Holder, Data, dict[str, Path], NameOnly])
def test_a_type_of_which_no_text_would_be_a_value_is_refused(kind: Any) -> None:
    with pytest.raises(ParameterError, match=r"the field '[xz]' of (Path|Paths|Data|NameOnly) is read"):
        processor("json_schema", json_schema=kind)


@pytest.mark.parametrize(("kind", "text"), [(OneName, '{"q":1}'), (ByName, '{"z":1}'), (Aliased, '{"Z-1":1}')])
def test_a_field_is_asked_for_under_the_name_by_which_it_is_read(kind: Any, text: str) -> None:
    assert accepts(processor("json_schema", json_schema=kind, whitespace="none", forcing="free"), text)
    assert TypeAdapter(kind).validate_json(text).z == 1
