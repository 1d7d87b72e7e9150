"""The mlx-lm preset beside mlx-lm's own functions, where they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, Context, Distribution
from tests.plugins.logit_rows import normal_rows

mx = pytest.importorskip("mlx.core")
sample_utils = pytest.importorskip("mlx_lm.sample_utils")

VOCAB, CASES = 200, 60


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Each new parameter would be compiled anew."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def theirs(row: Any, history: list[int], asked: dict[str, Any]) -> Any:
    """make_logits_processors, then what make_sampler's sampler does before it draws, in its order."""
    logits = mx.array(row)[None]
    sizes = {"repetition_context_size": 20, "presence_context_size": 20, "frequency_context_size": 20}
    penalties = {key: asked[key] for key in asked if key.endswith("_penalty") or key == "logit_bias"}
    for process in sample_utils.make_logits_processors(**penalties, **sizes):
        logits = process(mx.array(history), logits)
    logprobs = logits - mx.logsumexp(logits, keepdims=True)
    logprobs = sample_utils.apply_top_p(logprobs, asked["top_p"])
    logprobs = sample_utils.apply_min_p(logprobs, asked["min_p"], asked["min_tokens_to_keep"])
    logprobs = sample_utils.apply_top_k(logprobs, asked["top_k"])
    return np.array(logprobs / asked["temp"])[0].astype(np.float64)


def test_the_distribution_is_its_own() -> None:
    rng, differing = np.random.default_rng(7), 0
    for row in normal_rows(CASES, VOCAB, 8):
        asked = {
            "temp": float(rng.uniform(0.3, 2)),
            "top_p": float(rng.uniform(0.5, 0.99)),
            "min_p": float(rng.uniform(0.001, 0.1)),
            "min_tokens_to_keep": int(rng.integers(1, 6)),
            "top_k": int(rng.integers(3, 100)),
            "repetition_penalty": float(rng.uniform(0.8, 1.6)),
            "presence_penalty": float(rng.uniform(-1, 1)),
            "frequency_penalty": float(rng.uniform(-1, 1)),
            "logit_bias": {int(rng.integers(VOCAB)): 2.0},
        }
        prompt, output = rng.integers(0, 30, 15).tolist(), rng.integers(0, 30, 12).tolist()
        ours = Chain.preset("mlx-lm", **asked).apply(Distribution.dense(row), Context(prompt, output))
        other = Distribution.dense(theirs(row, prompt + output, asked))
        kept = sorted(other.support().tolist())
        if sorted(ours.support().tolist()) != kept:
            differing += 1
            continue
        np.testing.assert_allclose(ours.logprobs_of(kept), other.logprobs_of(kept), atol=3e-5)
    assert differing <= 1


@pytest.mark.parametrize(("share", "kept"), [(0.5, [0, 1, 2, 3]), (0.25, [0, 1, 2, 3])])
def test_ties_all_stay(share: float, kept: list[int]) -> None:
    row = np.log(np.full(4, 0.25))
    ran = np.array(sample_utils.apply_top_p(mx.array(row.astype(np.float32))[None], share))[0]
    ours = Chain.preset("mlx-lm", temp=1.0, top_p=share).apply(Distribution.dense(row), Context())
    assert np.flatnonzero(np.isfinite(ran)).tolist() == sorted(ours.support().tolist()) == kept
