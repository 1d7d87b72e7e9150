"""Draws repeated from the record: many steps together as each alone."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

import decodekit
from decodekit.draw.context import Context
from decodekit.draw.samplers import multinomial
from decodekit.draw.together import multinomial_of_lists
from decodekit.testing import TableAdapter
from decodekit.trace import Trace
from decodekit.trace.redraw import noise_of, redraw, redraw_together
from decodekit.trace.verifying import _pieces


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Two sequences of 70 tokens, drawn from lists of different lengths, one token among them."""

    def scores(ids: tuple[int, ...]) -> np.ndarray:
        spread = 40.0 if len(ids) % 7 == 0 else 2.0
        return np.random.default_rng([*ids[-2:], len(ids)]).normal(0.0, spread, 300)

    session = decodekit.Session(TableAdapter(scores, 300), decodekit.Chain.of("top_p=0.9"), seed=3)
    return session.generate_many([[5]], n=2, max_tokens=70)[0][0].trace


def test_steps_are_drawn_together_as_each_is_drawn_alone(trace: Trace) -> None:
    noises = [noise_of(trace, step, 0) for step in trace.steps]
    alone = [redraw(trace, step, noise) for step, noise in zip(trace.steps, noises, strict=True)]
    assert min(len(step.evidence.token_ids) for step in trace.steps if step.evidence is not None) == 1
    assert redraw_together(trace, trace.steps, noises) == alone
    assert redraw_together(trace, trace.steps[:1], noises[:1]) == [None]  # nothing to draw it with


def test_a_record_that_is_no_distribution_or_has_a_floor_is_left_to_be_drawn_alone(trace: Trace) -> None:
    noises = [noise_of(trace, step, 0) for step in trace.steps[:4]]
    first, second, *others = trace.steps[:4]
    assert first.evidence is not None and second.evidence is not None
    twice = replace(first, evidence=replace(first.evidence, token_ids=np.zeros_like(first.evidence.token_ids)))
    floored = replace(second, evidence=replace(second.evidence, floor=-9.0))
    drawn = redraw_together(trace, [twice, floored, *others], noises)
    assert [choice is None for choice in drawn] == [True, True, False, False]


def test_a_forged_step_among_many_fails_alone(trace: Trace) -> None:
    words = decodekit.verify(trace).words
    assert set(words) == {"proved"} and len(words) == 140
    forged = trace.steps[99]
    assert forged.evidence is not None
    changed = replace(
        forged.evidence, scores=forged.evidence.scores + np.linspace(0.0, 5.0, len(forged.evidence.scores))
    )
    steps = [*trace.steps[:99], replace(forged, evidence=changed), *trace.steps[100:]]
    found = decodekit.verify(replace(trace, steps=steps))
    assert [at for at, word in enumerate(found.words) if word == "failed"] == [99]
    assert found.word == "failed" and found.step == forged.index


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("ids", [[200, 3], [3, 200], [7, 200, 3]])
def test_the_runner_up_is_another_token_however_far_below_it_is(ids: list[int]) -> None:
    """No float64 holds the difference of these scores, so all tokens but the winner are equal, at -inf."""
    noise = decodekit.Randomness(1).at(0)
    dist = decodekit.Distribution.listed(ids, [1e305, *[-sys.float_info.max] * (len(ids) - 1)], 300)
    alone = multinomial(dist, Context(), noise)
    assert (alone.token_id, alone.runner_up, alone.margin) == (ids[0], min(ids[1:]), math.inf)
    assert multinomial_of_lists([dist, dist], [noise, noise]) == [None, None]


def test_a_piece_of_a_trace_ends_early_where_its_steps_are_large(trace: Trace) -> None:
    """`verify` of a path holds one piece at a time."""
    step = trace.steps[0]
    large = replace(step, raw=replace(step.raw, top=((0, -0.5),) * 60_000))
    assert [len(piece) for piece in _pieces([large] * 5 + [step] * 70)] == [2, 2, 64, 7]
