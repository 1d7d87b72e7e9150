"""Ids in the parameters of processors: NumPy's are ids too; what no token has, or is named twice, is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, ParameterError, PluginError, Session, processor
from decodekit.testing import TableAdapter

V = 6
TABLE = TableAdapter(lambda _: np.zeros(V, dtype=np.float32), V)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bad_words", {"bad_words": [[V, 1]]}),
        ("bad_words", {"bad_words": [[1], [2, V]]}),
        ("sequence_bias", {"sequence_bias": [[[V, 1], 2.0]]}),
        ("logit_bias", {"logit_bias": {V: 1.0}}),
        ("allowed_tokens", {"allowed_tokens": [1, V]}),
        ("suppressed_tokens", {"suppressed_tokens": [V]}),
        ("begin_suppressed_tokens", {"begin_suppressed_tokens": [V]}),
        ("dry", {"dry": 1.0, "breakers": [[V]]}),
        ("thinking_budget", {"thinking_budget": 1, "start": [V], "end": [2]}),
        ("thinking_budget", {"thinking_budget": 1, "start": [3], "end": [2], "forced": [V]}),
        ("no_repeat_ngram", {"no_repeat_ngram": 2, "whitelist": [V]}),
        ("encoder_no_repeat_ngram", {"encoder_no_repeat_ngram": 2, "ids": [1, V]}),
        ("xtc", {"xtc": 1.0, "protected": [V]}),
    ],
)
def test_ids_beyond_the_vocabulary_are_refused(name: str, parameters: dict[str, Any]) -> None:
    session = Session(TABLE, Chain([processor(name, **parameters)]), seed=1)
    with pytest.raises(PluginError, match=rf"{V}.*vocabulary of {V}"):
        session.generate([1], max_tokens=1)


@pytest.mark.parametrize(
    ("name", "parameters", "plain"),
    [
        ("allowed_tokens", {"allowed_tokens": np.array([1, 2])}, [1, 2]),
        ("suppressed_tokens", {"suppressed_tokens": np.array([1, 2], dtype=np.uint8)}, [1, 2]),
        ("bad_words", {"bad_words": [np.array([1, 2])]}, [[1, 2]]),
        ("sequence_bias", {"sequence_bias": [(np.array([1, 2]), 1.0)]}, [[[1, 2], 1.0]]),
    ],
)
def test_numpy_ids_are_recorded_as_plain_ones(name: str, parameters: dict[str, Any], plain: list[Any]) -> None:
    written, taken = Chain([processor(name, **{name: plain})]), Chain([processor(name, **parameters)])
    assert taken.describe() == written.describe()


@pytest.mark.parametrize("given", [np.array([True]), np.array([1.5]), np.array([[1, 2]]), np.array(["1"]), np.array(1)])
def test_what_is_no_array_of_ids_is_refused(given: Any) -> None:
    with pytest.raises(ParameterError, match="allowed_tokens"):
        processor("allowed_tokens", allowed_tokens=given)


@pytest.mark.parametrize("text", ["{'0005' = 1.0, '5' = 2.0}", "{'5' = 1.0, '005' = false}"])
def test_a_bias_names_a_token_once(text: str) -> None:
    given = tomllib.loads(f"logit_bias = {text}")["logit_bias"]
    with pytest.raises(ParameterError, match="token 5 is named twice"):
        processor("logit_bias", logit_bias=given)
    with pytest.raises(ParameterError, match="token 5 is named twice"):
        processor("logit_bias", logit_bias={5: 1.0, "5": 2.0})
