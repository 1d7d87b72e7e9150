"""The contract checks, then tests of these two plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import decodekit
import numpy as np
import pytest
from decodekit import Context, Distribution
from decodekit.testing import NGramAdapter, check_processor, check_sampler

import third_party_plugin as plugins

BOTH = [
    (decodekit.processor, "sharpen"),
    (decodekit.sampler, "daring"),
]


@pytest.mark.parametrize("value", [0.01, 1.0, 1.7, 100.0])
def test_the_processor_keeps_the_contract(value: float) -> None:
    plugin = plugins.Sharpen(sharpen=value)
    assert check_processor(plugin) > 0


def test_the_processor_raises_probabilities_to_a_power() -> None:
    plugin = plugins.Sharpen(sharpen=2.0)
    after = plugin(Distribution.dense(np.log([0.75, 0.25])), Context())
    assert np.exp(after.logprobs) == pytest.approx([0.9, 0.1])  # 9 to 1 is 3 to 1, squared


@pytest.mark.parametrize(("value", "law"), [(1.0, "multinomial"), (0.0, "greedy"), (0.5, None)])
def test_the_sampler_keeps_the_contract_at_both_ends_and_between(value: float, law: Any) -> None:
    plugin = plugins.Daring(daring=value)
    check_sampler(plugin, law=law, draws=value > 0)


def test_both_are_found_by_name_and_can_be_recorded(tmp_path: Path) -> None:
    chain = decodekit.Chain(
        [decodekit.processor("sharpen", sharpen=1.5)],
        decodekit.sampler("daring", daring=0.5),
    )
    trace = tmp_path / "run.jsonl"
    with decodekit.Session(NGramAdapter("the cat sat on the mat. "), chain, seed=7) as session:
        result = session.generate("the ", max_tokens=12, trace=trace)
    assert len(result.token_ids) == 12
    assert decodekit.verify(trace).word == "consistent"  # no contradiction; only core samplers are proved


@pytest.mark.parametrize(("group", "name"), BOTH)
@pytest.mark.parametrize("value", [-1.0, 101.0, float("nan"), True, "2"])
def test_a_value_outside_the_bounds_is_refused(group: Any, name: str, value: Any) -> None:
    with pytest.raises(decodekit.ParameterError, match=name):
        group(name, **{name: value})
