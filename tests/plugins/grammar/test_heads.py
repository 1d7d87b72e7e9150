"""Constraints on models that show a part, with what stands behind the mask: the text is what it is with everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance")

from decodekit import Chain, Disclosure, Distribution, Session, Undisclosed, processor, sampler
from tests.plugins.grammar.models import SIZE, model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "on": {"type": "boolean"}, "n": {"type": "integer"}},
    "required": ["name", "on"],
    "additionalProperties": False,
}
NAMED = Disclosure(20, tuple(range(SIZE)))  # a server that answers named ids, as vLLM does
LONGER = Disclosure(SIZE - 1)  # one that gives a longer list where it is asked for one
MARK = sampler("gumbel_watermark", gumbel_watermark="vllm", key="public", start="marked")


def texts(most: Disclosure | None, *behind: Any, draw: Any = "multinomial") -> list[tuple[str, str]]:
    found = []
    for seed in range(2):
        adapter = model(seed) if most is None else model(seed, most)
        chain = Chain([processor("json_schema", json_schema=SCHEMA), *behind], sampler=draw)
        result = Session(adapter, chain, seed=seed).generate("a", max_tokens=60)
        found.append((result.text, str(result.finish_reason)))
    return found


@pytest.mark.parametrize("most", [NAMED, LONGER], ids=["named", "longer"])
@pytest.mark.parametrize("part", ["top_k", "top_p", "min_p"])
def test_a_part_behind_the_mask_asks_for_what_it_needs(most: Disclosure, part: str) -> None:
    behind = {
        "top_k": processor("top_k", top_k=10),
        "top_p": processor("top_p", top_p=0.9),
        "min_p": processor("min_p", min_p=0.01),
    }
    assert texts(most, behind[part]) == texts(None, behind[part])


@pytest.mark.parametrize("most", [NAMED, LONGER], ids=["named", "longer"])
def test_a_mark_behind_the_mask_asks_for_allowed_tokens_only(most: Disclosure) -> None:
    assert texts(most, draw=MARK) == texts(None, draw=MARK)


def test_what_cannot_be_shown_is_named_without_a_contradiction() -> None:
    dist = Distribution.head(range(20), [-3.0 - n / 10 for n in range(20)], vocab_size=SIZE)
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[10:200] = True
    with pytest.raises(Undisclosed, match="11 most likely tokens of those that a mask allows") as caught:
        dist.allow(mask).top(11)
    need = caught.value.need
    assert need.top == 80  # more than the 20 that were shown, not the 11 that are wanted
    assert need.ids == tuple(range(20, 200))
