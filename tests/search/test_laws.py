"""Each method draws from p(text | valid), by enumeration of every text of a small model.

Thresholds: a p-value below 1e-6 fails for a chi-square test, |z| above 5 for a mean (p = 6e-7). The seeds are fixed.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest

from decodekit import Chain, Session, processor, sample_valid
from decodekit.search.valid_samples import Method
from tests.plugins.chance import chi_square_tail
from tests.search.tables import (
    MAX_TOKENS,
    PROMPT,
    Law,
    Masked,
    NotAgain,
    chained,
    model,
    odd,
    plain,
    texts,
    valid_of,
)

ADAPTER = model()
CHAIN = Chain([processor("temperature", temperature=1.5), NotAgain(), processor("top_k", top_k=3)])
LAWS = {"plain": (Chain(), plain), "chained": (CHAIN, chained)}
VALIDATORS = {"function": odd, "masked": Masked()}
P_VALUE, Z = 1e-6, 5.0


def p_value(counts: Counter[tuple[int, ...]], law: Law) -> float:
    """Of counts under a law; the rarest texts are one cell, or two where the degrees of freedom would be odd."""
    n = counts.total()
    assert set(counts) <= set(law)
    ids = sorted(law, key=law.__getitem__, reverse=True)
    cells = [[each] for each in ids if n * law[each] >= 5]
    cells += [ids[len(cells) :]] if len(cells) < len(ids) else []
    if len(cells) % 2 == 0:
        cells[-2:] = [cells[-2] + cells[-1]]
    expected = [n * sum(law[each] for each in cell) for cell in cells]
    seen = [sum(counts[each] for each in cell) for cell in cells]
    return chi_square_tail(sum((o - e) ** 2 / e for o, e in zip(seen, expected, strict=True)), len(cells) - 1)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("method", "valid"), [("rejection", "function"), ("cars", "function"), ("cars", "masked")])
def test_samples_of_rejection_and_cars_are_draws_from_the_law(method: Method, valid: str, law: str) -> None:
    chain, next_law = LAWS[law]
    p_valid, truth = valid_of(texts(next_law))
    found = sample_valid(ADAPTER, PROMPT, VALIDATORS[valid], n=500, method=method, max_tokens=MAX_TOKENS, chain=chain,
                         seed=11, max_runs=100_000)  # fmt: skip
    assert len(found.samples) == 500 == found.ess and {each.log_weight for each in found.samples} == {0.0}
    assert p_value(Counter(each.token_ids for each in found.samples), truth) > P_VALUE
    assert found.bounds.low <= p_valid * (1 + 1e-12) and p_valid <= found.bounds.high * (1 + 1e-12)
    assert abs(found.p_valid - p_valid) <= Z * found.standard_error + 1e-12
    for each in found.samples[:20]:
        assert math.exp(each.logprob) == pytest.approx(truth[each.token_ids] * p_valid)


def test_what_cars_has_learnt_before_does_not_change_the_law() -> None:
    """The k-th sample of a call, over many calls; and two samples of one call are independent."""
    _, truth = valid_of(texts(plain))
    calls = [
        sample_valid(ADAPTER, PROMPT, odd, n=3, method="cars", max_tokens=MAX_TOKENS, seed=seed) for seed in range(120)
    ]
    for k in (0, 2):
        assert p_value(Counter(call.samples[k].token_ids for call in calls), truth) > P_VALUE
    short = np.array([[len(each.token_ids) == 3 for each in call.samples] for call in calls])
    both, each = (short[:, 0] & short[:, 2]).mean(), short.mean()
    assert abs(both - each**2) < Z * math.sqrt(each**2 * (1 - each**2) / len(calls))


@pytest.mark.parametrize(
    ("method", "valid", "law"),
    [
        ("awrs", "function", "plain"),
        ("awrs", "masked", "chained"),
        ("smc", "function", "chained"),
        ("smc", "masked", "plain"),
        ("smc", "masked", "chained"),
    ],
)
def test_weights_are_unbiased_for_every_text_and_for_the_probability_of_a_valid_one(
    method: Method, valid: str, law: str
) -> None:
    chain, next_law = LAWS[law]
    p_valid, truth = valid_of(texts(next_law))
    calls = [
        sample_valid(
            ADAPTER,
            PROMPT,
            VALIDATORS[valid],
            n=6,
            method=method,
            max_tokens=MAX_TOKENS,
            chain=chain,
            seed=seed,
            resample_below=0.8,
        )
        for seed in range(120)
    ]
    leading = sorted(truth, key=truth.__getitem__, reverse=True)[:6]
    means = np.zeros((len(calls), len(leading) + 1))
    for i, call in enumerate(calls):
        assert call.p_valid == pytest.approx(sum(math.exp(each.log_weight) for each in call.samples) / call.runs)
        means[i, -1] = call.p_valid
        for each in call.samples:
            assert each.token_ids in truth
            if each.token_ids in leading:
                means[i, leading.index(each.token_ids)] += math.exp(each.log_weight) / call.runs
    expected = np.array([*(truth[each] * p_valid for each in leading), p_valid])
    z = (means.mean(axis=0) - expected) / (means.std(axis=0, ddof=1) / math.sqrt(len(calls)))
    assert np.abs(z).max() < Z


def test_the_probability_by_rejection_is_unbiased_although_runs_end_with_a_valid_one() -> None:
    n = 3
    p_valid, _ = valid_of(texts(plain))
    calls = [
        sample_valid(ADAPTER, PROMPT, odd, n=n, method="rejection", max_tokens=MAX_TOKENS, seed=seed)
        for seed in range(80)
    ]
    values = np.array([call.p_valid for call in calls])
    assert values == pytest.approx([(n - 1) / (call.runs - 1) for call in calls])
    assert abs(values.mean() - p_valid) < Z * values.std(ddof=1) / math.sqrt(len(calls))


def test_the_relative_error_of_smc_is_the_spread_over_seeds() -> None:
    p_valid, _ = valid_of(texts(plain))
    calls = [
        sample_valid(
            ADAPTER, PROMPT, Masked(), n=16, method="smc", max_tokens=MAX_TOKENS, seed=seed, resample_below=0.9
        )
        for seed in range(70)
    ]
    spread = np.std([call.p_valid for call in calls], ddof=1)
    stated = math.sqrt(np.mean([call.standard_error**2 for call in calls]))
    assert 0.7 < stated / spread < 1.4 and abs(calls[0].p_valid - p_valid) < Z * spread


@pytest.mark.parametrize("method", ["cars", "smc"])
def test_a_text_can_end_where_it_is_complete(method: Method) -> None:
    """Then the valid texts are those that are complete for the first time: here a, and b or c before it."""
    truth = {ids: p for ids, p in _begun().items() if ids.count(0) == 1 and ids[-1] == 0 and ids[:2] != (2, 2)}
    found = sample_valid(ADAPTER, PROMPT, odd, n=600, method=method, max_tokens=3, seed=4, stop_when_complete=True)
    total = sum(truth.values())
    assert {each.finish for each in found.samples} == {"complete"} and found.cut > 0
    assert abs(found.p_valid - total) < Z * found.standard_error + 1e-12
    for ids, p in truth.items():
        share = found.mean(lambda each, ids=ids: float(each.token_ids == ids))
        assert abs(share - p / total) < Z * math.sqrt(p / total / found.ess)


def _begun() -> Law:
    """The probability of every beginning of up to three letters."""
    begun: Law = {}
    for length in (1, 2, 3):
        for ids in product(range(3), repeat=length):
            begun[ids] = math.prod(float(plain(ids[:i])[ids[i]]) for i in range(length))
    return begun


def test_rejection_is_generation_and_cars_starts_as_it() -> None:
    """Run j of rejection is the text of `Session.generate` with stream j."""
    session = Session(ADAPTER, seed=3)
    found = sample_valid(session, PROMPT, odd, n=5, method="rejection", max_tokens=MAX_TOKENS)
    for each in found.samples:
        (stream,) = set(each.streams)
        assert session.generate(PROMPT, stream=stream, max_tokens=MAX_TOKENS).token_ids == each.token_ids
    every = [session.generate(PROMPT, stream=j, max_tokens=MAX_TOKENS) for j in range(found.runs)]
    right = [each for each in every if each.finish_reason == "stop" and each.token_ids in valid_of(texts(plain))[1]]
    assert [each.text for each in right] == [each.text for each in found.samples]
    assert found.seed == 3


@pytest.mark.parametrize("method", ["rejection", "cars", "smc", "awrs"])
def test_the_same_seed_gives_the_same_samples_however_wide_the_adapter_is(method: Method) -> None:
    wide, narrow = model(), model()
    object.__setattr__(narrow.info, "concurrency", 1)
    first, second = (
        sample_valid(adapter, PROMPT, odd, n=7, method=method, max_tokens=MAX_TOKENS, seed=5)
        for adapter in (wide, narrow)
    )
    assert first.samples == second.samples and first.p_valid == second.p_valid


def toy_rows(ids: tuple[int, ...]) -> np.ndarray:
    """The toy: a (0.9) must be followed by c (0.01), b (0.1) by anything. Then the text ends."""
    p = {0: [0.9, 0.1, 0, 0], 1: [0, 0.99, 0.01, 0] if ids[-1] == 0 else [0, 0.5, 0.5, 0]}.get(len(ids) - 1)
    with np.errstate(divide="ignore"):
        return np.log(p or [0, 0, 0, 1])


class Toy(Masked):
    """Every text but ab, with the tokens that may come next."""

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        return ids != (0, 1)

    def complete(self, ids: tuple[int, ...]) -> bool:
        return len(ids) == 2


TOY = model(toy_rows)
TOY_LAW = {"ac": 0.009 / 0.109, "bb": 0.05 / 0.109, "bc": 0.05 / 0.109}


def test_the_masked_law_is_another_one() -> None:
    """Masks write a in 90 %, the law in 8 %."""
    masked = {"ac": 0.9, "bb": 0.05, "bc": 0.05}
    tv = sum(abs(masked[text] - TOY_LAW[text]) for text in TOY_LAW) / 2
    assert TOY_LAW["ac"] == pytest.approx(0.0826, abs=1e-4) and tv == pytest.approx(0.8174, abs=1e-4)
    for method, n, error in (("rejection", 300, 0.1), ("cars", 600, 0.1), ("smc", 600, 0.2), ("awrs", 600, 0.2)):
        found = sample_valid(TOY, PROMPT, lambda text, _: text != "ab", n=n, method=method, seed=2, max_tokens=3,
                             max_runs=20_000)  # fmt: skip
        law = {text: found.mean(lambda each, text=text: float(each.text == text)) for text in TOY_LAW}
        assert sum(abs(law[text] - TOY_LAW[text]) for text in TOY_LAW) / 2 < error, (method, law)
        assert found.p_valid == pytest.approx(0.109, abs=5 * found.standard_error + 1e-9)


def test_the_first_sample_of_cars_is_not_masked_either() -> None:
    """When nothing is learnt: a in 8 of 100 calls, not in 90."""
    calls = [sample_valid(TOY, PROMPT, Toy(), seed=seed, max_tokens=3) for seed in range(100)]
    seen = sum(call.samples[0].text == "ac" for call in calls)
    assert abs(seen - 100 * TOY_LAW["ac"]) < Z * math.sqrt(100 * TOY_LAW["ac"] * (1 - TOY_LAW["ac"]))


def test_resampling_keeps_the_mean_of_the_weights() -> None:
    """The weights of the toy are made at its second token, and resampled then."""
    spread = 0
    for seed in range(10):
        without, with_it = (
            sample_valid(TOY, PROMPT, Toy(), n=20, method="smc", seed=seed, max_tokens=3, resample_below=below)
            for below in (0.0, 1.0)
        )
        assert without.p_valid == pytest.approx(with_it.p_valid, rel=1e-12)
        assert with_it.ess == pytest.approx(20)
        spread += without.ess < 10
    assert spread > 3  # there was something to resample
