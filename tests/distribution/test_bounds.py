"""Intervals on heads: they hold the truth, whatever was done to scores and tail, and are no wider than they must be."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decodekit import Distribution, DistributionError, Tail, Undisclosed
from decodekit.distribution.bounds import surprisal_of_shown

LOG = math.log
NAMES = ("log_normalizer", "entropy", "varentropy", "tail_mass")
steps = st.lists(st.floats(0.1, 5).map(lambda f: ("scale", f)) | st.floats(-6, 6).map(lambda v: ("add", v)), max_size=4)


def reshaped(dist: Distribution, chain: list[tuple[str, float]], token: int) -> Distribution:
    for name, value in chain:
        dist = dist.scaled(value) if name == "scale" else dist.add([token], [value])
    return dist


def truth_of(full: Distribution, shown: np.ndarray) -> dict[str, float]:
    hidden = 1.0 - math.fsum(np.exp(full.logprobs_of(shown)).tolist())
    values = {name: float(getattr(full, name)) for name in NAMES[:3]}
    return {**values, "tail_mass": hidden}


@settings(max_examples=300)
@given(
    st.lists(st.floats(-25, 10), min_size=2, max_size=30),
    st.integers(1, 29),
    steps,
    st.booleans(),
)
@example([0.0, 0.0], 1, [], True)
@example([0.0, -25.0, -25.0, 10.0], 1, [("scale", 0.1), ("scale", 5.0)], False)
def test_every_interval_and_the_tail_hold_the_truth(
    row: list[float], shown: int, chain: list[tuple[str, float]], counted: bool
) -> None:
    full = Distribution.dense(np.array(row) - np.logaddexp.reduce(row), origin="logprobs")
    ids, logprobs = full.leading(min(shown, len(row) - 1))
    head = Distribution.head(ids, logprobs, len(row) if counted else None)
    token = int(ids[-1])
    head, full = reshaped(head, chain, token), reshaped(full, chain, token)
    truth = truth_of(full, ids)
    for name in NAMES:
        low, high = head.bounds(name)
        slack = 1e-9 * max(1.0, abs(truth[name]))
        assert low - slack <= truth[name] <= high + slack, name
    tail = head.tail
    assert tail is not None and tail.max_logprob is not None
    hidden = np.setdiff1d(np.arange(len(row)), ids)
    assert full.logprobs_of(hidden).max() <= tail.max_logprob + 1e-9
    assert tail.mass_low - 1e-12 <= truth["tail_mass"] <= tail.mass_high + 1e-12
    assert tail.count == (len(hidden) if counted else None)


@settings(max_examples=100)
@given(st.floats(0.001, 0.2), st.integers(5, 60), st.floats(0.2, 5))
def test_extreme_tails_lie_within_the_bounds(mass: float, count: int, factor: float) -> None:
    # One token is shown; the rest is spread evenly, or packed into as few tokens as the bound allows.
    head = Distribution.head([0], [LOG(1 - mass)], count + 1, max_hidden=LOG(mass / 3))
    even = [mass / count] * count
    packed = [mass / 3 * (1 - 1e-12)] * 3 + [1e-300] * (count - 3)
    for rest in (even, packed):
        full = Distribution.dense(np.log([1 - mass, *rest]), origin="logprobs").scaled(factor)
        for name in ("log_normalizer", "entropy", "varentropy"):
            low, high = head.scaled(factor).bounds(name)
            assert low - 1e-9 <= getattr(full, name) <= high + 1e-9


def test_a_head_that_shows_nearly_everything_has_narrow_bounds() -> None:
    # 1/2, 1/4, 1/4 - 1e-6 shown, 1e-6 hidden in at most 100 tokens: 1e-6 * log(100 / 1e-6) = 1.8e-5 nats at most.
    head = Distribution.head([0, 1, 2], [LOG(0.5), LOG(0.25), LOG(0.25 - 1e-6)], 103)
    low, high = head.bounds("entropy")
    assert high - low < 5e-5 and low == pytest.approx(1.5 * LOG(2), abs=5e-5)
    assert head.bounds("log_normalizer") == (0.0, 0.0) and head.logprob(0) == LOG(0.5)
    low, high = head.scaled(2.0).bounds("log_normalizer")
    assert high - low < 1e-5 and low == pytest.approx(LOG(0.375), abs=1e-5)


def test_the_share_of_a_disclosed_token_is_bounded_at_its_peak_inside_the_interval() -> None:
    # One token is shown, of probability 0.1 to 1: x log(1/x) is 0 at 1 and 1/e at its peak; x log(1/x)**2 is 4/e**2.
    shown, tail = Distribution.head([0], [LOG(0.9)], 5).scaled(0.5), Tail(0.0, 0.9, 4, 0.0)
    assert surprisal_of_shown(shown.row, shown.hidden, tail, 1) == (
        pytest.approx(0, abs=1e-15),
        pytest.approx(math.exp(-1)),
    )
    assert surprisal_of_shown(shown.row, shown.hidden, tail, 2) == (
        pytest.approx(0, abs=1e-15),
        pytest.approx(4 * math.exp(-2)),
    )


def test_without_a_vocabulary_size_the_entropy_has_no_upper_bound() -> None:
    head = Distribution.head([0, 1], [LOG(0.5), LOG(0.25)])
    # At least: 0.5 * log 2 + 0.25 * log 4, and 0.25 in tokens no likelier than 0.25, so 0.25 * log 4 again.
    low, high = head.bounds("entropy")
    assert (low, high) == (pytest.approx(1.5 * LOG(2), abs=1e-5), math.inf)
    assert head.bounds("varentropy") == (0.0, math.inf)
    assert head.scaled(0.5).bounds("log_normalizer").high == math.inf


def test_tokens_of_denormal_probability_do_not_spoil_the_bounds() -> None:
    head = Distribution.head([0, 1], [LOG(0.9), -9.0], 10, max_hidden=LOG(0.05)).scaled(82.0)
    for name in NAMES:
        low, high = head.bounds(name)
        assert math.isfinite(low) and math.isfinite(high) and low <= high


def test_a_banned_token_of_a_head_adds_nothing() -> None:
    head = Distribution.head([0, 1], [LOG(0.5), LOG(0.3)], 10).add([1], [-math.inf])
    low, high = head.bounds("log_normalizer")
    assert low == pytest.approx(LOG(0.7), abs=3e-6) and high == pytest.approx(LOG(0.7), abs=3e-6)
    assert math.isfinite(head.bounds("entropy").high)


def test_a_stated_entropy_is_the_entropy_until_a_transformation_changes_it() -> None:
    whole = Distribution.dense(np.random.default_rng(1).normal(0, 2, 50))
    ids, logprobs = whole.leading(9)
    silent = Distribution.head(ids, logprobs, 50)
    head = Distribution.head(ids, logprobs, 50, entropy=whole.entropy)
    assert head.entropy == whole.entropy and head.bounds("entropy") == (whole.entropy, whole.entropy)
    assert head.marked_ambiguous().entropy == whole.entropy
    assert pickle.loads(pickle.dumps(head)).entropy == whole.entropy
    for name in ("varentropy", "log_normalizer", "tail_mass"):
        assert head.bounds(name) == silent.bounds(name)  # type: ignore[arg-type]
    for change in (
        lambda dist: dist.scaled(1.5), lambda dist: dist.add([int(ids[2])], [1.0]), lambda dist: dist.top(3),
        lambda dist: dist.nucleus(0.3), lambda dist: dist.truncated(), lambda dist: dist.keep(ids[:4]),
    ):  # fmt: skip
        assert change(head).knows_entropy == change(silent).knows_entropy
        assert change(head).bounds("entropy") == change(silent).bounds("entropy")
    with pytest.raises(Undisclosed):
        head.scaled(1.5).entropy  # noqa: B018 - it raises


def test_an_entropy_of_all_tokens_shown_is_computed_not_believed() -> None:
    assert Distribution.head([0, 1], [LOG(0.5), LOG(0.5)], 2, entropy=0.1).entropy == pytest.approx(LOG(2))


@pytest.mark.parametrize("entropy", [-0.1, math.nan, math.inf, LOG(4) + 1e-3])
def test_an_impossible_entropy_is_refused(entropy: float) -> None:
    with pytest.raises(DistributionError, match="entropy"):
        Distribution.head([1], [-1.0], 4, entropy=entropy)


def test_the_probability_of_a_tail_that_no_float_can_hold_is_rounded_outwards() -> None:
    head = Distribution.head([0, 1], [LOG(1 - 1e-4), LOG(0.5e-4)], 3).scaled(100)
    tail, truth = head.tail, 100 * (LOG(0.5e-4) - LOG(1 - 1e-4))  # its log-probability
    assert tail is not None and tail.max_logprob is not None
    assert tail.mass_low == 0 < tail.mass_high and truth <= tail.max_logprob < -700
    flat = Distribution.head([0, 1], [LOG(0.5), -800.0], None, max_hidden=-800.0)  # e^799 tokens or more are hidden
    assert flat.scaled(0.5).bounds("log_normalizer").low == pytest.approx(400 + LOG(0.5), abs=1e-5)
