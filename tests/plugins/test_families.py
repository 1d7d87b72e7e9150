"""Phrases on tokenizers that put a space in front of texts: what is banned is not written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

import decodekit
from decodekit import Chain, Context, Session, processor
from decodekit.draw.context import TokenIds
from decodekit_llamacpp import LlamaCppAdapter
from decodekit_sampling.breakers import overlapping
from tests.families import gguf_file


@pytest.fixture(scope="module")
def adapter() -> Any:
    made = LlamaCppAdapter(model=str(gguf_file("legacy.gguf")), n_ctx=128, n_threads=1)
    yield made
    made.close()


def ids_of(adapter: Any, *pieces: bytes) -> list[int]:
    table = [adapter.tokenizer.token_bytes(i) for i in range(adapter.tokenizer.vocab_size)]
    return [table.index(piece) for piece in pieces]


def runs(adapter: Any, *processors: Any, **options: Any) -> list[decodekit.Result]:
    """A model that likes newlines and the word hi."""
    newline, hi = ids_of(adapter, b"\n", b"hi")
    push = processor("logit_bias", logit_bias={newline: 8.0, hi: 8.0})
    rows = Session(adapter, Chain([push, *processors]), seed=1).generate_many([[1, hi]], n=10, max_tokens=30, **options)
    return rows[0]


def test_bad_words_are_not_written(adapter: Any) -> None:
    for word in ("\n", "hi"):
        assert sum(run.text.count(word) for run in runs(adapter)) > 20
        assert not any(word in run.text for run in runs(adapter, processor("bad_words", bad_words=[word])))
        assert not any(
            word in run.text for run in runs(adapter, processor("sequence_bias", sequence_bias=[[word, False]]))
        )
        assert not any(word in run.text for run in runs(adapter, ban=[word]))


def test_a_stop_string_that_is_a_control_token_stops(adapter: Any) -> None:
    push = processor("logit_bias", logit_bias={ids_of(adapter, b"hi")[0]: 100.0})
    result = Session(adapter, Chain([push]), seed=1).generate("hi", max_tokens=5, stop=["<s>", "ihi"])
    assert (result.text, result.finish_reason) == ("h", "stop")
    push = processor("logit_bias", logit_bias={1: 100.0})
    result = Session(adapter, Chain([push]), seed=1).generate("hi", max_tokens=6, stop=["<s>"])
    assert (result.text, result.finish_reason, result.token_ids) == ("", "stop", (1,))


def test_a_thinking_block_ends_where_its_mark_stands(adapter: Any) -> None:
    tokenizer = adapter.tokenizer
    plugin = processor("thinking_budget", thinking_budget=5, start="[INST]", end="[/INST]")
    ids = tokenizer.encode("[INST] the cat")
    assert plugin.initial(Context(TokenIds([1, *ids]), TokenIds(), tokenizer)).phase == "inside"
    closed = tokenizer.encode("[INST] the [/INST] cat")
    assert plugin.initial(Context(TokenIds([1, *closed]), TokenIds(), tokenizer)).phase == "outside"
    needed = plugin.needs(Context(TokenIds([1]), TokenIds(), tokenizer)).ids
    assert tokenizer.decode(needed) == b"[/INST]"


def test_a_breaker_is_what_a_text_has(adapter: Any) -> None:
    found = overlapping(adapter.tokenizer, "a\nb")
    assert tuple(adapter.tokenizer.encode("a\nb")) in found
    assert {adapter.tokenizer.decode(sequence) for sequence in found} <= {b"a\nb", b" a\nb"}


def test_a_text_to_heal_is_written_as_it_is(adapter: Any) -> None:
    chain = Chain([processor("token_healing", token_healing=" hello the")])
    for run in Session(adapter, chain, seed=1).generate_many([[1]], n=5, max_tokens=12)[0]:
        assert run.text.startswith(" hello the")
