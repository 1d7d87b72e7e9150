"""One step as a table: the probabilities at each stage, as far as the record holds them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import decodekit
from decodekit.testing import TableAdapter
from decodekit.trace import Trace
from decodekit.trace.stages import bar, grid, share_text


def run(parts: list[tuple[str, dict[str, object]]], sampler: str = "multinomial", **call: object) -> Trace:
    """One token from probabilities 0.5, 0.3, 0.15, 0.05."""
    adapter = TableAdapter({(): np.log([0.5, 0.3, 0.15, 0.05])}, 4)
    chain = decodekit.Chain([decodekit.processor(name, **params) for name, params in parts], sampler)
    return decodekit.Session(adapter, chain, top_logprobs=2).generate([0], max_tokens=1, **{"seed": 3, **call}).trace


def test_each_stage_has_the_probabilities_a_hand_calculation_gives() -> None:
    trace = run([("top_k", {"top_k": 2})])
    stages, rows = grid(trace.steps[0], trace.header.chain)
    assert [(stage.name, stage.detail, stage.support) for stage in stages] == [("raw", "", 4), ("top_k", "2", 2)]
    assert rows[0].shares == pytest.approx((0.5, 0.5 / 0.8))
    assert rows[1].shares == pytest.approx((0.3, 0.3 / 0.8))


def test_a_share_is_unknown_until_the_record_says_it_and_zero_once_removed() -> None:
    # Two leaders and the chosen token are kept at each stage; of a runner-up beyond them only the final share is known.
    for seed in range(200):
        trace = run([("temperature", {"temperature": 2.0}), ("temperature", {"temperature": 1.0})], seed=seed)
        if (trace.steps[0].token_id, trace.steps[0].choice.runner_up) == (3, 2):
            break
    _, rows = grid(trace.steps[0], trace.header.chain)
    row = next(row for row in rows if row.chosen)
    total = sum(map(math.sqrt, (0.5, 0.3, 0.15, 0.05)))
    assert row.shares == pytest.approx((0.05, math.sqrt(0.05) / total, math.sqrt(0.05) / total))
    row = next(row for row in rows if row.token_id == 2)
    assert row.shares == pytest.approx((None, None, math.sqrt(0.15) / total))
    trace = run([("top_k", {"top_k": 1}), ("temperature", {"temperature": 2.0})])
    _, rows = grid(trace.steps[0], trace.header.chain)
    assert [row.shares[1:] for row in rows] == [(1.0, 1.0), (0.0, 0.0)]


@pytest.mark.parametrize(
    ("share", "text"), [(None, "?"), (0.0, "-"), (1.0, "100.00 %"), (0.41234, "41.23 %"), (1e-6, "<0.01 %")]
)
def test_a_share_is_written_in_eight_columns(share: float | None, text: str) -> None:
    assert share_text(share) == text and len(text) <= 8


def test_the_leading_tokens_are_limited_and_the_chosen_and_the_runner_up_are_always_there() -> None:
    for seed in range(200):
        trace = run([], seed=seed)
        if (trace.steps[0].token_id, trace.steps[0].choice.runner_up) == (3, 2):
            break
    columns, rows = grid(trace.steps[0], trace.header.chain, most=1)
    assert [column.name for column in columns] == ["raw"]
    assert {(row.token_id, row.chosen) for row in rows} == {(0, False), (2, False), (3, True)}


def test_a_list_of_numbers_is_no_detail_of_a_column() -> None:
    trace = run([("logit_bias", {"logit_bias": {0: 1.0}}), ("top_p", {"top_p": 0.9})])
    columns, _ = grid(trace.steps[0], trace.header.chain)
    assert [(column.name, column.detail) for column in columns] == [("raw", ""), ("logit_bias", ""), ("top_p", "0.9")]


@pytest.mark.parametrize(
    ("share", "shown", "plain"),
    [
        (None, "    ", "    "),
        (0.0, "    ", "    "),
        (0.3, "█▎  ", "#   "),
        (0.999, "████", "####"),
        (1.0, "████", "####"),
    ],
)
def test_a_bar_has_the_width_it_is_given(share: float | None, shown: str, plain: str) -> None:
    assert (bar(share, 4), bar(share, 4, unicode=False)) == (shown, plain)
