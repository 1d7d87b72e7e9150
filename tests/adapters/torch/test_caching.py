"""What the torch adapter evaluates and what it keeps: which models have a KV cache, and what each question costs."""

from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from decodekit import Distribution, Prefix
from decodekit_torch import TorchAdapter
from decodekit_torch.cached import Cached
from tests.adapters.torch.models import CACHED, FORGETFUL, cache_of, passes_of, prefixes_for, tiny


@pytest.mark.parametrize("kind", [*CACHED, *FORGETFUL])
def test_a_step_costs_one_token_unless_the_model_has_a_state_and_then_that_is_said(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny(kind)
    with caplog.at_level("WARNING", logger="decodekit"):
        adapter = TorchAdapter(model=model)
    shapes = passes_of(model, monkeypatch)
    prefix = Prefix(range(20))
    for token in range(4):
        adapter.predict([prefix])
        prefix = prefix.extend([token])
    said = [record.event for record in caplog.records if record.name == "decodekit"]
    if kind in CACHED:
        assert shapes == [(1, 20), (1, 1), (1, 1), (1, 1)]
        assert adapter.capabilities == {"kv_cache": True} and said == []
    else:
        assert shapes == [(1, 20), (1, 21), (1, 22), (1, 23)]
        assert str(adapter.capabilities["kv_cache"]).startswith("no: its ")
        assert len(said) == 1 and said[0].startswith("no KV cache")


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_both_names_of_the_cache_argument_are_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers 5.24 calls it cache; before, it was past_key_values. Either is given what the other would be."""
    model = tiny("Llama")
    forward = model.forward
    signature = inspect.signature(forward)
    (own,) = {"cache", "past_key_values"} & set(signature.parameters)
    given: list[bool] = []

    def renamed(**kwargs: Any) -> Any:
        assert not {"cache", "past_key_values"} - {name} & set(kwargs)
        given.append(name in kwargs)
        return forward(**{own if key == name else key: value for key, value in kwargs.items()})

    parameters = [each.replace(name=name) if each.name == own else each for each in signature.parameters.values()]
    renamed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", renamed)
    adapter = TorchAdapter(model=model)
    assert adapter.capabilities == {"kv_cache": True} and any(given)
    shapes = passes_of(model, monkeypatch)
    adapter.predict([Prefix(range(9))])
    adapter.predict([Prefix(range(10))])
    assert shapes == [(1, 9), (1, 1)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda error: {"raises": error}, "no: with a KV cache it raised TypeError: another cache"),
        (lambda _: {"renamed": True}, "no: its forward has no argument for a KV cache"),
    ],
)
def test_a_transformers_that_changed_costs_time_and_says_so(
    change: Any, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, wanted = tiny("Llama"), change(TypeError("another cache"))
    forward = model.forward
    signature = inspect.signature(forward)

    def changed(**kwargs: Any) -> Any:
        if "raises" in wanted and cache_of(kwargs) is not None:
            raise wanted["raises"]
        return forward(**kwargs)

    kept = [each for each in signature.parameters.values() if "cache" not in each.name and "past" not in each.name]
    changed.__signature__ = signature.replace(parameters=kept) if "renamed" in wanted else signature  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", changed)
    with caplog.at_level("WARNING", logger="decodekit"):
        adapter = TorchAdapter(model=model)
    assert adapter.capabilities == {"kv_cache": reason}
    assert caplog.records[0].getMessage().startswith("no KV cache")
    assert isinstance(adapter.predict([Prefix([1, 2])])[0], Distribution)


def test_doctor_says_why_there_is_no_cache(tmp_path: Path) -> None:
    tiny("Mamba").save_pretrained(tmp_path)
    program = "from decodekit.cli import main; main()"
    asked = ["doctor", "--adapter", "torch", "--model", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, "-Ic", program, *asked], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["adapter"]["info"]["capabilities"]["kv_cache"].startswith("no: its ")


def test_a_cache_that_answers_differently_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    forward = model.forward

    def wrong(*args: Any, **kwargs: Any) -> Any:  # forgets where its rows begin
        if cache_of(kwargs) is not None:
            kwargs.pop("position_ids", None)
        return forward(*args, **kwargs)

    wrong.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", wrong)
    assert TorchAdapter(model=model).capabilities == {
        "kv_cache": "no: with a KV cache its answers were different in a test"
    }


@pytest.mark.parametrize("fault", ["the cache ignores the window", "the window cannot be made smaller"])
def test_a_window_is_trusted_only_where_it_was_seen_to_matter(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from transformers.models.mistral import modeling_mistral

    windowed = modeling_mistral.create_sliding_window_causal_mask

    def mask(config: Any, **rest: Any) -> Any:
        if fault == "the window cannot be made smaller":
            config = copy.copy(config)
            config.sliding_window = 8
        elif cache_of(rest) is not None:
            return modeling_mistral.create_causal_mask(config=config, **rest)
        return windowed(config=config, **rest)

    model = tiny("Mistral")
    assert TorchAdapter(model=model).capabilities == {"kv_cache": True}
    assert model.config.sliding_window == 8
    monkeypatch.setattr(modeling_mistral, "create_sliding_window_causal_mask", mask)
    reason = "with a KV cache its" if fault == "the cache ignores the window" else "its sliding window could not be"
    assert str(TorchAdapter(model=model).capabilities["kv_cache"]).startswith(f"no: {reason}")
    assert model.config.sliding_window == 8


# -- how much is evaluated ---------------------------------------------------------------------------------------------


def test_extending_prefixes_evaluates_one_token_each_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    branches = [Prefix(range(30)).extend([i] * (i + 1)) for i in range(5)]
    adapter.predict(branches)
    shapes = passes_of(model, monkeypatch)
    for step in range(4):
        branches = [branch.extend([i + step]) for i, branch in enumerate(branches)]
        adapter.predict(branches[::-1])
    assert shapes == [(5, 1)] * 4


def test_when_a_sequence_ends_the_others_go_on_with_one_token_each(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    branches = [Prefix(range(30)).extend([i]) for i in range(5)]
    adapter.predict(branches)
    shapes = passes_of(model, monkeypatch)
    branches = [branch.extend([7]) for branch in branches[1:]]
    adapter.predict(branches)
    adapter.predict([branch.extend([8]) for branch in branches])
    assert shapes == [(4, 1)] * 2


def test_a_text_is_scored_in_one_pass_and_given_again_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("GPT2")
    adapter = TorchAdapter(model=model)
    shapes = passes_of(model, monkeypatch)
    chain = [Prefix(range(n)) for n in range(1, 61)]
    first = adapter.predict(chain)
    assert shapes == [(1, 60)]
    assert adapter.predict(chain[10:20]) == first[10:20]
    assert shapes == [(1, 60)]


def test_a_cold_stem_is_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    shapes = passes_of(model, monkeypatch)
    adapter.predict([Prefix(range(100)).extend([i, i]) for i in range(10)])
    assert shapes == [(1, 100), (10, 2)]


def test_a_long_prompt_is_evaluated_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model, tokens_per_forward=32)
    shapes = passes_of(model, monkeypatch)
    adapter.predict([Prefix(range(100))])
    assert shapes == [(1, 32)] * 3 + [(1, 4)]


def test_a_rollback_and_a_rejected_guess_cost_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    trunk = Prefix(range(50))
    guess = [trunk.extend(range(60, 60 + n)) for n in range(1, 5)]
    adapter.predict([trunk, *guess])
    shapes = passes_of(model, monkeypatch)
    adapter.predict([guess[1].extend([9])])  # two of four were right
    adapter.predict([Prefix(range(20)).extend([5])])
    assert shapes == [(1, 1), (1, 1)]


@pytest.mark.parametrize("kind", CACHED)
def test_the_cache_stays_within_its_cells(kind: str) -> None:
    cached = Cached(tiny(kind), slots=6, cells=300, tokens_per_forward=512)
    with torch.inference_mode():
        for call in prefixes_for(5, 30):
            cached.evaluate(list({prefix.digest: prefix for prefix in call}.values()), lambda *_: None)
            assert cached.cells <= 300 or cached.groups == 1  # what is evaluated now must have room


def test_a_rejected_guess_is_taken_back_in_place() -> None:
    cached = Cached(tiny("Llama"), slots=6, cells=4000, tokens_per_forward=512)
    trunk = Prefix(range(50))
    guess = [trunk.extend(range(60, 60 + n)) for n in range(1, 5)]
    with torch.inference_mode():
        cached.evaluate([trunk, *guess], lambda *_: None)
        before = cached.cells
        cached.evaluate([guess[1].extend([9])], lambda *_: None)  # two of four were right
    assert (cached.groups, cached.cells) == (1, before)  # the row was not copied
