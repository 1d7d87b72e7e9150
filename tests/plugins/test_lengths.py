"""Shortest and longest lengths, and what they force, against transformers and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decodekit import (
    Context,
    Distribution,
    EmptySupport,
    PluginError,
)
from decodekit.testing import PiecesTokenizer

from .cases import TIGHT, apply, cases, context, scores, split
from .transformers_laws import check_same, theirs, torch_scores

INF = math.inf
FLAT = np.zeros(6, dtype=np.float32)


def test_lengths_are_transformers() -> None:
    generation, acted = theirs(), 0
    for rng, row, ids in cases(250, seed=14, longest=12):
        if not ids:
            continue
        ends = sorted(set(rng.integers(0, len(row), int(rng.integers(1, 4))).tolist()))
        at, (prompt, output) = int(rng.integers(0, 14)), split(rng, ids)
        ctx = context(prompt, output)
        expected = torch_scores(generation.MinLengthLogitsProcessor(at, ends), ids, row)
        check_same("min_length", row, ctx, expected, min_length=at, eos_ids=ends)
        law = generation.MinNewTokensLengthLogitsProcessor(len(prompt), at, ends)
        expected = torch_scores(law, ids, row)
        check_same("min_new_tokens", row, ctx, expected, min_new_tokens=at, eos_ids=ends[:1], stop_ids=ends)
        factor = float(rng.uniform(0.8, 1.5))
        law = generation.ExponentialDecayLengthPenalty((at, factor), ends, len(prompt))
        expected = torch_scores(law, ids, row)
        got = scores("exponential_length_decay", row, ctx, exponential_length_decay=factor, start=at, eos_ids=ends)
        np.testing.assert_allclose(got, expected, rtol=3e-6, atol=5e-6)
        acted += bool((got != row).any())
        law = generation.ForcedEOSTokenLogitsProcessor(at + 1, ends)
        expected = torch_scores(law, ids, row)
        got = scores("forced_eos", row, ctx, forced_eos=ends, max_length=at + 1, equal=True)
        np.testing.assert_allclose(got, expected, **TIGHT)
        got = scores("forced_eos", row, ctx, forced_eos=ends, max_length=at + 1)
        assert (np.isneginf(got) == np.isneginf(expected)).all()
        assert got[ends].tolist() == row[ends].tolist()  # the model's proportions
    assert acted > 35


def test_forced_bos_is_transformers_after_one_token_and_forces_after_any_prompt() -> None:
    generation = theirs()
    for rng, row, _ in cases(250, seed=15):
        token = int(rng.integers(0, len(row)))
        law = generation.ForcedBOSTokenLogitsProcessor(token)
        expected = torch_scores(law, [0], row)
        got = apply("forced_bos", Distribution.dense(row), context([0]), forced_bos=token)
        np.testing.assert_allclose(got.logprobs_of(np.arange(len(row))), expected, **TIGHT)
        assert torch_scores(law, [0, 1], row).tolist() == row.tolist()  # a longer prompt: nothing, and no word
        assert apply("forced_bos", Distribution.dense(row), context([0, 1]), forced_bos=token).support() == [token]
        assert scores("forced_bos", row, context([0], [1]), forced_bos=token).tolist() == row.tolist()


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.sampled_from(["both", "output"]))
def test_at_the_longest_length_nothing_but_the_end_is_left(prompt: int, output: int, most: int, scope: str) -> None:
    got = scores("max_length", FLAT, context([0] * prompt, [1] * output), max_length=most, scope=scope, eos_ids=[2, 4])
    length = output + (prompt if scope == "both" else 0)
    assert np.flatnonzero(got > -INF).tolist() == ([2, 4] if length + 1 >= most else list(range(6)))


ENDING: list[tuple[str, dict[str, Any], Context]] = [
    ("min_length", {"min_length": 5}, context([0, 1])),
    ("min_new_tokens", {"min_new_tokens": 5}, context([0, 1])),
    ("max_length", {"max_length": 2}, context([0, 1])),
    ("exponential_length_decay", {"exponential_length_decay": 1.5, "start": 0}, context([0], [1, 1])),
]


@pytest.mark.parametrize(("name", "parameters", "ctx"), ENDING)
def test_the_end_is_the_tokenizers_unless_it_is_given(name: str, parameters: dict[str, Any], ctx: Context) -> None:
    row = np.array([1.0, 0.5, 2.0, 0.25, 1.0, 1.0], dtype=np.float32)
    knows = PiecesTokenizer([b"a", b"b", None, None, b"c", b"d"], eos_ids=[2, 3])
    ctx_with = context(ctx.prompt_ids, ctx.output_ids, knows)
    moved = scores(name, row, ctx_with, **parameters)
    assert moved.tolist() == scores(name, row, ctx, eos_ids=[3, 2], **parameters).tolist() != row.tolist()
    with pytest.raises(PluginError, match=f"plugin '{name}'.*the end of text needs a tokenizer"):
        scores(name, row, ctx, **parameters)
    endless = context(ctx.prompt_ids, ctx.output_ids, PiecesTokenizer([b"a"]))
    with pytest.raises(PluginError, match="has no end-of-text token; give eos_ids"):
        scores(name, row, endless, **parameters)


def test_a_length_that_leaves_nothing_names_itself() -> None:
    only_end = np.array([-INF, -INF, 1.0], dtype=np.float32)
    for name in ("min_length", "min_new_tokens"):
        with pytest.raises(EmptySupport, match=f"stage '{name}'"):
            scores(name, only_end, context([0]), **{name: 5, "eos_ids": [2]})
    no_end = np.array([1.0, 1.0, -INF], dtype=np.float32)
    for name, parameters in (
        ("max_length", {"max_length": 1, "eos_ids": [2]}),
        ("forced_eos", {"forced_eos": [2], "max_length": 2}),
        ("forced_bos", {"forced_bos": 2}),
    ):
        with pytest.raises(EmptySupport, match=f"stage '{name}'"):
            scores(name, no_end, context([0]), **parameters)


def test_a_decay_of_thousands_of_tokens_stays_finite() -> None:
    row = np.array([3.0, -1.0], dtype=np.float32)
    got = apply("exponential_length_decay", Distribution.dense(row), context([0], [0] * 5000),
                exponential_length_decay=100.0, start=0, eos_ids=[1])  # fmt: skip
    assert got.mode == 1 and np.isfinite(got.scores).all()
