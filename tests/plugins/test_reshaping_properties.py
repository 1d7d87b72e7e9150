"""What every processor of decodekit promises, on distributions that hypothesis makes up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import Context, Distribution
from decodekit.plugin.registry import load
from decodekit.testing import check_processor

OURS = [info.name for info in decodekit.plugins() if info.group == "processors" and info.distribution == "decodekit"]

shares = st.floats(0.01, 1)
ties = st.sampled_from(["lowest", "highest", "all"])
least = st.integers(1, 9)
boundaries = st.sampled_from(["drop", "keep"])
PARAMETERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "temperature": {"temperature": st.sampled_from([0.0, math.inf]) | st.floats(0.05, 20)},
    "dynamic_temperature": {"dynamic_temperature": st.floats(0.1, 3), "spread": st.floats(0, 3)},
    "quadratic": {"quadratic": st.floats(0, 3), "curve": st.floats(1, 5)},
    "top_k": {"top_k": st.integers(1, 50), "ties": ties},
    "top_p": {"top_p": shares, "ties": ties, "boundary": boundaries, "min_keep": least},
    "min_p": {"min_p": shares, "ties": ties, "min_keep": least},
    "typical_p": {"typical_p": shares, "ties": ties, "boundary": boundaries, "min_keep": least},
    "top_n_sigma": {"top_n_sigma": st.floats(0.1, 4), "ties": ties, "min_keep": least},
    "top_a": {"top_a": shares, "ties": ties, "min_keep": least},
    "tfs": {"tfs": st.floats(0, 1), "law": st.sampled_from(["original", "koboldcpp"]), "ties": ties, "min_keep": least},
    "epsilon_cutoff": {"epsilon_cutoff": st.floats(1e-4, 0.9), "ties": ties, "min_keep": least},
    "eta_cutoff": {"eta_cutoff": st.floats(1e-4, 0.9), "ties": ties, "min_keep": least},
    "top_h": {"top_h": shares, "candidates": st.integers(1, 50), "ties": ties, "min_keep": least},
    "p_less": {"p_less": shares, "ties": ties, "min_keep": least},
    "p_less_norm": {"p_less_norm": shares, "ties": ties, "min_keep": least},
}
NO_TRUNCATION = {"temperature", "dynamic_temperature", "quadratic"}
IDEMPOTENT = ["top_k", "min_p", "epsilon_cutoff"]

# Quarter steps make ties; -inf makes masks.
tied = st.lists(st.integers(-40, 20).map(lambda n: n / 4) | st.just(-math.inf), min_size=2, max_size=40).filter(
    lambda row: max(row) > -math.inf
)
smooth = st.tuples(st.integers(0, 2**32), st.integers(2, 400), st.floats(0.05, 8)).map(
    lambda seed: np.random.default_rng(seed[0]).normal(0, seed[2], seed[1]).astype(np.float32)
)
rows = smooth | tied


def drawn(name: str, data: st.DataObject) -> Any:
    return decodekit.processor(name, **{key: data.draw(value, key) for key, value in PARAMETERS[name].items()})


@pytest.mark.parametrize("name", PARAMETERS)
@settings(max_examples=25)
@given(rows, st.data())
def test_each_keeps_the_contract_of_a_processor(name: str, row: Any, data: st.DataObject) -> None:
    check_processor(drawn(name, data), dists=[Distribution.dense(row)], contexts=[Context((0,), (1,))])


@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - NO_TRUNCATION))
@settings(max_examples=40)
@given(rows, st.data())
def test_a_truncation_keeps_min_keep_tokens_and_every_score(name: str, row: Any, data: st.DataObject) -> None:
    dist, plugin = Distribution.dense(row), drawn(name, data)
    after = plugin(dist, Context())
    ids = after.support()
    window = min(dist.support_size, plugin.candidates if name == "top_h" else dist.support_size)
    assert after.support_size >= min(plugin.min_keep, window)
    assert after.scores_of(ids).tolist() == dist.scores_of(ids).tolist()
    if plugin.argmax_invariant:
        assert after.mode == dist.mode


@pytest.mark.parametrize("name", IDEMPOTENT)
@settings(max_examples=60)
@given(rows, st.data())
def test_twice_is_once_where_that_is_claimed(name: str, row: Any, data: st.DataObject) -> None:
    plugin = drawn(name, data)
    assert "Idempotent" in type(plugin).__doc__
    once = plugin(Distribution.dense(row), Context())
    twice = plugin(once, Context())
    assert once.ambiguous or sorted(twice.support().tolist()) == sorted(once.support().tolist())


def test_what_is_not_claimed_to_be_idempotent_is_not() -> None:
    claimed = {name for name in OURS if "Idempotent" in (load("processors", name)[0].__doc__ or "")}
    assert claimed >= set(IDEMPOTENT) and not claimed & (PARAMETERS.keys() - set(IDEMPOTENT))
    dist = Distribution.dense(np.log([0.4, 0.3, 0.2, 0.1]))
    for name, value in (("top_p", 0.5), ("typical_p", 0.5), ("top_n_sigma", 1.2), ("top_h", 0.7), ("p_less", 1.0)):
        plugin = decodekit.processor(name, **{name: value})
        once = plugin(dist, Context())
        assert plugin(once, Context()).support_size < once.support_size < 4, name
