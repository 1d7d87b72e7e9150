"""Which cause is named: the first thing in the order of the computation that is proved to differ and acts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import TableAdapter
from decodekit.trace import Trace

SIZE = 50


def row(ids: Any) -> np.ndarray:
    return np.random.default_rng([len(ids), ids[-1]]).normal(0, 2, SIZE)


def other_row(ids: Any) -> np.ndarray:
    return np.random.default_rng([len(ids), ids[-1], 1]).normal(0, 2, SIZE)


def traced(chain: str, seed: int = 0, rows: Any = row, top: int = 5, level: Any = "proof", prompt: int = 1) -> Trace:
    session = decodekit.Session(TableAdapter(rows, SIZE), chain, seed=seed, top_logprobs=top)
    return session.generate([prompt], max_tokens=10, level=level).trace


@pytest.mark.parametrize("chain", ["", "temperature=0.8 top_p=0.9", "greedy", "inverse_cdf"])
@pytest.mark.parametrize(("top", "level"), [(1, "proof"), (5, "proof"), (5, "choice")])
def test_answers_without_a_recorded_token_in_common_differ(chain: str, top: int, level: str) -> None:
    for seed in range(6):
        one, other = (traced(chain, seed, rows, top, level) for rows in (row, other_row))
        found = decodekit.diff(one, other)
        assert (found.cause, found.where) == ("distribution", "raw"), str(found)


def test_logits_with_another_offset_are_another_answer() -> None:
    """A repetition penalty reads the offset, which no log-probability shows."""
    one = traced("repetition_penalty=1.8")
    found = decodekit.diff(one, traced("repetition_penalty=1.8", rows=lambda ids: row(ids) - 6.0))
    assert found.sequences[0].before.first_stage == "raw", str(found)
