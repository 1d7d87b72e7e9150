"""Constraints: one step against the bare engine, a JSON text with and without forced guesses, and other engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llguidance import LLMatcher

import decodekit
from decodekit import Chain, Context, Distribution, Session, processor
from decodekit.draw.context import TokenIds
from decodekit.testing.tokenizers import PiecesTokenizer
from decodekit_grammar.vocabulary import vocabulary_of

from .timing import Ratio, paired

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "description": {"type": "string", "maxLength": 80},
        "category": {"enum": ["animal", "vegetable", "mineral"]},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "available_in_winter": {"type": "boolean"},
        "manufacturer_address": {
            "type": "object",
            "properties": {"street": {"type": "string", "maxLength": 30}, "city": {"type": "string", "maxLength": 20}},
            "required": ["street", "city"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "description", "category", "rating", "available_in_winter", "manufacturer_address"],
    "additionalProperties": False,
}
PROMPT = "A product of our shop as JSON: "
PLACES = {"inside a string": '{"name": "Bob', "between": '{"name": "Bob"'}


def repeated(tokenizer: Any, size: int) -> Any:
    """The tokens of a model, repeated to a larger vocabulary with a letter before each copy."""
    pieces = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    grown = list(pieces)
    for letter in (b"z", b"q", b"x"):
        grown += [letter + piece if piece else None for piece in pieces]
    return PiecesTokenizer(grown[:size], eos_ids=sorted(tokenizer.eos_ids))


def steps(tokenizer: Any, text: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """One constrained step: processor and state after it; and the bare engine's mask, NumPy's where, and its step."""
    part = processor("json_schema", json_schema=SCHEMA)
    vocabulary, size = vocabulary_of(tokenizer), tokenizer.vocab_size
    scores = np.random.default_rng(0).normal(0, 3, size).astype(np.float32)
    dist = Distribution.dense(scores)
    ids = tokenizer.encode(text)
    ctx = Context(TokenIds([0]), TokenIds(ids), tokenizer)
    before = part.initial(Context(TokenIds([0]), TokenIds(ids[:-1]), tokenizer))
    choice = decodekit.Choice(ids[-1], 0.0)
    native = LLMatcher(vocabulary.native, part.grammar())
    for token in ids[:-1]:
        native.consume_token(token)

    def ours() -> object:
        return part(dist, ctx, part.advance(before, choice, ctx)).support_size

    def bare() -> object:
        copy = native.deep_copy()
        copy.consume_token(ids[-1])
        bits = np.frombuffer(copy.compute_bitmask(), dtype=np.uint8)
        mask = np.unpackbits(bits, count=size, bitorder="little").astype(bool)
        return np.count_nonzero(np.where(mask, scores, -np.inf) > -np.inf)

    assert ours() == bare()
    return ours, bare


def whole_texts(adapter: Any) -> Iterator[Ratio]:
    chain = Chain([processor("json_schema", json_schema=SCHEMA), processor("temperature", temperature=0.7)])
    apart = Chain([*chain.processors])
    apart._forcing = []  # the same texts without forced guesses
    session = Session(adapter, seed=5)

    def run(how: Chain) -> Callable[[], object]:
        return lambda: session.generate(PROMPT, chain=how, max_tokens=300).token_ids

    assert run(chain)() == run(apart)()
    yield paired("a JSON text, forced tokens as guesses", "without", run(chain), run(apart), rounds=5, goal=1.3)
    yield from against_llama_cpp(run(chain))


def against_llama_cpp(ours: Callable[[], object]) -> Iterator[Ratio]:
    """llama.cpp's own grammar sampler; the times are for each token, since the texts differ."""
    import llama_cpp

    from decodekit.local.model_files import find_model

    model = llama_cpp.Llama(str(find_model("smollm2")), n_ctx=1024, n_threads=1, verbose=False, seed=5)
    grammar = llama_cpp.LlamaGrammar.from_json_schema(json.dumps(SCHEMA), verbose=False)

    def theirs() -> object:
        return model.create_completion(PROMPT, max_tokens=300, temperature=0.7, grammar=grammar)

    yield paired("a JSON text, each side's own", "llama.cpp's grammar sampler", ours, theirs, rounds=3, goal=1.5)


def first_token(tokenizer: Any) -> str:
    import time

    started = time.perf_counter()
    part = processor("json_schema", json_schema=SCHEMA)
    place = part.initial(Context(TokenIds([0]), TokenIds(), tokenizer))
    assert place.mask.any()
    return f"first mask with a new vocabulary of {tokenizer.vocab_size}: {time.perf_counter() - started:.2f} s"


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    adapter = decodekit.adapter("llamacpp", model="smollm2", n_threads=1)
    large = repeated(adapter.tokenizer, 151_936)
    print(first_token(large))
    for tokenizer in (adapter.tokenizer, large):
        for place, text in PLACES.items():
            ours, bare = steps(tokenizer, text)
            name = f"a constrained step {place}, V={tokenizer.vocab_size:,}"
            yield paired(name, "the bare engine and NumPy", ours, bare, rounds=50, goal=0.5)
    yield from whole_texts(adapter)
    adapter.close()
