"""Scores with a large offset, and scores near the ends of float64: right answers or typed errors, never NaN."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, DecodekitError, Distribution, Randomness, Session
from decodekit.plugin.registry import load, plugins
from decodekit.testing import NGramAdapter, TableAdapter

SIGNED = {"repetition_penalty", "encoder_repetition_penalty", "exponential_length_decay"}  # their law knows the offset
TEXTS = {"bad_words", "sequence_bias", "thinking_budget", "token_healing", "vllm_bad_words"}  # these look at no scores
TEXTS |= {"choice", "json", "json_schema", "lark", "regex", "tools"}


def example(name: str) -> dict[str, Any]:
    """The parameters of the example in a plugin's own words."""
    found = re.search(r"Example: (.*)", load("processors", name)[0].__doc__ or "")
    assert found
    inline = re.sub(r"(?<![a-z_\d])(\d+) = ", r'"\1" = ', found[1])
    return {
        key: value for piece in re.split(r", (?=[a-z_0-9]+ = )", inline) for key, value in tomllib.loads(piece).items()
    }


NAMES = [info.name for info in plugins() if info.group == "processors" and info.distribution == "decodekit"]
NAMES = [name for name in NAMES if name not in TEXTS]
FAR = [
    *([1e308, -1e308] * 5, [-1e308] * 10, [1e308] * 10, [0.0, -1e308] * 5, [5.0, *[-1e308] * 9]),
    *([-1e300, *[-1e308] * 9], [1e300, *[-1e308] * 9], [0.0, -1.0, *[-1e155] * 8]),
]


def context() -> Context:
    return Context((1, 2, 3, 1, 2), (0, 1, 2), rng=Randomness(1).at(3))


@pytest.mark.parametrize("name", NAMES)
def test_scores_at_the_ends_of_float64_are_right_or_typed(name: str) -> None:
    chain = Chain([decodekit.processor(name, **example(name))])
    for row in FAR:
        try:
            after = chain.apply(Distribution.dense(row), context())
        except DecodekitError:
            continue
        assert np.exp(after.logprobs).sum() == pytest.approx(1, abs=1e-9), row


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SIGNED])
def test_an_offset_changes_nothing(name: str) -> None:
    chain, rng = Chain([decodekit.processor(name, **example(name))]), np.random.default_rng(0)
    for offset in (2.0**22, 2.0**34, 2.0**44, -(2.0**44)):
        for _ in range(10):
            row = np.round(rng.normal(0, 3, 10) * 128) / 128  # steps that the largest offset still holds
            here, there = (chain.apply(Distribution.dense(row + by), context()) for by in (0.0, offset))
            kept = sorted(here.support().tolist())
            assert sorted(there.support().tolist()) == kept
            np.testing.assert_allclose(there.logprobs_of(kept), here.logprobs_of(kept), atol=1e-9)


def test_a_run_on_such_scores_ends_with_a_typed_error() -> None:
    adapter = TableAdapter(lambda _: np.array([1e308, -1e308]), 2)
    with pytest.raises(decodekit.DistributionError, match="largest score"):
        Session(adapter, seed=1).generate([0], max_tokens=1)


def test_numpys_numbers_are_numbers() -> None:
    kept = Chain([decodekit.processor("top_k", top_k=np.int64(5)), decodekit.processor("top_p", top_p=np.float32(0.5))])
    assert [kept.processors[0].top_k, kept.processors[1].top_p] == [5, 0.5]
    bias = decodekit.processor("logit_bias", logit_bias={np.int64(3): np.float64(1)})
    assert bias.logit_bias == {3: 1.0} and type(next(iter(bias.logit_bias))) is int
    assert decodekit.processor("suppressed_tokens", suppressed_tokens=[np.int32(1)]).suppressed_tokens == (1,)
    assert (
        Chain.preset("llama.cpp", top_k=np.int64(7), temp=np.float64(0.5), ignore_eos=np.bool_(False))
        .processors[0]
        .top_k
        == 7
    )
    with pytest.raises(decodekit.ParameterError, match="top_k"):
        decodekit.processor("top_k", top_k=np.float64(5.0))
    assert Session(NGramAdapter("ab " * 9), kept, seed=3).generate("a", max_tokens=2).token_ids
