"""The length of guesses, in simulated time: what it gains where guesses are right, and that it never costs much."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit.session.guess_length import MOST_GUESSED, GuessCost, GuessLength


def simulated(
    rate: float,
    share: float,
    fixed: float = 0.0,
    *,
    tokens: int = 400,
    seed: int = 0,
    noise: float = 0.0,
    measured=True,
) -> float:
    """The time of a run without guesses, divided by its time with them; a call without guesses takes 1."""
    rng = np.random.default_rng(seed)
    cost, length = GuessCost(measured=measured), GuessLength()
    done, spent = 0, 0.0
    while done < tokens:
        guessed = min(length.next(cost), tokens - done - 1)
        seconds = 1 + (fixed + share * guessed if guessed else 0.0)
        seconds_seen = seconds * float(np.exp(noise * rng.exponential())) if noise else seconds
        cost.seen(seconds_seen, 1, guessed)
        wrong = np.flatnonzero(rng.random(guessed) >= rate)
        right = int(wrong[0]) if len(wrong) else guessed
        if guessed:
            length.learn(guessed, min(right + 1, guessed), right, cost)
        spent += seconds
        done += right + 1
    return tokens / spent


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("fixed", [0.0, 0.3, 1.0])
def test_it_never_costs_more_than_three_hundredths(share: float, fixed: float) -> None:
    for rate in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        gains = [simulated(rate, share, fixed, seed=seed) for seed in range(10)]
        assert np.mean(gains) >= 0.97, (rate, np.round(gains, 3))


def test_what_is_right_pays() -> None:
    assert simulated(1.0, 0.05) > 6
    assert simulated(1.0, 0.4) > 1.9
    assert simulated(0.95, 0.3) > 1.4
    assert simulated(1.0, 0.7, 0.3) > 1.15  # the first guessed token costs as much as a call
    assert simulated(0.9, 0.1, measured=False) > 1.8


def test_times_of_a_busy_machine_do_not_stop_what_pays() -> None:
    gains = [simulated(1.0, 0.3, seed=seed, noise=0.5) for seed in range(10)]
    assert min(gains) > 1.5


def test_without_measured_times_the_lengths_follow_from_counts() -> None:
    fast, slow = GuessCost(measured=False), GuessCost(measured=False)
    for turn in range(50):
        fast.seen(1.0, 1, turn % 3)
        slow.seen(1.0 + 9 * (turn % 3), 1, turn % 3)
    rates = [n / 20 for n in range(21)]
    assert [fast.best(rate) for rate in rates] == [slow.best(rate) for rate in rates]
    assert fast.best(0.5) == 0 and fast.best(1.0) == MOST_GUESSED and 1 < fast.best(0.9) < MOST_GUESSED


def test_a_guesser_that_takes_long_to_say_nothing_is_asked_rarely() -> None:
    cost = GuessCost(measured=True)
    assert not cost.too_long(1.0, 1)  # nothing to compare with
    cost.seen(1.0, 1, 0)
    assert cost.too_long(0.1, 1) and not cost.too_long(0.001, 1)
    length, asked = GuessLength(), 0
    for _ in range(1000):
        if length.next(cost):
            asked += 1
            length.rest()
    assert asked <= 10
