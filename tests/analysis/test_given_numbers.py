"""What is no number, or none that can be, is refused by its name, wherever an estimate takes numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decodekit import ParameterError, Prefix, Session
from decodekit.analysis.answers.curves import curves
from decodekit.analysis.numbers.given_numbers import between, numbers
from decodekit.analysis.numbers.importance import self_normalised
from decodekit.analysis.numbers.statistics import mean, paired_difference
from decodekit.analysis.scores.calibrating import Forecast, calibration, forecasts_of_texts
from decodekit.analysis.scores.scoring import score_many
from decodekit.analysis.texts.tilting import known_beta
from decodekit.analysis.texts.voting import minimum_bayes_risk
from decodekit.analysis.trainers.engine_mismatch import mismatch
from decodekit.analysis.trainers.rolling_out import rollouts

from .tables import model

FORECAST = Forecast(0, 0.5, True, -1.0, None)


def test_numbers_of_python_and_numpy_are_taken_as_they_are() -> None:
    assert between(np.float32(0.5), "x", 0, 1) == 0.5 and between(1, "x", 0, math.inf) == 1.0
    assert numbers((1, 2.5), "x").tolist() == [1.0, 2.5] == numbers(np.array([1, 2.5], np.float32), "x").tolist()
    assert numbers([True, False], "x").tolist() == [1.0, 0.0] and numbers([], "x").shape == (0,)


def with_confidence(*values: float) -> list[Forecast]:
    return [FORECAST, *(FORECAST._replace(confidence=value) for value in values)]


WRONG: list[tuple[Any, tuple[Any, ...], dict[str, Any], str]] = [
    (mean, (["a"],), {}, "values is a list of numbers"),
    (mean, (["1"],), {}, "values is a list of numbers"),
    (mean, (5,), {}, "values is a list of numbers"),
    (mean, ([1, 2], [[1], [2]]), {}, "clusters: the names"),
    *((mean, ([1, 2],), {"confidence": each}, "confidence is a number") for each in (math.nan, "0.9", 1)),
    (paired_difference, (["x"], [1.0]), {}, "one is a list of numbers"),
    (self_normalised, (["a"], [0.0]), {}, "values is a list of numbers"),
    (self_normalised, ([1.0], 2.0), {}, "log_weights is a list of numbers"),
    (known_beta, ("1",), {}, "beta, .* is a number above 0"),
    *((mismatch, ([], model()), {"cap": each}, "cap is a number above 0") for each in (0, -1, "2", math.nan)),
    *((calibration, ([FORECAST],), {"bins": each}, "bins must be") for each in (0, 1.5, math.nan, "3")),
    (calibration, ([FORECAST],), {"seed": -1}, "seed must be"),
    *((calibration, (with_confidence(each),), {}, "forecast 1: a confidence") for each in (2.0, -1.0, math.nan)),
    (forecasts_of_texts, (model(), [([0], [0, 1])]), {}, "text 0 follows a Prefix"),
    (forecasts_of_texts, (model(), [(Prefix([0]), "ab")]), {}, "text 0: a token id"),
    *((curves, (model(), [0], [[1]], [1.0]), {"near": each}, "near must") for each in (1.5, math.nan, "2")),
    (curves, (model(), [0], [[1]], [1.0]), {"end": 1.5}, "end must be an integer"),
    (curves, (model(), [0], [[1]], [1.0]), {"end": 4}, "end must be an integer from 0 to 3"),
    (curves, (model(), [0], [[1]], ["1"]), {}, "temperatures is a list of numbers"),
    (score_many, (model(), None), {}, "texts is a list"),
    (minimum_bayes_risk, ([1, 2],), {}, "it chooses among texts, not 1"),
    (rollouts, (Session(model()), None, 1, "never"), {}, "a list of prompts, not None"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "options", "message"), WRONG)
def test_what_is_none_is_refused_by_name(
    function: Any, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        list(function(*arguments, **options))


def test_an_answer_of_another_number_is_refused() -> None:
    found = curves(model(), [0], [[1], [2]], [0.5, 1])
    with pytest.raises(ParameterError, match="number of an answer must be"):
        found.overtaken(0, 5)
    with pytest.raises(ParameterError, match="number of an answer must be"):
        found.below_chance(2)


def test_rollouts_take_an_iterator_of_prompts(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with Session(model(), seed=1) as session:
        made = rollouts(session, ([token] for token in (0, 1)), 1, tmp_path / "set", max_tokens=1)
    assert [row.prompt_ids for row in made.rows()] == [[0], [1]]


def test_a_token_without_probability_makes_only_the_log_score_infinite() -> None:
    rows = [FORECAST, FORECAST._replace(logprob=-math.inf, hit=False)]
    found = calibration(rows, bins=1)
    assert (found.log_score.value, found.log_score.low, found.log_score.count) == (math.inf, -math.inf, 2)
    assert found.ece == pytest.approx(0.0) and found.top_brier.value == 0.25
    assert found.to_dict()["log_score"]["value"] == "inf"
