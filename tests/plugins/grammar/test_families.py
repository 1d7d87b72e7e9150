"""Constrained texts on a small model of each family of tokenizers, through llama.cpp and torch."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import Any

import jsonschema
import pytest

pytest.importorskip("llguidance")
pytest.importorskip("llama_cpp")
pytest.importorskip("torch")

import decodekit
from decodekit import DecodekitError, Session, processor, verify
from tests.families import FOLDERS, GGUFS, folder, gguf_file

CHOICES = ["the cat sat", "hello, New York", " hi", "é [3]"]
REGEX = "(hi|hello) [0-9]{1,3}!"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"enum": ["cat", "the cat", "é"]}, "n": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name"],
    "additionalProperties": False,
}


def in_language(name: str, text: str) -> bool:
    if name == "choice":
        return text in CHOICES
    if name == "regex":
        return re.fullmatch(REGEX, text) is not None
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text))


def check(adapter: Any) -> None:
    with closing(adapter):
        for name, value in (("choice", CHOICES), ("regex", REGEX), ("json_schema", SCHEMA)):
            more = {"whitespace": "none"} if name == "json_schema" else {}
            for forcing in ("canonical", "free"):
                chain = [
                    processor(name, forcing=forcing, **{name: value}, **more),
                    processor("temperature", temperature=0.8),
                ]
                result = Session(adapter, chain, seed=3).generate("the cat", max_tokens=100)
                assert result.complete and in_language(name, result.text), result.text
                assert verify(result.trace).word == "proved"


def opened(name: str) -> Any:
    return decodekit.adapter("llamacpp", model=str(gguf_file(name)), n_ctx=256, n_threads=1)


WITHOUT_END = "end-of-text token"  # BERT's vocabulary names none


@pytest.mark.parametrize("name", list(GGUFS))
def test_in_a_file(name: str) -> None:
    if name == "word pieces.gguf":
        with pytest.raises(DecodekitError, match=WITHOUT_END):
            check(opened(name))
    else:
        check(opened(name))


@pytest.mark.parametrize("name", list(FOLDERS))
def test_in_a_folder(name: str) -> None:
    adapter = decodekit.adapter("torch", model=str(folder(name)), device="cpu")
    if name == "word pieces":
        with pytest.raises(DecodekitError, match=WITHOUT_END):
            check(adapter)
    else:
        check(adapter)


def test_a_letter_that_the_vocabulary_cannot_write_is_an_error() -> None:
    with closing(opened("no bytes.gguf")) as adapter:
        for text in ("ab漢", "<"):
            with pytest.raises(DecodekitError, match="token of this vocabulary"):
                Session(adapter, [processor("choice", choice=[text])], seed=1).generate("the cat", max_tokens=9)


@pytest.mark.parametrize("closed", [0, 1])
def test_two_models_with_the_same_tokens_do_not_depend_on_each_other(closed: int) -> None:
    both = [opened("legacy.gguf"), opened("legacy.gguf")]
    parts = [[processor("choice", choice=[f"the cat sat on {n}"])] for n in range(2)]
    for adapter in both:
        assert Session(adapter, parts[0], seed=1).generate("the", max_tokens=30).complete
    both[closed].close()
    with closing(both[1 - closed]) as left:
        assert Session(left, parts[1], seed=1).generate("the", max_tokens=30).complete
