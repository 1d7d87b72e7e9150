"""Two hundred schemas: what jsonschema finds valid is allowed in the order of the schema, and nothing else is."""

from __future__ import annotations

import datetime
import json
from typing import Any

import jsonschema
import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from tests.plugins.grammar.models import accepts
from tests.plugins.grammar.samples import REFUSED, SAMPLES, Sample

FORMATS = jsonschema.FormatChecker(["date", "email", "ipv4", "ipv6", "uuid"])


@FORMATS.checks("date-time", raises=ValueError)
def _moment(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and bool(datetime.datetime.fromisoformat(value)))


@FORMATS.checks("time", raises=ValueError)
def _time(value: object) -> bool:
    return not isinstance(value, str) or datetime.time.fromisoformat(value).tzinfo is not None


@FORMATS.checks("uri")
def _uri(value: object) -> bool:
    return not isinstance(value, str) or len(value.partition("://")[2]) > 0


def validator_of(schema: Any) -> Any:
    """jsonschema's validator, with formats."""
    found = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    found.check_schema(schema)
    return found(schema, format_checker=FORMATS)


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_there_are_two_hundred() -> None:
    assert len(SAMPLES) >= 200 and len({sample.name for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample(sample: Sample) -> None:
    oracle = validator_of(sample.schema)
    part = processor("json_schema", json_schema=sample.schema, forcing="free")
    for document in sample.valid:
        assert oracle.is_valid(document) and accepts(part, written(document)), written(document)
        assert accepts(part, json.dumps(document, ensure_ascii=False, indent=2)), written(document)
    for document in sample.invalid:
        assert not oracle.is_valid(document) and not accepts(part, written(document)), written(document)
    for begun in (written(document)[:-1] for document in sample.valid):
        assert not begun or not accepts(part, begun) or oracle.is_valid(json.loads(begun)), begun


@pytest.mark.parametrize(("schema", "word", "place"), REFUSED, ids=[f"{word} {place}" for _, word, place in REFUSED])
def test_what_is_refused_is_named(schema: dict[str, Any], word: str, place: str) -> None:
    with pytest.raises(ParameterError) as caught:
        processor("json_schema", json_schema=schema)
    assert f"at {place}: " in str(caught.value) and word in str(caught.value)
