"""The torch adapter as a caller sees it: one verb over many architectures, its errors, its resources."""

from __future__ import annotations

import copy
import inspect
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import decodekit
from decodekit import Distribution, Prefix
from decodekit.distribution.disclosure import ALL
from decodekit.errors import (
    AdapterError,
    ConfigError,
    ContextOverflow,
    DistributionError,
    ModelNotFound,
    OutOfMemory,
    ParameterError,
)
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter
from tests.adapters.torch_models import CACHED, FORGETFUL, ON_A_GPU, VOCAB, Oracle, tiny

DRIFT = {"float64": 1e-10, "float32": 1e-4, "float16": 0.2, "bfloat16": 0.8}
"""The largest |dlogp| in nats, against a full forward pass in float64, that these random models may show.

Measured over 208 prefixes of each kind: float64 1.2e-14, float32 2.3e-5, float16 0.066, bfloat16 0.34.
"""
ROUTED = 2.0
"""The same in bfloat16 for a mixture of experts, where rounding can send a token to another expert; measured 0.95."""
FLOAT32_INSIDE = ("Gemma2", "Gemma3", "Mamba", "Mixtral")
"""Kinds that compute in float32 somewhere whatever their weights are."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def passes_of(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and columns of every forward pass from here on."""
    shapes: list[tuple[int, int]] = []
    forward = model.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    counting.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counting)
    return shapes


# -- the contract ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), *ON_A_GPU])
@pytest.mark.parametrize("kind", [*CACHED, *FORGETFUL])
def test_every_kind_of_model_keeps_the_contract_in_a_small_cache(kind: str, device: str, dtype: str) -> None:
    model = tiny(kind).to(device, getattr(torch, dtype))
    report = check_adapter(
        lambda: TorchAdapter(model=model, max_sequences=8, cells=700, tokens_per_forward=40),
        exact=False,
        tolerance=ROUTED if (kind, dtype) == ("Mixtral", "bfloat16") else DRIFT[dtype],
        lengths=(64, 128),
    )
    assert report.comparisons > 100


@pytest.mark.parametrize("kind", [*CACHED, *FORGETFUL])
def test_what_has_a_state_is_evaluated_in_full(kind: str) -> None:
    engine = type(TorchAdapter(model=tiny(kind))._engine).__name__
    assert engine == ("Cached" if kind in CACHED else "Uncached")


def test_a_cache_that_answers_differently_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    forward = model.forward

    def wrong(*args: Any, **kwargs: Any) -> Any:  # forgets where its rows begin
        if kwargs.get("past_key_values") is not None:
            kwargs.pop("position_ids", None)
        return forward(*args, **kwargs)

    wrong.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", wrong)
    assert type(TorchAdapter(model=model)._engine).__name__ == "Uncached"


@pytest.mark.parametrize("fault", ["the cache ignores the window", "nobody can make the window smaller"])
def test_a_window_is_trusted_only_where_it_was_seen_to_matter(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from transformers.models.mistral import modeling_mistral

    windowed = modeling_mistral.create_sliding_window_causal_mask

    def mask(config: Any, past_key_values: Any = None, **rest: Any) -> Any:
        if fault == "nobody can make the window smaller":
            config = copy.copy(config)
            config.sliding_window = 8
        elif past_key_values is not None:
            return modeling_mistral.create_causal_mask(config=config, past_key_values=past_key_values, **rest)
        return windowed(config=config, past_key_values=past_key_values, **rest)

    model = tiny("Mistral")
    assert type(TorchAdapter(model=model)._engine).__name__ == "Cached"
    assert model.config.sliding_window == 8
    monkeypatch.setattr(modeling_mistral, "create_sliding_window_causal_mask", mask)
    assert type(TorchAdapter(model=model)._engine).__name__ == "Uncached"
    assert model.config.sliding_window == 8


def prefixes_for(seed: int, count: int) -> list[list[Prefix]]:
    """Calls that branch, roll back, chain ancestors and mix lengths."""
    rng = random.Random(seed)
    known = [Prefix([rng.randrange(VOCAB) for _ in range(n)]) for n in (1, 2, 9, 30)]
    calls = []
    for _ in range(count):
        call = []
        for _ in range(rng.choice([1, 1, 2, 5])):
            base = rng.choice(known)
            kind = rng.random()
            if kind < 0.3 and len(base) > 2:
                call += [Prefix(base.token_ids[:n]) for n in range(1, len(base) + 1, rng.randint(1, 3))]
            elif kind < 0.5:
                call.append(Prefix(base.token_ids[: rng.randint(1, len(base))]))
            else:
                call.append(base.extend([rng.randrange(VOCAB) for _ in range(rng.choice([1, 1, 1, 4]))]))
        known += call[-2:]
        calls.append(call)
    return calls


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
    for call in prefixes_for(3, 20):
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
        for call in prefixes_for(seed, 25):
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
    assert len(adapter._engine._groups) == 1  # and the row was not copied
    adapter.predict([Prefix(range(20)).extend([5])])
    assert shapes == [(1, 1), (1, 1)]


@pytest.mark.parametrize("kind", CACHED)
def test_the_cache_stays_within_its_cells_and_slots(kind: str) -> None:
    adapter = TorchAdapter(model=tiny(kind), max_sequences=6, cells=300)
    for call in prefixes_for(5, 30):
        adapter.predict(call)
        groups = adapter._engine._groups
        assert sum(group.cells for group in groups) <= 300 or len(groups) == 1
        assert sum(slot >= 0 for group in groups for slot in group.slots) <= 6


# -- functions and modules ---------------------------------------------------------------------------------------------


def bigram(ids: Any) -> Any:
    """Logits that depend on the last two ids."""
    before = torch.nn.functional.pad(ids, (1, 0))[:, :-1]
    table = torch.arange(11 * 11 * 11, dtype=torch.float32).reshape(11, 11, 11).sin()
    return table[before, ids]


@pytest.mark.parametrize("function", [bigram, lambda ids: bigram(ids)[:, -1]])
def test_a_bare_function_is_a_model(function: Callable[..., Any]) -> None:
    check_adapter(lambda: TorchAdapter(model=function, n_ctx=100), lengths=(64,))
    (answer,) = TorchAdapter(model=function).predict([Prefix([3, 4])])
    assert np.array_equal(answer.row.values, bigram(torch.tensor([[3, 4]]))[0, -1].numpy())  # type: ignore[union-attr]


def test_prefixes_of_one_length_share_a_pass_even_without_a_cache() -> None:
    shapes: list[tuple[int, ...]] = []

    def counting(ids: Any) -> Any:
        shapes.append(tuple(ids.shape))
        return bigram(ids)

    adapter = TorchAdapter(model=counting, stochastic=False)
    shapes.clear()
    adapter.predict([Prefix([1, 2]), Prefix([2, 2, 3, 4, 5, 6, 7, 8]), Prefix([3, 4])])
    assert sorted(shapes) == [(1, 8), (2, 2)]


def test_a_bare_module_is_a_model_with_a_fingerprint() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Embedding(50, 16), torch.nn.Linear(16, 50))
    check_adapter(lambda: TorchAdapter(model=module), exact=False, tolerance=1e-5, lengths=(64,))
    before = TorchAdapter(model=module).info.model_fingerprint
    with torch.no_grad():
        module[1].bias[3] += 1
    assert before.startswith("sha256:") and TorchAdapter(model=module).info.model_fingerprint != before


def test_no_transformers_is_needed_for_a_function() -> None:
    program = (
        "import sys; sys.modules['transformers'] = sys.modules['tokenizers'] = None\n"
        "import torch; from decodekit import Prefix; from decodekit_torch import TorchAdapter\n"
        "print(TorchAdapter(model=lambda ids: torch.eye(5)[ids]).predict([Prefix([3])])[0].mode)\n"
        "from decodekit.errors import ConfigError\n"
        "try: TorchAdapter(model='smollm2')\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("3\n") and "pip install 'decodekit[torch]'" in done.stdout


def test_without_torch_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['torch'] = None\ntry: import decodekit_torch\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'decodekit[torch]'" in done.stdout


def test_a_distribution_never_aliases_a_buffer_that_is_written_again() -> None:
    buffer = torch.zeros(1, 7)

    def reusing(ids: Any) -> Any:
        buffer[0] = ids[0, -1]
        buffer[0, 2] += 1
        return buffer[: len(ids)]

    for head in (None, 2):
        adapter = TorchAdapter(model=reusing, tokens_per_forward=1, head=head, stochastic=False)
        first, _ = adapter.predict([Prefix([3]), Prefix([5])], ALL)
        adapter.predict([Prefix([6])], ALL)
        assert first.row.values.tolist() == [3, 3, 4, 3, 3, 3, 3]  # type: ignore[union-attr]


@pytest.mark.parametrize("function", [lambda _: torch.zeros(7), lambda _: torch.zeros(1, 9, 7), lambda _: "logits"])
def test_a_function_of_another_shape_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(AdapterError, match="logits"):
        TorchAdapter(model=function)


# -- what it says of itself --------------------------------------------------------------------------------------------


def test_what_it_says_of_itself_is_complete() -> None:
    adapter = TorchAdapter(model=tiny("Llama"))
    info = adapter.info
    assert (info.vocab_size, info.context_length, info.origin, info.stage) == (VOCAB, 300, "logits", "raw")
    assert info.deterministic and info.versions["torch"] and info.versions["transformers"]
    (answer,) = adapter.predict([Prefix([5, 6, 7])])
    assert answer.schedule == {  # type: ignore[union-attr]
        "rows": 1, "columns": 3, "cached": 0, "threads": 1, "dtype": "float32", "device": "cpu", "attention": "sdpa",
    }  # fmt: skip


def test_attention_and_dtype_are_handed_through(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    adapter = decodekit.adapter("torch", model=str(tmp_path), attn_implementation="eager", dtype="bfloat16", n_ctx=50)
    (answer,) = adapter.predict([Prefix([5])])
    assert (answer.schedule["attention"], answer.schedule["dtype"]) == ("eager", "bfloat16")
    assert adapter.info.context_length == 50


def test_a_folder_has_the_fingerprint_of_its_files(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path / "a")
    tiny("Llama").save_pretrained(tmp_path / "b")
    tiny("Llama", seed=1).save_pretrained(tmp_path / "c")
    a, b, c = (TorchAdapter(model=str(tmp_path / name)).info.model_fingerprint for name in "abc")
    assert a == b != c


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    capfd.readouterr()
    TorchAdapter(model=str(tmp_path))
    assert capfd.readouterr() == ("", "")


# -- bad input ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["no_such_model_1", "no/such", "missing.gguf", "./nowhere/model"])
def test_no_such_model(name: str) -> None:
    with pytest.raises(ModelNotFound):
        TorchAdapter(model=name)


def test_a_hub_id_that_is_not_cached_is_not_fetched() -> None:
    with pytest.raises(ModelNotFound, match="allow_downloads"):
        TorchAdapter(model="decodekit/never-uploaded")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        TorchAdapter(model=str(tmp_path))


def test_a_folder_that_is_half_there(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))
    weights.unlink()
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))


def test_a_checkpoint_with_a_tensor_missing_is_not_filled_with_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = tiny("Llama")
    model.save_pretrained(tmp_path)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.up" not in name}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelNotFound, match=r"not whole: 1 tensors are missing, model\.layers\.1\.mlp\.up"):
        TorchAdapter(model=str(tmp_path))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = tiny("Llama")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="cannot be loaded"):
        TorchAdapter(model=str(tmp_path))


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    tiny("Llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelNotFound):
        TorchAdapter(model=str(tmp_path))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ParameterError, match="trust_remote_code"):
        decodekit.adapter("torch", model=str(tmp_path), trust_remote_code=True)


@pytest.mark.parametrize(
    "params",
    [{"n_ctx": 0}, {"max_sequences": 0}, {"cells": 0}, {"tokens_per_forward": 0}, {"dtype": "int8"}, {"model": 3},
     {"tokenizer": "x"}, {"device": "nowhere"}, {"attn_implementation": "eager"}, {"allow_downloads": 1}],
)  # fmt: skip
def test_parameters_out_of_range_are_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(params))):
        TorchAdapter(**{"model": bigram, **params})


def test_a_tokenizer_larger_than_the_model_is_refused() -> None:
    from decodekit.testing.tokenizers import BytesTokenizer

    with pytest.raises(ConfigError, match="do not belong together"):
        TorchAdapter(model=bigram, tokenizer=BytesTokenizer())


def test_nan_from_a_broken_model_is_its_rows_own_error() -> None:
    def sometimes(ids: Any) -> Any:
        logits = bigram(ids).half()
        logits[ids == 7] = float("nan")
        return logits

    answers = TorchAdapter(model=sometimes).predict([Prefix([1, 2]), Prefix([1, 7])])
    assert isinstance(answers[0], Distribution) and isinstance(answers[1], DistributionError)
    assert "NaN" in str(answers[1])


def failing(model: Any, monkeypatch: pytest.MonkeyPatch, times: int, error: BaseException) -> None:
    """Make the next forward passes fail."""
    forward, left = model.forward, [times]

    def faulty(*args: Any, **kwargs: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            forward(*args, **kwargs)  # the cache has been written to when it fails
            raise error
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", faulty)


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
    prefix = Prefix([1, 2, 3])
    adapter.predict([Prefix([9, 9])])
    adapter.predict([prefix])
    failing(model, monkeypatch, 1, NO_ROOM[0])
    (answer,) = adapter.predict([prefix.extend([4])])
    assert len(adapter._engine._groups) == 1  # the other sequence had to go
    assert np.abs(answer.logprobs - Oracle(model)([1, 2, 3, 4])).max() < DRIFT["float32"]  # type: ignore[union-attr]


def test_an_interrupt_leaves_index_and_cache_in_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model)
    prefix = Prefix(range(40))
    adapter.predict([prefix])
    failing(model, monkeypatch, 1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        adapter.predict([prefix.extend([1, 2]), prefix.extend([1, 3])])
    assert adapter._engine._groups == []
    monkeypatch.undo()
    (answer,) = adapter.predict([prefix.extend([1, 2])])
    assert np.abs(answer.logprobs - Oracle(model)([*range(40), 1, 2])).max() < DRIFT["float32"]  # type: ignore[union-attr]


def test_a_closed_adapter_says_so_and_closes_again() -> None:
    adapter = TorchAdapter(model=bigram)
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="closed"):
        adapter.predict([Prefix([5])])
