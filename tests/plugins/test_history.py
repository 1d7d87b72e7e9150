"""Penalties and n-grams against llama.cpp, transformers, and the laws of exllama and koboldcpp in plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import CHEAP, Chain, Disclosure, Distribution, ParameterError, Undisclosed, processor
from decodekit.testing import check_processor
from decodekit_sampling.history import named, recent

from .cases import TIGHT, apply, cases, context, scores, split
from .transformers_laws import check_same, torch_scores

INF = np.inf
short = st.lists(st.integers(0, 4), max_size=25)


# -- what came before ----------------------------------------------------------------------------------------------


@given(short, short, st.none() | st.integers(1, 60), st.sampled_from(["prompt", "output", "both"]))
def test_recent_is_the_end_of_the_scope(prompt: list[int], output: list[int], window: int | None, scope: Any) -> None:
    ids = {"prompt": prompt, "output": output, "both": prompt + output}[scope]
    assert recent(context(prompt, output), scope, window).tolist() == ids[-(window or 10**9) :]


def test_a_few_tokens_are_asked_for_by_name_and_thousands_only_when_they_are_missing() -> None:
    assert named([3, 1, 3]) == Disclosure(None, (1, 3))
    assert named(range(512)) == Disclosure(None, tuple(range(512)))
    assert named(range(513)) is CHEAP
    ctx = context(range(600))
    head = Distribution.head([1], np.log([0.5]), 1000)
    with pytest.raises(Undisclosed) as caught:
        apply("presence_penalty", head, ctx, presence_penalty=1.0, scope="both")
    assert set(caught.value.need.ids) == set(range(600)) - {1}


# -- penalties -----------------------------------------------------------------------------------------------------


def test_the_three_penalties_in_this_order_are_llama_cpps_one() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    for rng, row, ids in cases(250, seed=2):
        last_n = int(rng.integers(1, 100))
        repeat, frequency, presence = (float(np.float32(x)) for x in rng.uniform([0.5, -1, -1], [2, 2, 2]))
        c = llama.build("penalties", len(row), last_n, repeat, frequency, presence)
        llama.accept(c, ids)
        theirs = llama.scores(c, row)
        same: dict[str, Any] = {"window": last_n, "scope": "both"}
        chain = Chain(
            [
                processor("repetition_penalty", repetition_penalty=repeat, **same),
                processor("frequency_penalty", frequency_penalty=frequency, **same),
                processor("presence_penalty", presence_penalty=presence, **same),
            ]
        )
        ours = chain.apply(Distribution.dense(row), context(*split(rng, ids)))
        np.testing.assert_allclose(ours.scores, theirs, **TIGHT)


def test_a_negative_window_that_llama_cpp_takes_for_off_is_refused() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")

    row = np.ones(3, dtype=np.float32)
    c = llama.build("penalties", 3, -1, 2.0, 1.0, 1.0)
    llama.accept(c, [1, 1])
    assert llama.scores(c, row).tolist() == [1, 1, 1]  # no penalty, and no word
    for name in ("repetition_penalty", "frequency_penalty", "presence_penalty"):
        with pytest.raises(ParameterError, match=f"processor '{name}': window"):
            processor(name, **{name: 1.5, "window": -1})


def test_repetition_penalties_are_transformers() -> None:
    pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.generation")
    import torch

    for rng, row, ids in cases(250, seed=3):
        if not ids:
            continue
        penalty = float(rng.uniform(0.4, 2.5))
        expected = torch_scores(theirs.RepetitionPenaltyLogitsProcessor(penalty), ids, row)
        ctx = context(*split(rng, ids))
        got = scores("repetition_penalty", row, ctx, repetition_penalty=penalty)
        np.testing.assert_allclose(got, expected, **TIGHT)
        prompt = len(ctx.prompt_ids)
        law = theirs.RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=prompt)
        got = scores("repetition_penalty", row, ctx, repetition_penalty=penalty, scope="output")
        np.testing.assert_allclose(got, torch_scores(law, ids, row) if prompt < len(ids) else row, **TIGHT)
        encoder = rng.integers(0, len(row), 7).tolist()
        law = theirs.EncoderRepetitionPenaltyLogitsProcessor(penalty, torch.tensor([encoder]))
        expected = torch_scores(law, ids, row)
        for given_ids in ({"ids": encoder}, {}):
            ctx = context(encoder, ids) if not given_ids else ctx
            got = scores("encoder_repetition_penalty", row, ctx, encoder_repetition_penalty=penalty, **given_ids)
            np.testing.assert_allclose(got, expected, **TIGHT)


def exllamav2(
    row: np.ndarray, ids: list[int], repeat: float, sustain: int, decay: int, frequency: float, presence: float
) -> np.ndarray:
    """Backwards through the history; past the sustained range every penalty falls by an equal step per token."""
    after, seen = row.astype(np.float64), set()
    steps = [(1 - repeat) / decay, -frequency / decay, -presence / decay] if decay else [0.0] * 3
    for distance, token in enumerate(ids[::-1][: sustain + decay]):
        if token not in seen:
            after[token] = after[token] / repeat if after[token] > 0 else after[token] * repeat
            after[token] -= presence
            seen.add(token)
        after[token] -= frequency
        if distance >= sustain:
            repeat, frequency, presence = repeat + steps[0], frequency + steps[1], presence + steps[2]
    return after


def exllamav3(row: np.ndarray, ids: list[int], repeat: float, sustain: int, decay: int) -> np.ndarray:
    """Each token has the largest factor of its occurrences, and mixes its score with the penalised one by it."""
    factors = np.zeros(len(row))
    for at, token in enumerate(ids):
        distance = len(ids) - at
        factor = 1.0 if distance <= sustain else max(0.0, 1 - (distance - sustain) / decay) if decay else 0.0
        factors[token] = max(factors[token], factor)
    exact = row.astype(np.float64)
    return exact * (1 - factors) + np.where(exact > 0, exact / repeat, exact * repeat) * factors


def exllamav3_additive(
    row: np.ndarray, ids: list[int], presence: float, frequency: float, sustain: int, decay: int
) -> np.ndarray:
    after, largest = row.astype(np.float64), np.zeros(len(row))
    for at, token in enumerate(ids):
        factor = min(1.0, max(0.0, 1 - (len(ids) - at - sustain) / decay))
        after[token] -= factor * frequency
        largest[token] = max(largest[token], factor)
    return after - presence * largest


def test_decay_is_exllamas() -> None:
    for rng, row, ids in cases(250, seed=4):
        window, decay = int(rng.integers(1, 40)), int(rng.integers(1, 40))
        repeat, frequency, presence = rng.uniform([0.5, 0, 0], [2, 1, 1]).tolist()
        ctx = context(*split(rng, ids))
        same: dict[str, Any] = {"window": window, "decay": decay, "scope": "both"}
        got = scores("repetition_penalty", row, ctx, repetition_penalty=repeat, **same)
        np.testing.assert_allclose(got, exllamav3(row, ids, repeat, window, decay), rtol=1e-12)
        got = scores("repetition_penalty", row, ctx, repetition_penalty=repeat, fade="penalty", **same)
        np.testing.assert_allclose(got, exllamav2(row, ids, repeat, window - 1, decay, 0, 0), rtol=1e-9)
        both = Chain(
            [
                processor("presence_penalty", presence_penalty=presence, **same),
                processor("frequency_penalty", frequency_penalty=frequency, **same),
            ]
        ).apply(Distribution.dense(row), ctx)
        np.testing.assert_allclose(
            both.scores, exllamav3_additive(row, ids, presence, frequency, window, decay), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(
            both.scores, exllamav2(row, ids, 1.0, window - 1, decay, frequency, presence), rtol=1e-9, atol=1e-12
        )


def test_slope_is_koboldcpps() -> None:
    for rng, row, ids in cases(250, seed=5):
        window, penalty, slope = int(rng.integers(1, 60)), float(rng.uniform(0.5, 2)), float(rng.uniform(0.1, 1))
        filled = [0] * (window - len(ids)) if rng.random() < 0.5 else []
        last = filled + ids[-window:]
        far, near = set(last[: len(last) - (window - window // 2)]), set(last[-(window - window // 2) :])
        reduced = 1 + (penalty - 1) * slope if penalty > 1 else penalty
        expected = row.astype(np.float64)
        for token in far | near:
            factor = penalty if token in near else reduced
            expected[token] = expected[token] / factor if expected[token] > 0 else expected[token] * factor
        ctx = context(*split(rng, ids))
        padding = 0 if filled else None
        asked = {"window": window, "slope": slope, "padding": padding}
        got = scores("repetition_penalty", row, ctx, repetition_penalty=penalty, **asked)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_window_that_is_filled_counts_the_filling_too() -> None:
    asked = {"window": 5, "padding": 0, "scope": "both"}
    for name, expected in (("presence_penalty", [-1, 0, -1, 0]), ("frequency_penalty", [-3, 0, -2, 0])):
        assert scores(name, np.zeros(4), context([2, 2]), **{name: 1.0}, **asked).tolist() == expected
    with pytest.raises(ParameterError, match="padding fills a window"):
        processor("presence_penalty", presence_penalty=1.0, padding=0)


def test_ways_to_fade_that_contradict_each_other_are_refused() -> None:
    for name in ("repetition_penalty", "frequency_penalty", "presence_penalty"):
        with pytest.raises(ParameterError, match="decay begins where the window ends"):
            processor(name, **{name: 1.5, "decay": 3})
    with pytest.raises(ParameterError, match="use one of them"):
        processor("repetition_penalty", repetition_penalty=1.5, window=3, decay=3, slope=0.5)


# -- n-grams -------------------------------------------------------------------------------------------------------


def test_no_ngram_twice_is_transformers() -> None:
    pytest.importorskip("torch")
    theirs = pytest.importorskip("transformers.generation")
    import torch

    banned = 0
    for rng, row, ids in cases(300, seed=6):
        size = int(rng.integers(1, 5))
        ctx = context(*split(rng, ids))
        if ids:
            expected = torch_scores(theirs.NoRepeatNGramLogitsProcessor(size), ids, row)
            check_same("no_repeat_ngram", row, ctx, expected, no_repeat_ngram=size)
            banned += np.isneginf(expected).any()
        encoder = rng.integers(0, min(len(row), 3), 12).tolist()
        law = theirs.EncoderNoRepeatNGramLogitsProcessor(size, torch.tensor([encoder]))
        expected = torch_scores(law, encoder + ids, row)
        check_same("encoder_no_repeat_ngram", row, context(encoder, ids), expected, encoder_no_repeat_ngram=size)
        if len(ids) >= size:
            expected = torch_scores(law, ids, row)
            check_same("encoder_no_repeat_ngram", row, ctx, expected, encoder_no_repeat_ngram=size, ids=encoder)
    assert banned > 75


@settings(max_examples=300, deadline=None)
@given(
    short, short, st.integers(1, 4), st.none() | st.integers(1, 30),
    st.lists(st.integers(0, 4), min_size=1, max_size=2), st.sampled_from(["prompt", "output", "both"]),
)  # fmt: skip
def test_no_ngram_twice_within_a_window(
    prompt: list[int], output: list[int], size: int, window: int | None, whitelist: list[int], scope: str
) -> None:
    ids = {"prompt": prompt, "output": output, "both": prompt + output}[scope][-(window or 10**9) :]
    grams = {tuple(ids[at : at + size]) for at in range(len(ids) - size + 1)}
    ends = {t for t in range(5) if (*ids[len(ids) - size + 1 :], t) in grams} if len(ids) >= size else set()
    expected = np.array([-INF if t in ends - set(whitelist) else 0.0 for t in range(6)])
    got = scores(
        "no_repeat_ngram", np.zeros(6, dtype=np.float32), context(prompt, output), no_repeat_ngram=size,
        window=window, whitelist=whitelist, scope=scope,
    )  # fmt: skip
    assert got.tolist() == expected.tolist()


# -- the contract --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("repetition_penalty", {"repetition_penalty": 1.4, "window": 2, "decay": 2}),
        ("repetition_penalty", {"repetition_penalty": 1.4, "window": 2, "decay": 2, "fade": "penalty"}),
        ("repetition_penalty", {"repetition_penalty": 1.4, "slope": 0.5}),
        ("repetition_penalty", {"repetition_penalty": 1.4, "window": 2, "decay": 2, "law": "logprobs"}),
        ("frequency_penalty", {"frequency_penalty": 0.6, "window": 1, "decay": 3, "scope": "both"}),
        ("presence_penalty", {"presence_penalty": 0.6, "window": 1, "decay": 3, "scope": "both"}),
        ("encoder_repetition_penalty", {"encoder_repetition_penalty": 1.4}),
        ("encoder_repetition_penalty", {"encoder_repetition_penalty": 0.4, "law": "logprobs"}),
        ("no_repeat_ngram", {"no_repeat_ngram": 1}),
        ("no_repeat_ngram", {"no_repeat_ngram": 2, "window": 3}),
        ("encoder_no_repeat_ngram", {"encoder_no_repeat_ngram": 2}),
    ],
)
def test_each_keeps_the_contract(name: str, parameters: dict[str, Any]) -> None:
    assert check_processor(processor(name, **parameters)) >= 20
    named_ids = {**parameters, **({"ids": [0, 1]} if name.startswith("encoder") else {})}
    described = Chain([processor(name, **named_ids)]).describe()["processors"][0]["params"]
    assert processor(name, **described) == processor(name, **named_ids)
