"""The llama-cpp-python preset beside ``Llama.generate`` on SmolLM2: its tokens, one by one."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, Context, Distribution, Randomness
from tests.adapters.llamacpp.bare_loop import model_path

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(sys.platform != "linux", reason="another standard library draws other uniforms"),
]

STEPS = 60
NAMES = {"temperature": "temp"}  # generate has it shorter than create_completion
CASES: list[dict[str, Any]] = [
    {},
    {"temperature": 1.4, "top_k": 0, "top_p": 1.0, "min_p": 0.1},
    {"temperature": 1.2, "repeat_penalty": 1.3, "frequency_penalty": 0.4, "presence_penalty": 0.2},
    {"temperature": 1.5, "typical_p": 0.7},
    {"temperature": 0.0, "repeat_penalty": 1.2},
    {"temperature": 1.0, "mirostat_mode": 2, "mirostat_tau": 3.0},
    {"temperature": -1.0, "top_k": 3},
]


@pytest.fixture(scope="module")
def model() -> Any:
    try:
        path = model_path()
    except StopIteration:
        pytest.skip("the model is not installed")
    made = llama_cpp.Llama(path, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, logits_all=True)
    yield made
    made.close()


@pytest.mark.parametrize("asked", CASES, ids=str)
def test_with_the_same_seed_the_tokens_are_its_own(model: Any, asked: dict[str, Any]) -> None:
    seed = 1234
    prompt = model.tokenize(b"Once upon a time, in a small village by the sea,")
    model.reset()
    model.set_seed(seed)
    renamed = {NAMES.get(name, name): value for name, value in asked.items()}
    stream = model.generate(prompt, **renamed)
    theirs = [next(stream) for _ in range(STEPS)]
    stream.close()
    chain = Chain.preset("llama-cpp-python", seed=seed, **asked)
    logits = np.array(model.scores)
    states = chain.initial(Context(prompt))
    ours: list[int] = []
    for step in range(STEPS - 1):
        dist = Distribution.dense(logits[len(prompt) - 1 + step])
        context = Context(prompt, tuple(ours))
        _, choice, _, states = chain.step(dist, context, states, Randomness(0).at(step))
        assert choice.token_id == theirs[step], f"step {step}"
        ours.append(choice.token_id)
    assert len(set(ours)) > 5


def test_what_it_takes_and_ignores() -> None:
    assert "tfs_z" in Chain.preset("llama-cpp-python", tfs_z=0.5).notes[0]
    (note,) = Chain.preset("llama-cpp-python", mirostat_mode=2, temperature=0.5, top_k=7).notes
    assert "temperature and top_k" in note
    (note,) = Chain.preset("llama-cpp-python", temperature=-1.0, min_p=0.2).notes
    assert "dropped: min_p" in note
    (note,) = Chain.preset("llama-cpp-python", seed=3, typical_p=0.7, top_p=1.0).notes
    assert "not reproduced" in note
    (note,) = Chain.preset("llama-cpp-python", temperature=0.0, typical_p=0.2).notes
    assert "greedy" in note
