"""The torch adapter when something is wrong: bad prefixes, broken models, no memory, interrupts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from decodekit import Distribution, Prefix
from decodekit.errors import AdapterError, ContextOverflow, DistributionError, OutOfMemory, ParameterError
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import DRIFT, VOCAB, Oracle, failing, passes_of, tiny


def test_each_bad_prefix_has_its_own_error_and_the_good_ones_their_answers() -> None:
    adapter = TorchAdapter(model=tiny("Llama"), n_ctx=50)
    good = Prefix([5, 6])
    asked = [Prefix(), good, Prefix([5, VOCAB]), Prefix([7] * 51), Prefix([7] * 50), good.extend([2**40])]
    kinds = [ParameterError, Distribution, ParameterError, ContextOverflow, Distribution, ParameterError]
    assert [type(answer) for answer in adapter.predict(asked)] == kinds
    assert [type(answer) for answer in adapter.predict([good.extend([VOCAB])])] == [ParameterError]


def test_a_prompt_longer_than_the_positions_is_an_overflow() -> None:
    (answer,) = TorchAdapter(model=tiny("GPT2")).predict([Prefix([1] * 301)])
    assert isinstance(answer, ContextOverflow)
    with pytest.raises(ParameterError, match="300 positions"):
        TorchAdapter(model=tiny("GPT2"), n_ctx=301)


def test_nan_from_a_broken_model_is_its_rows_own_error() -> None:
    def sometimes(ids: Any) -> Any:
        logits = torch.eye(11)[ids].half()
        logits[ids == 7] = float("nan")
        return logits

    answers = TorchAdapter(model=sometimes).predict([Prefix([1, 2]), Prefix([1, 7])])
    assert isinstance(answers[0], Distribution) and isinstance(answers[1], DistributionError)
    assert "NaN" in str(answers[1])


NO_ROOM = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")]


@pytest.mark.parametrize("error", NO_ROOM)
@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_out_of_memory_shrinks_the_cache_tries_once_more_and_lives_on(
    monkeypatch: pytest.MonkeyPatch, times: int, error: BaseException
) -> None:
    model = tiny("Llama")
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, tokens_per_forward=16)
    adapter.predict([Prefix([1, 2, 3])])
    asked = [Prefix([1, 2, 3]).extend(range(10, 30 + n)) for n in (0, 1)] + [Prefix([4] * 20)]
    failing(model, monkeypatch, times, error)
    given = adapter.predict(asked)
    monkeypatch.undo()
    assert sum(isinstance(answer, OutOfMemory) for answer in given) == times - 1  # the first is tried again
    for call, answers in ((asked, given), (asked, adapter.predict(asked))):
        for prefix, answer in zip(call, answers, strict=True):
            if not (answers is given and isinstance(answer, OutOfMemory)):
                assert np.abs(answer.logprobs - oracle(prefix.token_ids)).max() < DRIFT["float32"]  # type: ignore[union-attr]


def test_a_step_of_generation_without_room_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    prefix, other = Prefix([1, 2, 3]), Prefix([9, 9])
    adapter.predict([other])
    adapter.predict([prefix])
    failing(model, monkeypatch, 1, NO_ROOM[0])
    (answer,) = adapter.predict([prefix.extend([4])])
    assert np.abs(answer.logprobs - Oracle(model)([1, 2, 3, 4])).max() < DRIFT["float32"]  # type: ignore[union-attr]
    monkeypatch.undo()
    shapes = passes_of(model, monkeypatch)
    adapter.predict([other.extend([4])])
    assert shapes == [(1, 3)]  # the other sequence had to go


def test_an_interrupt_leaves_index_and_cache_in_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    prefix = Prefix(range(40))
    adapter.predict([prefix])
    failing(model, monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        adapter.predict([prefix.extend([1, 2]), prefix.extend([1, 3])])
    monkeypatch.undo()
    (answer,) = adapter.predict([prefix.extend([1, 2])])
    assert np.abs(answer.logprobs - Oracle(model)([*range(40), 1, 2])).max() < DRIFT["float32"]  # type: ignore[union-attr]


def test_a_closed_adapter_says_so_and_closes_again() -> None:
    adapter = TorchAdapter(model=tiny("Llama"))
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="closed"):
        adapter.predict([Prefix([5])])
