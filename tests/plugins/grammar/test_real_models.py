"""SmolLM2 under schemas: every finished text is valid, forced guesses change no token, and every step verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

pytest.importorskip("llguidance")
pytest.importorskip("llama_cpp")

import decodekit
from decodekit import Chain, Session, processor, verify
from tests.plugins.grammar.samples import SAMPLES, Sample
from tests.plugins.grammar.test_samples import validator_of

pytestmark = pytest.mark.real_model

PROMPT = "As JSON, an example of this: "
CLOSED = [s for s in SAMPLES if s.invalid and not s.name.startswith(("any", "array of", "map", "open", "long"))]
THIRTY = CLOSED[:: len(CLOSED) // 30][:30]
TEMPERATURES = (0.0, 0.3, 0.7, 1.0, 1.5)
SHORT = [s for s in SAMPLES if s.name in ("negative range", "enum with quotes", "string of a length")]


@pytest.fixture(scope="module", params=["llamacpp", pytest.param("torch", marks=pytest.mark.slow)])
def adapter(request: Any) -> Iterator[Any]:
    if request.param == "torch":
        pytest.importorskip("torch")
    more = {"n_threads": 1} if request.param == "llamacpp" else {}
    with closing(decodekit.adapter(request.param, model="smollm2", n_ctx=512, **more)) as built:
        yield built


def apart(part: Any, temperature: Any) -> Chain:
    """The chain without forced guesses."""
    chain = Chain([part, temperature])
    chain._forcing = []
    return chain


def generated(adapter: Any, sample: Sample, temperature: float, forcing: str, seed: int, most: int) -> bool:
    """Generate and check one text; whether it came to its end."""
    part, warm = (
        processor("json_schema", json_schema=sample.schema, forcing=forcing),
        processor("temperature", temperature=temperature),
    )
    result = Session(adapter, [warm], seed=seed).generate(PROMPT, schema=part, max_tokens=most)
    if result.complete:
        value = json.loads(result.text)
        assert validator_of(sample.schema).is_valid(value) and result.parsed == value, result.text
    else:
        assert result.finish_reason == "length" and result.parsed is None
    assert verify(result.trace).word == "proved"
    again = Session(adapter, apart(part, warm), seed=seed).generate(PROMPT, max_tokens=most)
    assert again.token_ids == result.token_ids
    return result.complete


@pytest.mark.parametrize("sample", SHORT, ids=lambda sample: sample.name)
def test_a_few(adapter: Any, sample: Sample) -> None:
    for temperature, forcing in ((0.0, "canonical"), (0.7, "free"), (1.5, "canonical")):
        generated(adapter, sample, temperature, forcing, 7, 10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sample", THIRTY, ids=lambda sample: sample.name)
def test_thirty_schemas(adapter: Any, sample: Sample) -> None:
    """300 texts on each backend: five temperatures, both kinds of forcing."""
    ended = [
        generated(adapter, sample, temperature, forcing, seed, 160)
        for seed, temperature in enumerate(TEMPERATURES)
        for forcing in ("canonical", "free")
    ]
    assert any(ended) or sample.name.endswith(("tree", "deep"))  # which this model has grow without end
