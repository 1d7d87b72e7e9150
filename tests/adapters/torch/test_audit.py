"""An audit of tiny torch models: float32 is numerically stable on every axis, bfloat16 is not; experts are tested."""

from __future__ import annotations

import copy

import pytest
import torch

from decodekit.analysis.audit import DEFAULT, AuditReport, audit
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import tiny

NAMED = {"process", "threads"}
"""Axes for which an adapter must have a name."""


def audited(kind: str, dtype: torch.dtype, tokens: int) -> AuditReport:
    module = copy.deepcopy(tiny(kind)).to(dtype)
    return audit(TorchAdapter(model=module), make=lambda: TorchAdapter(model=module), tokens=tokens)


@pytest.mark.parametrize("kind", ["Llama", "Mixtral"])
def test_float32_is_stable_on_every_axis_and_each_is_tested(kind: str) -> None:
    report = audited(kind, torch.float32, 6)
    assert {each.axis for each in report.outcomes if each.word == "not tested"} == NAMED
    assert len(report.outcomes) == len(DEFAULT) and report.trusted
    assert {each.word for each in report.outcomes} <= {"exact", "numerically stable", "not tested"}
    assert report.outcomes[0].word == "exact"  # a repetition


def test_bfloat16_moves_where_the_shape_of_a_pass_changes_and_a_repetition_does_not() -> None:
    report = audited("Mixtral", torch.bfloat16, 12)
    words = {each.axis: each.word for each in report.outcomes}
    assert words["repeat"] == "exact"
    assert {words["cache"], words["ancestors"], words["portions"]} & {"sampling-stable", "unstable"}
    assert words["batch neighbours"] != "not tested"  # what decides which tokens an expert sees together
