"""Our presets beside numbers that the engines' own code gave: rows, histories and settings with what was left of them.

Each file names the engine, its version, and the functions that ran and how. Numbers only; no code of theirs is here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, Randomness
from decodekit.draw.randomness import PROCESSORS
from decodekit.testing import PiecesTokenizer

FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("engine_*.json"))}
CASES = [(name, index) for name, content in FILES.items() for index in range(len(content["cases"]))]
UNSEEN = -90.0  # nats: a float32 probability that is zero


@pytest.mark.parametrize(("name", "index"), CASES)
def test_what_is_left_is_what_the_engine_left(name: str, index: int) -> None:
    about = FILES[name]
    case: dict[str, Any] = about["cases"][index]
    pieces = case.get("pieces", [f"<{i}>" for i in range(len(case["row"]))])
    tokenizer = PiecesTokenizer([piece.encode() for piece in pieces], eos_ids=case.get("ends", about.get("ends", [])))
    ctx = Context(case["prompt"], case["output"], tokenizer, rng=Randomness(0).at(0, PROCESSORS, 1))
    if "processor" in case:
        chain = Chain([decodekit.processor(case["processor"], **case["asked"])])
    else:
        chain = Chain.preset(about["preset"], about.get("preset_version"), **case["asked"])
    ours = chain.apply(Distribution.dense([-math.inf if x is None else x for x in case["row"]]), ctx)
    kept = ours.support()
    assert sorted(kept[ours.logprobs_of(kept) > UNSEEN].tolist()) == case["ids"]
    np.testing.assert_allclose(ours.logprobs_of(case["ids"]), case["logprobs"], atol=3e-5)
