"""The torch adapter over many architectures: the contract, and answers against a float64 forward pass."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from decodekit import Distribution, Prefix
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import (
    CACHED,
    DRIFT,
    FLOAT32_INSIDE,
    FORGETFUL,
    ON_A_GPU,
    ROUTED,
    VOCAB,
    Oracle,
    prefixes_for,
    tiny,
)


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), *ON_A_GPU])
@pytest.mark.parametrize("kind", [*CACHED, *FORGETFUL])
def test_every_kind_of_model_keeps_the_contract_in_a_small_cache(kind: str, device: str, dtype: str) -> None:
    model = tiny(kind).to(device, getattr(torch, dtype))
    report = check_adapter(
        lambda: TorchAdapter(model=model, max_sequences=8, cells=700, tokens_per_forward=40),
        exact=False,
        tolerance=ROUTED if (kind, dtype) == ("Mixtral", "bfloat16") else DRIFT[dtype],
        lengths=(64,),
    )
    assert report.comparisons > 100


@pytest.mark.parametrize(("device", "dtype"), [*(("cpu", dtype) for dtype in DRIFT), *ON_A_GPU])
@pytest.mark.parametrize("kind", [*CACHED, *FORGETFUL])
def test_answers_are_those_of_a_full_forward_pass_in_float64(kind: str, device: str, dtype: str) -> None:
    if dtype == "float64" and kind in FLOAT32_INSIDE:
        return
    model = tiny(kind)
    oracle = Oracle(model)
    model.to(device, getattr(torch, dtype))
    if dtype in ("float16", "bfloat16"):
        oracle = Oracle(model)  # of the rounded weights: what is measured is the arithmetic
    adapter = TorchAdapter(model=model, max_sequences=6, cells=400, tokens_per_forward=32)
    worst = 0.0
    for call in prefixes_for(3, 20 if dtype == "float32" else 8):
        for prefix, answer in zip(call, adapter.predict(call), strict=True):
            assert isinstance(answer, Distribution)
            expected = oracle(prefix.token_ids)
            likely = expected > np.log(1e-6)
            worst = max(worst, float(np.abs(answer.logprobs - expected)[likely].max()))
    assert worst < (ROUTED if (kind, dtype) == ("Mixtral", "bfloat16") else DRIFT[dtype])
    if dtype != "float64":
        assert worst > 0  # it was not the oracle that answered


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_what_one_pass_evicts_another_of_the_same_call_does_not_build_upon(slots: int) -> None:
    model = tiny("Llama")
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, max_sequences=slots, cells=500)
    for seed in range(3):
        for call in prefixes_for(seed, 15):
            call = [*call, *(prefix.extend([seed]) for prefix in call[::3])]
            for prefix, answer in zip(call, adapter.predict(call), strict=True):
                assert np.abs(answer.logprobs - oracle(prefix.token_ids)).max() < DRIFT["float32"]  # type: ignore[union-attr]


def test_an_experts_answer_depends_on_its_batch_mates_by_rounding_only() -> None:
    model = tiny("Mixtral")
    adapter = TorchAdapter(model=model)
    prefixes = [Prefix([(7 * i + j) % VOCAB for j in range(12)]) for i in range(8)]
    together = adapter.predict(prefixes)
    alone = [TorchAdapter(model=model).predict([prefix])[0] for prefix in prefixes]
    gaps = [float(np.abs(a.logprobs - b.logprobs).max()) for a, b in zip(together, alone, strict=True)]  # type: ignore[union-attr]
    assert (
        max(gaps) < 1e-5
    )  # transformers routes each token by itself: no expert has a capacity that a mate could use up


def test_what_it_says_of_itself_is_complete() -> None:
    adapter = TorchAdapter(model=tiny("Llama"))
    info = adapter.info
    assert (info.vocab_size, info.context_length, info.origin, info.stage) == (VOCAB, 300, "logits", "raw")
    assert info.deterministic and info.versions["torch"] and info.versions["transformers"]
    (answer,) = adapter.predict([Prefix([5, 6, 7])])
    assert answer.schedule == {  # type: ignore[union-attr]
        "rows": 1, "columns": 3, "cached": 0, "threads": 1, "dtype": "float32", "device": "cpu", "attention": "sdpa",
    }  # fmt: skip
