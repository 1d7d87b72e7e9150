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
from tests.adapters.torch.models import tiny
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


@pytest.mark.parametrize("kind", ["Mixtral", "Mistral", "Gemma3"])
def test_experts_and_windows(kind: str) -> None:
    """The tokens, and so the law, are the same with guesses of forced text and without, where a cache is cut back."""
    import transformers

    fast = transformers.AutoTokenizer.from_pretrained(folder("tiktoken"))
    model = tiny(kind, vocab_size=len(fast))
    ids = []
    for guesser in (None, "none"):
        with closing(decodekit.adapter("torch", model=model, tokenizer=fast, device="cpu")) as adapter:
            session = Session(adapter, [processor("json_schema", json_schema=SCHEMA)], seed=3, guesser=guesser)
            ids.append(session.generate("the cat", max_tokens=100).token_ids)
    assert ids[0] == ids[1]
    check(decodekit.adapter("torch", model=model, tokenizer=fast, device="cpu"))


def test_a_state() -> None:
    """Without a cache every prefix is evaluated from its start, which takes long."""
    import transformers

    fast = transformers.AutoTokenizer.from_pretrained(folder("tiktoken"))
    model = tiny("Mamba", vocab_size=len(fast))
    with closing(decodekit.adapter("torch", model=model, tokenizer=fast, device="cpu")) as adapter:
        for part in (processor("choice", choice=CHOICES), processor("regex", regex=REGEX)):
            result = Session(adapter, [part], seed=3).generate("the", max_tokens=20)
            assert result.complete and verify(result.trace).word == "proved"


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
