"""The numbers of other projects' own tests of their samplers, asked of our processors and presets.

A case has a row of scores (``row``, ``probs`` as logarithms, ``flat`` as [score, size], or ``ladder``: the logarithm of
each id) and what must be left of it: which ``ids``, how many (``count``), all ``from`` an id on; ``probs``, ``weights``
or ``logprobs`` of all tokens; or ``scores``, of some tokens where ``sparse``. A file says what it leaves out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, Randomness
from decodekit.draw.randomness import PROCESSORS
from decodekit.testing import BytesTokenizer, PiecesTokenizer

SUITES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("suite_*.json"))}
CASES = [
    pytest.param(case, id=f"{name}-{index}-{case['what'].replace(' ', '_')}")
    for name, suite in SUITES.items()
    for index, case in enumerate(suite["cases"])
]


def scores_of(case: dict[str, Any]) -> np.ndarray:
    if "flat" in case:
        return np.full(case["flat"][1], case["flat"][0])
    values = case.get("row", case.get("probs", np.arange(case.get("ladder", 0))))
    with np.errstate(divide="ignore"):
        return np.asarray(values, np.float64) if "row" in case else np.log(np.asarray(values, np.float64))


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_is_what_their_test_expects(case: dict[str, Any]) -> None:
    row, asked = scores_of(case), case["asked"]
    if "processor" in case:
        chain = Chain([decodekit.processor(case["processor"], **asked)])
    else:
        chain = Chain.preset(case["preset"], **asked)
    ends = PiecesTokenizer([b"x"] * len(row), eos_ids=case["ends"]) if "ends" in case else BytesTokenizer()
    ctx = Context(case.get("prompt", []), case.get("output", []), ends, rng=Randomness(0).at(0, PROCESSORS, 1))
    after, left = chain.apply(Distribution.dense(row), ctx), case["left"]
    kept = sorted(after.support().tolist())
    everything = np.arange(len(row))
    if "ids" in left:
        assert kept == left["ids"]
    elif "count" in left:
        assert len(kept) == left["count"]
    elif "from" in left:
        assert (kept[0], len(kept)) == (max(left["from"], 1), len(row) - max(left["from"], 1))  # 0 has no probability
    elif "sparse" in left:
        ids = [int(i) for i in left["sparse"]]
        np.testing.assert_allclose(after.scores_of(ids), list(left["sparse"].values()), rtol=1e-6)
    elif "scores" in left:
        np.testing.assert_allclose(after.scores_of(everything), left["scores"], rtol=1e-6, atol=1e-7)
    elif "logprobs" in left:
        np.testing.assert_allclose(after.logprobs_of(everything), left["logprobs"], atol=2e-5)
    else:
        expected = np.array(left.get("probs", left.get("weights")))
        np.testing.assert_allclose(np.exp(after.logprobs_of(everything)), expected / expected.sum(), atol=2e-5)
