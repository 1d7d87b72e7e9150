"""The bytes of a step's line are those of its plain data, whatever it holds."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit.chain import Entry
from decodekit.distribution.disclosure import Disclosure, Tail
from decodekit.testing import NGramAdapter
from decodekit.trace.codec import encode_step, to_line
from decodekit.trace.lines import Lines
from decodekit.trace.reader import inspect_trace
from decodekit.trace.step import Abandoned, Step
from decodekit.trace.step_content import content_of

from .conftest import TEXT, chain

HERE = Path(__file__).parent


def test_all_steps_of_all_traces_that_are_kept() -> None:
    steps = []
    for path in [*HERE.glob("golden/*.jsonl"), *HERE.glob("conformance/*.jsonl")]:
        try:
            steps += inspect_trace(path)[0].steps
        except decodekit.TraceError:
            continue
    assert len(steps) > 300
    for step in steps:
        assert content_of(step) == to_line(encode_step(step))


@pytest.fixture(scope="module")
def step() -> Step:
    return (
        decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=7).generate("the ", max_tokens=1).trace.steps[0]
    )


TAIL = Tail(0.1, 0.2, None, -inf)


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "NaN Infinity N I"},
        {"text": '"\\\x00\u2028\U0001f600'},
        {"entries": (Entry("x", kl=inf, chosen=-inf),)},
        {"entries": (Entry("x", 1, 0.5, 0.0, 0.0, kept_mass=0.0, kept_bounds=(0.0, 1.0), ambiguous=True),)},
        {"entries": (Entry("x", tail=TAIL, gave_up=TAIL, tosses=((0, 2**64 - 1),)),)},
        {"entries": (Entry("x", tail=replace(TAIL, max_logprob=-1.0)),)},
        {"complete": False, "schedule": {"rows": 3, "by": "x"}, "stream": 2**64 - 1},
        {"asked": (("why", Disclosure(20, (1, 2))),), "abandoned": (Abandoned("no", 3, (1, 2)),)},
        {"draw": None, "evidence": None, "entries": ()},
    ],
)
def test_fields_that_few_steps_have(step: Step, changed: dict[str, Any]) -> None:
    other = replace(step, **changed)
    assert content_of(other) == to_line(encode_step(other))


@pytest.mark.parametrize("value", [nan, "\ud800"])
def test_what_a_trace_cannot_hold_is_refused_or_escaped(step: Step, value: Any) -> None:
    lines = Lines()
    lines.add(lines.header(decodekit.Session(NGramAdapter(TEXT)).generate("the ", max_tokens=1).trace.header))
    if isinstance(value, str):
        assert b'"text":"\\\\ud800"' in lines.step(replace(step, text=value), 0).data
        return
    with pytest.raises(decodekit.TraceError, match="cannot hold"):
        lines.step(replace(step, choice=replace(step.choice, logprob=value)), 0)
