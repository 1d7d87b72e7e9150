"""Calibration: exact where the truth is known, unbiased for a perfect model, and its errors are by text."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import decodekit
from decodekit import ParameterError, Prefix
from decodekit.analysis.scores.calibrating import Forecast, calibration, forecasts_of_texts, forecasts_of_traces
from decodekit.testing import TableAdapter

ROW = np.log([0.6, 0.3, 0.1])


def model() -> TableAdapter:
    return TableAdapter(lambda _: ROW, vocab_size=3)


def drawn(count: int, seed: int, bent: float = 0.0) -> list[Forecast]:
    chance = np.random.default_rng(seed)
    confidence = chance.random(count)
    hits = chance.random(count) < confidence * (1 - bent)
    return [
        Forecast(i // 10, float(c), bool(hit), -1.0, None)
        for i, (c, hit) in enumerate(zip(confidence, hits, strict=True))
    ]


def test_the_scores_of_a_text_are_those_of_its_distributions() -> None:
    found = calibration(forecasts_of_texts(model(), [(Prefix([0]), [0, 1]), (Prefix([0]), [2, 0, 0])]), bins=1)
    squares = 0.36 + 0.09 + 0.01
    assert found.log_score.value == pytest.approx(-(3 * ROW[0] + ROW[1] + ROW[2]) / 5)
    assert found.brier is not None and found.brier.value == pytest.approx(squares + 1 - 2 * (1.8 + 0.3 + 0.1) / 5)
    assert found.top_brier.value == pytest.approx((3 * 0.16 + 2 * 0.36) / 5)
    assert found.overconfidence.value == pytest.approx(0, abs=1e-12) and found.ece == pytest.approx(0, abs=1e-12)
    (only,) = found.bins
    assert (only.count, only.accuracy) == (5, 0.6) and only.confidence == pytest.approx(0.6)
    # two texts with residuals of -.2 and +.2 in all: sqrt(2 / 1 * (.04 + .04)) / 5
    assert only.error == found.overconfidence.error == pytest.approx(0.08)
    json.dumps(found.to_dict())


def test_the_binned_error_of_a_perfect_model_is_its_bias() -> None:
    """15 bins of equal width, 1,000 forecasts: .037 with a deviation of .008 over data sets."""
    found = [calibration(drawn(1000, seed), equal_mass=False) for seed in range(20)]
    assert np.mean([each.ece for each in found]) == pytest.approx(0.037, abs=3 * 0.008 / math.sqrt(20))
    assert np.mean([each.ece_debiased for each in found]) == pytest.approx(0, abs=3 * 0.008 / math.sqrt(20))


def test_a_bent_model_is_seen_by_as_much_as_it_is_bent() -> None:
    found = calibration(drawn(20000, 1, bent=0.2))
    assert found.ece_debiased == pytest.approx(0.1, abs=4 * found.overconfidence.error)  # the mean of .2 * confidence
    assert found.overconfidence.low < 0.1 < found.overconfidence.high
    assert [each.count for each in found.bins] == pytest.approx([20000 / 15] * 15, abs=1)


def test_errors_are_by_text() -> None:
    """Ten texts whose tokens all agree say as much as ten tokens."""
    texts = [Forecast(text, 0.5, text % 2 == 0, -1.0, None) for text in range(10) for _ in range(100)]
    alone = [each._replace(text=i) for i, each in enumerate(texts)]
    assert calibration(texts).top_brier.clusters == 10
    assert calibration(texts).overconfidence.error > 9 * calibration(alone).overconfidence.error


@pytest.mark.parametrize("level", ["choice", "full"])
def test_traces_are_measured_by_the_raw_values_whatever_the_chain(level: str) -> None:
    with decodekit.open(model(), chain="temperature=0.5", seed=2) as session:
        results = session.generate_many([[0], [1]], n=2, max_tokens=20, level=level)  # type: ignore[arg-type]
    trace = results[0][0].trace
    found = calibration(forecasts_of_traces([trace, trace]), bins=1)
    assert found.log_score.clusters == 8 and (found.brier is not None) == (level == "full")
    assert found.bins[0].confidence == pytest.approx(0.6)
    assert found.log_score.value == pytest.approx(np.mean([-ROW[step.token_id] for step in trace.steps]))


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least one forecast"):
        calibration([])
