"""llama-cpp-python's server takes and lists texts: with a tokenizer, its tokens are those of the model in process.

With -m real_server also the whole table of docs/remote.md.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("fastapi")
pytest.importorskip("starlette_context")

import decodekit
from decodekit import Distribution, Prefix, Session, Undisclosed
from decodekit.distribution.disclosure import Disclosure
from tests.adapters.llamacpp.bare_loop import model_path
from tests.adapters.remote.real import llama_cpp_python
from tests.adapters.remote.test_real_llama_cpp_python import ROUNDING, remote

CHAINS = {"temperature=0.8 top_p=0.95": 3, "top_k=40": 4, "min_p=0.1": 6, "temperature=0": 8}
FEW = ["The capital of France is", "Water is made of", "def fibonacci(n):"]
MANY = [
    *FEW,
    "Once upon a time",
    "The best way to learn a language is",
    "In 1969, the first man",
    "Dear Sir or Madam,",
    "The sun rises in",
    "My favourite recipe is",
    "Question: What is 2+2?\nAnswer:",
    "She opened the door and",
    "The history of Rome begins",
    "import numpy as np\n",
    "A good teacher",
    "The three primary colours are",
    "To be or not to be,",
    "Yesterday I went to",
    "The price of gold",
    "Machine learning is",
    "Hello, my name is",
]


def tokens_of(adapter: Any, chain: str, prompt: str, tokens: int) -> list[int]:
    with Session(adapter, chain, seed=7) as session:
        return [int(token) for token in session.generate(prompt, max_tokens=tokens).token_ids]


@pytest.mark.real_model
@pytest.mark.parametrize("chain", CHAINS)
def test_its_tokens_are_those_of_the_model_in_process(python_server: str, in_process: Any, chain: str) -> None:
    for prompt in FEW[:2]:
        there = tokens_of(remote(python_server), chain, prompt, CHAINS[chain])
        assert there == tokens_of(in_process, chain, prompt, CHAINS[chain]), prompt


@pytest.mark.real_model
@pytest.mark.parametrize("text", ["What is 2+2? It is 4.", "She said:", "1 + 1 ="])
def test_every_token_of_a_list_has_its_id(python_server: str, in_process: Any, text: str) -> None:
    """Ends of text, spaces, and spaces with a part of a character are in these lists."""
    adapter = remote(python_server, draft=1)
    with Session(adapter) as session:
        prefix = Prefix(in_process.tokenizer.encode(text))
        (there,), (here,) = session.adapter.predict([prefix], Disclosure(40)), in_process.predict([prefix])
        assert isinstance(there, Distribution) and isinstance(here, Distribution)
        ids, values = here.leading(40)
        assert there.leading(40)[0].tolist() == ids.tolist()
        assert max(abs(there.logprob(int(i)) - v) for i, v in zip(ids, values, strict=True)) < 2 * ROUNDING


@pytest.mark.real_model
@pytest.mark.parametrize("tail", [b"\n|\n", b"\n|\n|Th|e"], ids=repr)
def test_a_prefix_that_no_text_gives_is_continued(python_server: str, in_process: Any, tail: bytes) -> None:
    """Line ends that a tokenizer would join, and words in parts."""
    by_bytes = {in_process.tokenizer.token_bytes(token): token for token in range(in_process.tokenizer.vocab_size)}
    ids = [by_bytes[piece] for piece in tail.split(b"|")]
    prefix = Prefix([*in_process.tokenizer.encode("Yes."), *ids])
    with Session(remote(python_server, draft=1)) as session:
        (there,), (here,) = session.adapter.predict([prefix]), in_process.predict([prefix])
        assert isinstance(there, Distribution) and isinstance(here, Distribution), there
        assert "retokenised_as" not in there.schedule
        leading = there.leading(5)[0]
        assert max(abs(there.logprob(int(i)) - here.logprob(int(i))) for i in leading) < 0.05


@pytest.mark.real_model
def test_without_a_tokenizer_what_is_assumed_is_recorded_and_can_be_switched_off(python_server: str) -> None:
    chain = "top_k=40"
    with Session(decodekit.adapter("remote", base_url=python_server), chain, seed=7) as session:
        steps = session.generate(FEW[0], max_tokens=6).trace.steps
    assert all("is the end of a text" in step.schedule["assumed"] for step in steps)
    adapter = decodekit.adapter("remote", base_url=python_server, same_text="error")
    with Session(adapter, chain, seed=7) as session, pytest.raises(Undisclosed, match="by their text"):
        session.generate(FEW[0], max_tokens=6)


@pytest.mark.real_server
@pytest.mark.parametrize("chain", CHAINS)
def test_the_whole_table(python_server: str, in_process: Any, chain: str) -> None:
    for prompt in MANY:
        assert tokens_of(remote(python_server), chain, prompt, 64) == tokens_of(in_process, chain, prompt, 64), prompt


@pytest.mark.real_server
@pytest.mark.parametrize("chain", CHAINS)
def test_with_default_flags_every_run_finishes(chain: str) -> None:
    with llama_cpp_python(model_path()) as url:
        for prompt in MANY:
            assert tokens_of(remote(url), chain, prompt, 64)
