"""Sets of tokens against transformers; and the contract that every bias, set and length keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import (
    CHEAP,
    Chain,
    Context,
    Disclosure,
    Distribution,
    EmptySupport,
    ParameterError,
    Undisclosed,
    processor,
)
from decodekit.testing import check_processor

from .cases import cases, context, scores, split
from .transformers_laws import check_same, theirs, torch_scores

INF = math.inf


def test_suppressed_tokens_are_transformers() -> None:
    generation = theirs()
    for rng, row, ids in cases(250, seed=12):
        if not ids:
            continue
        tokens = rng.integers(0, len(row), int(rng.integers(1, 9))).tolist()
        expected = torch_scores(generation.SuppressTokensLogitsProcessor(tokens), ids, row)
        ctx = context(*split(rng, ids))
        check_same("suppressed_tokens", row, ctx, expected, suppressed_tokens=tokens)
        begin = generation.SuppressTokensAtBeginLogitsProcessor(tokens, len(ctx.prompt_ids))
        check_same("begin_suppressed_tokens", row, ctx, torch_scores(begin, ids, row), begin_suppressed_tokens=tokens)


def test_allowed_tokens_are_transformers_where_those_do_not_fall_back() -> None:
    generation = theirs()
    for rng, row, ids in cases(250, seed=13):
        allowed = rng.integers(0, len(row), int(rng.integers(1, 9))).tolist()
        law = generation.PrefixConstrainedLogitsProcessor(lambda *_, allowed=allowed: allowed, 1)
        row[rng.random(len(row)) < 0.5] = -INF
        if np.isneginf(row).all():
            continue
        expected = torch_scores(law, ids or [0], row)
        if np.isneginf(row[allowed]).all():
            with pytest.raises(EmptySupport, match="stage 'allowed_tokens'"):
                scores("allowed_tokens", row, context(ids), allowed_tokens=allowed)
        else:
            check_same("allowed_tokens", row, context(ids), expected, allowed_tokens=allowed)


def test_an_empty_set_is_refused() -> None:
    for name in ("allowed_tokens", "suppressed_tokens", "begin_suppressed_tokens"):
        for value in ([], [-1], [True], [1.5], ["a"], 3, None):
            with pytest.raises(ParameterError, match=f"processor '{name}': {name}"):
                processor(name, **{name: value})


def test_a_mask_that_leaves_nothing_names_itself_where_transformers_goes_on() -> None:
    row = np.array([-INF, 1.0, 0.0], dtype=np.float32)
    with pytest.raises(EmptySupport, match="stage 'allowed_tokens'"):
        scores("allowed_tokens", row, context(), allowed_tokens=[0])
    with pytest.raises(EmptySupport, match="stage 'suppressed_tokens'"):
        scores("suppressed_tokens", row, context(), suppressed_tokens=[1, 2])
    generation = theirs()
    law = generation.PrefixConstrainedLogitsProcessor(lambda *_: [0], 1)
    assert torch_scores(law, [1], row).tolist() == [0.0, -INF, -INF]  # a token without probability gets all of it


NEEDS: list[tuple[str, dict[str, Any], Context, Disclosure]] = [
    ("sequence_bias", {"sequence_bias": [[[1, 2], 1.0], [[3], 1.0]]}, context([1]), Disclosure(None, (2, 3))),
    ("sequence_bias", {"sequence_bias": [[[1, 2], 1.0], [[3], 1.0]]}, context([0]), Disclosure(None, (3,))),
    ("bad_words", {"bad_words": [[1, 2], [4]]}, context([0], [1]), Disclosure(None, (2, 4))),
    ("allowed_tokens", {"allowed_tokens": [2, 5]}, context([0]), Disclosure(None, (2, 5))),
    ("suppressed_tokens", {"suppressed_tokens": [2, 5]}, context([0]), Disclosure(None, (2, 5))),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [2]}, context([0]), Disclosure(None, (2,))),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [2]}, context([0], [1]), CHEAP),
    ("min_length", {"min_length": 3, "eos_ids": [2]}, context([0], [1]), Disclosure(None, (2,))),
    ("min_length", {"min_length": 3, "eos_ids": [2]}, context([0], [1, 1]), CHEAP),
    ("min_new_tokens", {"min_new_tokens": 3, "eos_ids": [2], "stop_ids": [3]}, context([0]), Disclosure(None, (2, 3))),
    ("max_length", {"max_length": 3, "eos_ids": [2]}, context([0], [1]), Disclosure(None, (2,))),
    ("max_length", {"max_length": 3, "eos_ids": [2]}, context([0]), CHEAP),
    ("forced_bos", {"forced_bos": 2}, context([0]), Disclosure(None, (2,))),
    ("forced_eos", {"forced_eos": [2], "max_length": 2}, context([0]), Disclosure(None, (2,))),
]


@pytest.mark.parametrize(("name", "parameters", "ctx", "need"), NEEDS)
def test_each_says_what_it_needs_and_asks_a_head_for_it(
    name: str, parameters: dict[str, Any], ctx: Context, need: Disclosure
) -> None:
    plugin = processor(name, **parameters)
    assert Chain([plugin]).need(ctx) == need
    head = Distribution.head([0, 1], np.log([0.5, 0.3]), 9)
    if need is CHEAP:
        assert Chain([plugin]).apply(head, ctx) is head
        return
    with pytest.raises(Undisclosed) as caught:
        Chain([plugin]).apply(head, ctx)
    assert caught.value.need == Disclosure(2, need.ids)
    shown = Distribution.head([0, 1, *need.ids], np.log([0.5, 0.3, *[0.01] * len(need.ids)]), 9, max_hidden=-2.0)
    Chain([plugin]).apply(shown, ctx)


CONTRACT: list[tuple[str, dict[str, Any]]] = [
    ("sequence_bias", {"sequence_bias": [[[0, 1], 1.5], [[1], -1.0], [[1, 0], False]]}),
    ("bad_words", {"bad_words": [[0, 1], [1, 1, 0]]}),
    ("allowed_tokens", {"allowed_tokens": [0, 1]}),
    ("suppressed_tokens", {"suppressed_tokens": [1, 1]}),
    ("begin_suppressed_tokens", {"begin_suppressed_tokens": [1]}),
    ("min_length", {"min_length": 4, "eos_ids": [1]}),
    ("min_new_tokens", {"min_new_tokens": 2, "eos_ids": [1], "stop_ids": [0]}),
    ("max_length", {"max_length": 4, "eos_ids": [1, 0]}),
    ("forced_bos", {"forced_bos": 1}),
    ("forced_eos", {"forced_eos": [0, 1], "max_length": 4}),
    ("forced_eos", {"forced_eos": [0, 1], "max_length": 4, "equal": True}),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 1, "eos_ids": [1]}),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 1, "eos_ids": [1], "law": "logprobs"}),
]


@pytest.mark.parametrize(("name", "parameters"), CONTRACT)
def test_each_keeps_the_contract(name: str, parameters: dict[str, Any]) -> None:
    plugin = processor(name, **parameters)
    assert check_processor(plugin, names_ids=True) >= 20
    assert processor(name, **Chain([plugin]).describe()["processors"][0]["params"]) == plugin


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(CONTRACT), st.integers(0, 2**32))
def test_masked_tokens_stay_masked(case: tuple[str, dict[str, Any]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 3, 6).astype(np.float32)
    row[rng.integers(0, 6, 3)] = -INF
    try:
        after = scores(case[0], row, context([0], [1, 0][: int(rng.integers(0, 3))]), **case[1])
    except EmptySupport:
        return
    assert (after[np.isneginf(row)] == -INF).all() and not np.isnan(after).any()
