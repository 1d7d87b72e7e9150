"""llama-cpp-python's server takes and lists texts: with a tokenizer, its tokens are those of the model in process.

With -m real_server also the whole table of docs/remote.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("fastapi")
pytest.importorskip("starlette_context")

import decodekit
from decodekit import Distribution, Prefix, Session, Undisclosed
from decodekit.distribution.disclosure import Disclosure
from tests.adapters.llamacpp.bare_loop import MODEL, model_path
from tests.adapters.remote.real import llama_cpp_python
from tests.adapters.remote.test_real_llama_cpp_python import ROUNDING, remote

CHAINS = ["temperature=0.8 top_p=0.95", "top_k=40", "min_p=0.1", "temperature=0"]
MANY = [
    "The capital of France is",
    "Water is made of",
    "def fibonacci(n):",
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


@pytest.fixture(scope="module")
def there(python_server: str) -> Any:
    """One adapter for all: a vocabulary takes a second to read."""
    return remote(python_server)


def tokens_of(adapter: Any, chain: str, prompt: str, tokens: int) -> list[int]:
    with Session(adapter, chain, seed=7) as session:
        return [int(token) for token in session.generate(prompt, max_tokens=tokens).token_ids]


@pytest.mark.real_model
@pytest.mark.parametrize("chain", CHAINS)
def test_its_tokens_are_those_of_the_model_in_process(there: Any, in_process: Any, chain: str) -> None:
    """The nucleus of the first prompt is larger than a list of 1,000, and there are ends of text and spaces in it."""
    prompt, tokens = ("Water is made of different materials.", 1) if "top_p" in chain else (MANY[0], 4)
    assert tokens_of(there, chain, prompt, tokens) == tokens_of(in_process, chain, prompt, tokens)


def compared(there: Any, in_process: Any, prefix: Prefix, top: int) -> tuple[Distribution, Distribution]:
    with Session(there) as session:
        (answer,), (here,) = session.adapter.predict([prefix], Disclosure(top)), in_process.predict([prefix])
    assert isinstance(answer, Distribution) and isinstance(here, Distribution), answer
    assert "retokenised_as" not in answer.schedule
    return answer, here


@pytest.mark.real_model
@pytest.mark.parametrize("text", ["What is 2+2? It is 4.", "She said:"])
def test_every_token_of_a_list_has_its_id(there: Any, in_process: Any, text: str) -> None:
    """Ends of text, spaces, and spaces with a part of a character are in these lists."""
    answer, here = compared(there, in_process, Prefix(in_process.tokenizer.encode(text)), 40)
    ids, values = here.leading(40)
    assert answer.leading(40)[0].tolist() == ids.tolist()
    assert max(abs(answer.logprob(int(i)) - v) for i, v in zip(ids, values, strict=True)) < 2 * ROUNDING


@pytest.mark.real_model
def test_a_token_that_is_too_long_for_the_servers_buffer_has_its_id(there: Any, in_process: Any) -> None:
    """A line of 64 equal characters is one token, which llama-cpp-python writes as ''."""
    text = "# a\n" + "#" * 64 + "\n# b\n"
    answer, here = compared(there, in_process, Prefix(in_process.tokenizer.encode(text)), 40)
    ids = here.leading(40)[0].tolist()
    assert any(len(in_process.tokenizer.token_bytes(each) or b"") > 32 for each in ids)
    assert sorted(answer.leading(40)[0].tolist()) == sorted(ids)


@pytest.mark.real_model
def test_a_list_of_the_whole_vocabulary_is_complete_but_for_what_it_names(there: Any, in_process: Any) -> None:
    """Tokens of equal texts below -12 nats are left out; the others have their values, some of them to 2e-4 nats."""
    prefix = Prefix(in_process.tokenizer.encode("Water is made of different materials."))
    answer, here = compared(there, in_process, prefix, in_process.info.vocab_size)
    assert answer.tail is None and answer.token_ids is not None
    ids, values = here.leading(in_process.info.vocab_size)
    lost = float(np.exp(values[~np.isin(ids, answer.token_ids)]).sum())
    assert f"left out, {lost:.0e}"[:11] in str(answer.schedule["assumed"]) and 0 < lost < 2e-4
    likely = ids[values > -11.9]
    assert max(abs(answer.logprobs_of(likely) - here.logprobs_of(likely))) < 4e-4


@pytest.mark.real_model
@pytest.mark.parametrize("tail", [b"\n|\n", b"\n|\n|Th|e"], ids=repr)
def test_a_prefix_that_no_text_gives_is_continued(there: Any, in_process: Any, tail: bytes) -> None:
    """Line ends that a tokenizer would join, and words in parts."""
    by_bytes = {in_process.tokenizer.token_bytes(token): token for token in range(in_process.tokenizer.vocab_size)}
    prefix = Prefix([*in_process.tokenizer.encode("Yes."), *(by_bytes[piece] for piece in tail.split(b"|"))])
    answer, here = compared(there, in_process, prefix, 5)
    assert max(abs(answer.logprob(int(i)) - here.logprob(int(i))) for i in answer.leading(5)[0]) < 0.05


@pytest.mark.real_model
def test_without_a_tokenizer_what_is_assumed_is_recorded_and_can_be_switched_off(python_server: str) -> None:
    chain = "top_k=40"
    with Session(decodekit.adapter("remote", base_url=python_server), chain, seed=7) as session:
        steps = session.generate(MANY[0], max_tokens=3).trace.steps
    assert all("is the end of a text" in step.schedule["assumed"] for step in steps)
    adapter = decodekit.adapter("remote", base_url=python_server, same_text="error")
    with Session(adapter, chain, seed=7) as session, pytest.raises(Undisclosed, match="by their text"):
        session.generate(MANY[0], max_tokens=6)


@pytest.mark.real_server
@pytest.mark.parametrize("chain", CHAINS)
def test_the_whole_table(there: Any, in_process: Any, chain: str) -> None:
    for prompt in MANY:
        assert tokens_of(there, chain, prompt, 64) == tokens_of(in_process, chain, prompt, 64), prompt


@pytest.mark.real_server
@pytest.mark.parametrize("known", [True, False], ids=["tokenizer", "no tokenizer"])
def test_with_default_flags_every_run_finishes(known: bool) -> None:
    with llama_cpp_python(model_path()) as url:
        adapter = decodekit.adapter("remote", base_url=url, tokenizer=MODEL if known else None)
        for chain in CHAINS:
            for prompt in MANY:
                assert tokens_of(adapter, chain, prompt, 64)
