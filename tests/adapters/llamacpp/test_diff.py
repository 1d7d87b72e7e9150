"""Two ways to keep the cache are two sets of bits: where their runs part, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

import decodekit
from decodekit import processor

pytestmark = pytest.mark.real_model

CHAIN = decodekit.Chain([processor("temperature", temperature=1.2), processor("top_p", top_p=0.95)])
PROMPT = "The lighthouse stands at the edge of"


def test_another_type_of_the_cache_is_a_drift_of_the_distribution(make: Callable[..., Any], tmp_path: Path) -> None:
    paths = []
    for name in ("bf16-f16", "f16"):
        paths.append(tmp_path / f"{name}.jsonl")
        session = decodekit.Session(make(n_ctx=64, cache_type=name), CHAIN, seed=7)
        session.generate(PROMPT, max_tokens=12, trace=paths[-1], level="full")
    found = decodekit.diff(*paths)
    sequence = found.sequences[0]
    assert [field.field for field in found.fields] == ["adapter.schedule_invariant"]
    assert 0 < sequence.before.max_drift < 2 and sequence.before.first_stage == "raw"
    if not found.equal:  # on the machine where this was written: at step 9
        parting = sequence.parting
        assert (found.cause, found.where) == ("distribution", "raw") and parting.explained is not False
        assert parting.stages[0].compared > 40_000 and parting.stages[0].tv_high - parting.stages[0].tv_low < 1e-9
        assert parting.a.sound and parting.b.sound
