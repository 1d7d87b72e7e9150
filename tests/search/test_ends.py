"""What ends a search, and that nothing is lost: limits, deadlines, validators that fail, interrupts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from decodekit import AdapterError, EmptySupport, PluginError, ValidSamples, sample_valid
from decodekit.search import known_prefixes, particles, planning, runs, validator, writing
from decodekit.search.valid_samples import Method
from tests.interrupts import count_opcodes, interrupt
from tests.search.tables import MAX_TOKENS, PROMPT, Masked, model, odd, plain, texts, valid_of

METHODS: tuple[Method, ...] = ("rejection", "cars", "smc", "awrs")


def sampled(valid: Any, method: Method, n: int = 5, adapter: Any = None, **keywords: Any) -> ValidSamples:
    return sample_valid(adapter or model(), PROMPT, valid, n=n, method=method, max_tokens=MAX_TOKENS, **keywords)


def never(_: str, ended: bool) -> bool:
    """What is begun may become valid; nothing does."""
    return not ended


@pytest.mark.parametrize("method", METHODS)
def test_what_is_cut_is_counted_and_estimated_and_never_a_sample(method: Method) -> None:
    """A text that only grows: every run is cut, or ends too early."""
    p_cut = 1 - math.fsum(texts(plain).values())
    calls = [sampled(odd, method, n=5, seed=seed, max_runs=8) for seed in range(80)]
    for call in calls:
        assert all(each.token_ids[-1] == 3 and len(each.token_ids) <= MAX_TOKENS for each in call.samples)
    cut = np.array([call.p_cut for call in calls])
    double_c = math.fsum(  # texts with two c in a row are invalid before they are cut
        float(np.prod([plain(ids[:i])[ids[i]] for i in range(MAX_TOKENS)]))
        for ids in np.ndindex(3, 3, 3, 3)
        if (2, 2) in pairwise(ids)
    )
    # Rejection and CARS end with a valid run, which is no cut one: their share is a little too small.
    bias = 0.25 * p_cut if method in ("rejection", "cars") else 0.0
    assert abs(cut.mean() - (p_cut - double_c)) < 5 * cut.std(ddof=1) / math.sqrt(len(calls)) + bias


@pytest.mark.parametrize("method", METHODS)
def test_a_validator_that_is_never_complete(method: Method) -> None:
    if method == "cars":
        with pytest.raises(EmptySupport, match=r"no text is valid.*max_tokens") as raised:
            sampled(never, method, seed=1)
        found = raised.value.partial
    else:
        found = sampled(never, method, seed=1, max_runs=30)
        assert found.finish_reason == ("max_runs" if method == "rejection" else "stop")
        assert found.cut > 0 or found.invalid > 0
    assert found.samples == () and found.p_valid == 0 and found.ess == 0 and found.relative_error == math.inf
    assert math.isnan(found.mean(lambda _: 1.0)) and len(found.weights) == 0


def test_cars_proves_that_nothing_is_valid_and_finds_a_probability_exactly() -> None:
    with pytest.raises(EmptySupport, match="no text is valid") as raised:
        sampled(lambda *_: False, "cars", seed=1)
    assert raised.value.partial.bounds == (0.0, 0.0) and raised.value.partial.runs <= 8
    for valid in (odd, Masked()):  # of two tokens: all texts are met soon
        p_valid, truth = valid_of(texts(plain, 2))
        found = sample_valid(model(), PROMPT, valid, n=60, method="cars", max_tokens=2, seed=1)
        assert found.bounds == pytest.approx((p_valid, p_valid), rel=1e-12)
        assert found.p_valid == pytest.approx(p_valid, rel=1e-12) and found.relative_error < 1e-9
        assert {each.token_ids for each in found.samples} == set(truth)


@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_returns_what_is_there(method: Method) -> None:
    assert sampled(odd, method, deadline=0.0).finish_reason == "deadline"
    clock = iter([*[0.0] * 60, *[9.0] * 10_000])
    adapter = model()
    with pytest.MonkeyPatch.context() as patch:
        for module in (planning, validator, writing):
            patch.setattr(module.time, "monotonic", lambda: next(clock))
        found = sampled(odd, method, n=50, adapter=adapter, deadline=5.0, seed=2)
    assert found.finish_reason == "deadline" and found.cut > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_validator_that_raises_is_named_and_what_was_found_is_kept(method: Method) -> None:
    asked = 0

    def fragile(text: str, ended: bool) -> bool:
        nonlocal asked
        asked += 1
        if asked > 25:
            raise ValueError("no parser")
        return odd(text, ended)

    with pytest.raises(PluginError, match=r"plugin 'fragile', step \d: raised ValueError: no parser") as raised:
        sampled(fragile, method, n=200, seed=3)
    found = raised.value.partial
    assert isinstance(found, ValidSamples) and found.finish_reason == "error" and found.checks == 26
    if method in ("rejection", "cars"):
        whole = sampled(odd, method, n=200, seed=3)
        assert len(found.samples) > 0 and set(found.samples) <= set(whole.samples)


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_an_answer_that_is_not_true_or_false_is_an_error(answer: Any) -> None:
    with pytest.raises(PluginError, match="not true or false"):
        sampled(lambda *_: answer, "rejection")


@pytest.mark.parametrize("allowed", [None, 7, "ab", [1.5], [[1]], ["a"]])
def test_what_is_not_a_list_of_ids_is_an_error(allowed: Any) -> None:
    class Wrong(Masked):
        def allowed(self, ids: tuple[int, ...]) -> Any:
            return allowed

    with pytest.raises(PluginError, match="'Wrong', step 0: allowed returned"):
        sampled(Wrong(), "smc")


def test_a_mask_of_the_vocabulary_may_be_longer_than_it() -> None:
    class Padded(Masked):
        def allowed(self, ids: tuple[int, ...]) -> Any:
            mask = np.ones(32, dtype=bool)
            mask[:4] = np.isin(np.arange(4), super().allowed(ids))
            return mask

    assert sampled(Padded(), "smc", seed=1).samples == sampled(Masked(), "smc", seed=1).samples


def test_the_error_of_an_adapter_has_what_was_found() -> None:
    adapter, asked = model(), 0
    predict = adapter.predict

    def failing(prefixes: Any, disclose: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked > 12:
            raise OSError("gone")
        return predict(prefixes, disclose)

    adapter.predict = failing  # type: ignore[method-assign]
    with pytest.raises(AdapterError, match="gone") as raised:
        sampled(odd, "rejection", n=500, adapter=adapter, seed=1)
    assert len(raised.value.partial.samples) > 3


@pytest.mark.parametrize("method", METHODS)
def test_a_full_context_cuts(method: Method) -> None:
    found = sampled(odd, method, n=30, adapter=model(context_length=2), seed=1)
    assert found.cut > 0 and all(len(each.token_ids) <= 2 for each in found.samples)


def test_a_particle_is_given_up_after_so_many_checks() -> None:
    found = sampled(lambda text, ended: text != "a" and odd(text, ended), "awrs", n=50, seed=1, max_checks=1)
    assert found.cut > 0 and 0 < found.p_cut < 1


@pytest.mark.parametrize("method", ["rejection", "cars", "smc"])
def test_an_interrupt_anywhere_keeps_what_was_accepted(method: Method) -> None:
    files = {module.__file__ for module in (known_prefixes, particles, runs, writing)}
    whole = sampled(odd, method, n=3, seed=5)
    kept: list[ValidSamples] = []

    def action() -> None:
        try:
            sampled(odd, method, n=3, seed=5)
        except KeyboardInterrupt as error:
            kept.append(error.partial)  # type: ignore[attr-defined]
            raise

    total = count_opcodes(action, files)
    for at in range(total // 3, total - 500, 997):
        assert interrupt(action, files, at)
    assert len(kept) > 3 and {each.finish_reason for each in kept} == {"cancelled"}
    if method != "smc":  # weights change until the end
        assert all(set(each.samples) <= set(whole.samples) for each in kept)
        assert any(each.samples for each in kept)
