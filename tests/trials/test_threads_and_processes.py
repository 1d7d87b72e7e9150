"""An application with many threads, and one with a process pool: what each worker may hold, send and get back."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

import decodekit
from decodekit import AsyncSession, Chain, NotPicklable, Session
from decodekit.testing import NGramAdapter
from tests.session.test_many_real import assert_same_or_close

PROMPTS = ["Once upon a time", "The capital of France is", "One, two, three,", "The sea"]
CHAINS = ["temperature=0.7 top_p=0.9", "top_k=20", "greedy", "min_p=0.1 temperature=1.2"]

POOL = """
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import decodekit


def opened():
    global session
    session = decodekit.open("smollm2", chain="temperature=0.8 top_p=0.95", seed=7, n_ctx=128, n_threads=1)


def written(stream, prompt):
    return session.generate(prompt, stream=stream, max_tokens=4)


if __name__ == "__main__":
    opened()
    prompts = PROMPTS
    alone = [written(*each).token_ids for each in enumerate(prompts)]
    with ProcessPoolExecutor(2, mp_context=get_context(sys.argv[1]), initializer=opened) as pool:
        results = list(pool.map(written, range(len(prompts)), prompts))
        lost = pool.submit(session.generate, "The sea").exception()
    print(json.dumps({
        "equal": [result.token_ids for result in results] == alone,
        "words": [decodekit.verify(result.trace).word for result in results],
        "lost": [type(lost).__name__, str(lost)],
        "after": written(0, prompts[0]).token_ids == alone[0],
    }))
"""


@pytest.mark.real_model
def test_many_threads_share_one_session_and_one_thread_s_error_is_its_own() -> None:
    def call(i: int) -> Any:
        try:
            return session.generate("" if i == 5 else PROMPTS[i % 4], chain=CHAINS[i // 4], stream=i, max_tokens=5)
        except decodekit.DecodekitError as error:
            return error

    with decodekit.open("smollm2", seed=7, n_ctx=512, n_threads=1) as session:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(call, range(12)))
        for i, result in enumerate(found):
            alone = call(i)
            if i == 5:
                assert type(result) is type(alone) and str(result) == str(alone)
            else:
                assert_same_or_close(result, alone)
                assert decodekit.verify(result.trace).word == "proved"


@pytest.mark.real_model
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_each_worker_of_a_process_pool_opens_its_own_session(start: str, tmp_path: Path) -> None:
    """Results come back whole, with their traces; a session that is sent is refused with the way out."""
    program = tmp_path / "pool.py"
    program.write_text(POOL.replace("PROMPTS", repr(PROMPTS)))
    done = subprocess.run([sys.executable, str(program), start], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    name, message = said.pop("lost")
    assert said == {"equal": True, "words": ["proved"] * 4, "after": True}
    assert name == "NotPicklable" and "ProcessPoolExecutor(initializer=function)" in message


def held(kind: str) -> Any:
    """What belongs to one process, by the name of its class."""
    adapter = NGramAdapter("the cat sat on the mat. ")
    session = Session(adapter)
    if kind == "Steps":
        return session.stream("the ", max_tokens=2)
    if kind == "AsyncSteps":
        return AsyncSession(adapter).stream("the ", max_tokens=2)
    if kind == "RemoteAdapter":
        return pytest.importorskip("decodekit_remote").RemoteAdapter(base_url="http://127.0.0.1:1")
    if kind == "BlockingAdapter":
        return Session(held("RemoteAdapter")).adapter
    if kind == "TorchAdapter":
        table = pytest.importorskip("torch").eye(5)
        return decodekit.adapter("torch", model=lambda ids: table[ids], stochastic=False)
    if kind.startswith("LlamaCpp"):
        local = decodekit.adapter("llamacpp", model="smollm2", n_ctx=32, n_threads=1)
        return local if kind == "LlamaCppAdapter" else local.tokenizer
    return session if kind == "Session" else AsyncSession(adapter)


@pytest.mark.parametrize("kind", [
    "Session", "AsyncSession", "Steps", "AsyncSteps", "BlockingAdapter", "RemoteAdapter", "TorchAdapter",
    "LlamaCppAdapter", "LlamaCppTokenizer",
])  # fmt: skip
def test_what_belongs_to_one_process_is_neither_pickled_nor_copied(kind: str) -> None:
    value = held(kind)
    assert type(value).__name__ == kind
    for send in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(NotPicklable, match=f"^{kind} is not pickled or copied: .*threads may share one session"):
            send(value)


def test_what_a_worker_is_sent_and_gives_back_is_pickled() -> None:
    chain = Chain.of("temperature=0.7 top_k=5")
    result = Session(NGramAdapter("the cat sat on the mat. "), chain, seed=7).generate("the ", max_tokens=4)
    for value in (chain, result, result.trace, result.trace.steps[0], decodekit.Prefix([1, 2])):
        other = pickle.loads(pickle.dumps(value))
        assert type(other) is type(value) and (value is result or repr(other) == repr(value))
