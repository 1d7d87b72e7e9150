"""What a sweep says of its chains, from rows that can be counted by hand."""

from __future__ import annotations

import math

import pytest

from decodekit import ParameterError
from decodekit.analysis.sweeps.result import Row, Sweep
from decodekit.analysis.sweeps.units import Task

TEXTS = {  # by chain and prompt; capitals are right
    ("one", 0): ["A", "A", "b", "c"],
    ("one", 1): ["b", "b", "C", "b"],
    ("other", 0): ["A", "A", "A", "c"],
    ("other", 1): ["b", "", "C", "D"],  # the second one failed, and the check of the last
}
CHAINS = ["one", "other"]


def row(chain: str, task: int, sample: int, text: str) -> Row:
    failed, unchecked = text == "", text == "D"
    value = None if failed or unchecked else float(text.isupper())
    error, check_error = "no" if failed else None, "no" if unchecked else None
    at = (task, CHAINS.index(chain), sample, sample, f"{chain}{task}{sample}")
    return Row(*at, text, tuple(map(ord, text)), "error" if failed else "stop", error, value, text, check_error)


ROWS = [row(chain, task, j, text) for (chain, task), own in TEXTS.items() for j, text in enumerate(own)]
SWEEP = Sweep([Task("x"), Task("y")], CHAINS, 4, 1, "mine", ROWS)


def test_estimates_leave_out_what_failed_and_count_by_prompt() -> None:
    assert (SWEEP.score("one").value, SWEEP.score("one").count, SWEEP.score("one").clusters) == (3 / 8, 8, 2)
    assert (SWEEP.score("other").value, SWEEP.score("other").count) == (4 / 6, 6)
    assert SWEEP.pass_at_k("one", 2).value == pytest.approx(((1 - 1 / 6) + 1 / 2) / 2)
    assert SWEEP.pass_at_k("other", 3).count == 1  # the second prompt has two samples left
    assert SWEEP.majority("one").value == 0.5 and SWEEP.minimum_bayes_risk("one").value == 0.5
    assert SWEEP.agreement("one").value == pytest.approx((1 / 6 + 3 / 6) / 2)
    assert SWEEP.distinct("one", 1).value == pytest.approx((3 / 4 + 2 / 4) / 2)


def test_pairs_are_of_one_prompt_and_one_sample() -> None:
    difference = SWEEP.difference("one", "other")
    assert (difference.value, difference.count) == (pytest.approx(1 / 6), 6)
    assert SWEEP.divergence("one", "other").steps == (math.inf, math.inf, 0, math.inf, math.inf, math.inf, 0)
    assert SWEEP.divergence("one", "other").equal == 5 / 7
    first, second = (1 / 3 + 1 / 4, 1 / 2 + 1 / 2)  # Var(one) + Var(other) of both prompts
    assert SWEEP.variance_saved("one", "other") == pytest.approx(1 - (1 / 4 + 0) / (first + second))


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least 5"):
        SWEEP.pass_at_k("one", 5)
    with pytest.raises(ParameterError, match="right or wrong"):
        Sweep(SWEEP.tasks, CHAINS, 4, 1, None, ROWS).score("one")
    with pytest.raises(ParameterError, match="no checked samples"):
        Sweep(SWEEP.tasks, CHAINS, 4, 1, "mine", []).score("one")
    with pytest.raises(ParameterError, match="no samples in common"):
        Sweep(SWEEP.tasks, CHAINS, 4, 1, "mine", ROWS[:8]).divergence("one", "other")
