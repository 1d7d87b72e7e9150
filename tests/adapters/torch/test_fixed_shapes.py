"""Steps of generation in fixed shapes, as `compile=True` evaluates them: the same answers, and few graphs."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from decodekit import Chain, Distribution, Prefix, Session
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter, fixed_shapes
from decodekit_torch.cached import Cached
from decodekit_torch.fixed_shapes import FixedShapes
from tests.adapters.torch.models import CACHED, DRIFT, ON_A_GPU, VOCAB, Oracle, cache_of, passes_of, prefixes_for, tiny


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers of 16 columns and more: the models of these tests have 300 positions."""
    monkeypatch.setattr(fixed_shapes, "LEAST_COLUMNS", 16)


@pytest.fixture
def as_written(monkeypatch: pytest.MonkeyPatch, small: None) -> None:
    """A torch that compiles nothing, as on a machine without a compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of operations of every graph that torch makes; none may be broken into several."""
    made: list[int] = []
    compile_ = torch.compile

    def backend(graph: Any, inputs: Any) -> Callable[..., Any]:
        made.append(len(graph.graph.nodes))
        return graph.forward  # type: ignore[no-any-return]

    def counted(function: Any, **options: Any) -> Any:
        options.pop("mode", None)  # it is for torch's own backend
        return compile_(function, fullgraph=True, backend=backend, **options)

    monkeypatch.setattr(torch, "compile", functools.wraps(compile_)(counted))
    return made


# -- the same answers --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize("kind", CACHED)
def test_the_contract_holds_in_fixed_shapes(kind: str) -> None:
    model = tiny(kind)
    report = check_adapter(
        lambda: TorchAdapter(model=model, compile=True, max_sequences=8, cells=1200, tokens_per_forward=40),
        exact=False,
        tolerance=DRIFT["float32"],
        lengths=(64,),
    )
    assert report.comparisons > 100


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize("kind", CACHED)
@pytest.mark.parametrize(("slots", "cells"), [(6, 400), (3, 5000)])
def test_answers_in_fixed_shapes_are_those_of_a_full_forward_pass_in_float64(kind: str, slots: int, cells: int) -> None:
    model = tiny(kind)
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, compile=True, max_sequences=slots, cells=cells, tokens_per_forward=32)
    fixed = 0
    for call in prefixes_for(3, 10):
        call = [*call, *(prefix.extend([5]) for prefix in call[-2:])]
        for _ in range(2):  # the second time one token more, which is a step
            for prefix, answer in zip(call, adapter.predict(call), strict=True):
                assert isinstance(answer, Distribution)
                fixed += "room" in (answer.schedule or {})
                assert np.abs(answer.logprobs - oracle(prefix.token_ids)).max() < DRIFT["float32"]
            call = [prefix.extend([7]) for prefix in call]
    assert fixed > 8


@pytest.mark.usefixtures("as_written")
def test_rows_that_end_lie_idle_until_half_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, compile=True)
    branches = [Prefix(range(30)).extend([i] * (i + 1)) for i in range(6)]
    adapter.predict(branches)
    shapes = passes_of(model, monkeypatch)
    for step in range(6):
        branches = [branch.extend([step]) for branch in branches[step > 0 :]]
        for prefix, answer in zip(branches, adapter.predict(branches), strict=True):
            assert np.abs(answer.logprobs - oracle(prefix.token_ids)).max() < DRIFT["float32"]  # type: ignore[union-attr]
    assert shapes == [(8, 1)] * 4 + [(2, 1)] * 2
    first = Prefix(range(30)).extend([0, 0])  # it ended before the others
    (answer,) = adapter.predict([first.extend([3])])
    assert shapes[-1] == (1, 1)  # and is known still
    assert np.abs(answer.logprobs - oracle([*range(30), 0, 0, 3])).max() < DRIFT["float32"]  # type: ignore[union-attr]


@pytest.mark.usefixtures("as_written")
def test_an_idle_row_does_not_outgrow_the_positions() -> None:
    model = tiny("GPT2")  # which has an embedding for each of 300 positions
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, compile=True)
    long, short = Prefix([i % VOCAB for i in range(298)]), Prefix([5] * 160)
    adapter.predict([long, short])
    short = short.extend([1])
    adapter.predict([long.extend([1]), short])
    for _ in range(4):
        short = short.extend([1])
        (answer,) = adapter.predict([short])
        assert np.abs(answer.logprobs - oracle(short.token_ids)).max() < DRIFT["float32"]  # type: ignore[union-attr]


@pytest.mark.usefixtures("as_written")
def test_what_is_taken_back_leaves_no_nan_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[198] = torch.nan
    model.lm_head.weight = torch.nn.Parameter(tiny("Llama").lm_head.weight)
    adapter = TorchAdapter(model=model, compile=True)
    prefix = Prefix(range(9))
    adapter.predict([prefix])
    adapter.predict([prefix.extend([1])])
    adapter.predict([prefix.extend([1, 198])])
    adapter.predict([prefix.extend([1, 198, 4])])
    assert isinstance(adapter.predict([prefix.extend([2])])[0], Distribution)
    for start, steps in (([7, 7, 1], [198, 4, 4]), ([3], [3])):
        other = Prefix(start)
        adapter.predict([other])
        for token in steps:
            other = other.extend([token])
            (answer,) = adapter.predict([other])
    assert isinstance(answer, Distribution)  # though it stands where NaN stood


def evaluated(cached: Cached, prefix: Prefix) -> Prefix:
    """Ask for one prefix, as the adapter does; the same with a token more is the next to ask for."""
    with torch.inference_mode():
        if not cached.extend([prefix], lambda *_: None):
            cached.evaluate([prefix], lambda *_: None)
    return prefix.extend([5])


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize("kind", CACHED)
def test_memory_stays_within_its_cells_with_those_who_moved_out_and_unused_buffers(kind: str) -> None:
    model = tiny(kind)
    cached = Cached(
        model, slots=32, cells=240, tokens_per_forward=512,
        shapes=FixedShapes(model, rows=32, limit=300, compiled=True),
    )  # fmt: skip
    texts = [evaluated(cached, Prefix([token] * 20)) for token in (1, 2)]
    for text, steps in ((0, 100), (1, 50)):
        for _ in range(steps):
            texts[text] = evaluated(cached, texts[text])
            assert cached.cells <= 240


def test_the_contract_holds_for_graphs(graphs: list[int]) -> None:
    model = tiny("Llama")
    check_adapter(
        lambda: TorchAdapter(model=model, compile=True, max_sequences=2, n_ctx=128, cells=1200), exact=False,
        tolerance=DRIFT["float32"], lengths=(64,), many=6, rounds=3,
    )  # fmt: skip
    assert graphs


# -- few graphs --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["Llama", "Gemma2", "Mixtral"])
def test_a_hundred_tokens_are_one_graph_for_every_doubling(kind: str, graphs: list[int]) -> None:
    adapter = TorchAdapter(model=tiny(kind), compile=True)
    plain = TorchAdapter(model=tiny(kind))
    sessions = [Session(each, Chain(), seed=4) for each in (adapter, plain)]
    for turn in range(3):  # a new text needs no new graph
        runs = [session.generate(Prefix([1, turn, 3]), max_tokens=100, stream=turn).token_ids for session in sessions]
        assert runs[0] == runs[1] and len(runs[0]) == 100
        assert len(graphs) == 4  # of 16, 32, 64 and 128 columns


@pytest.mark.usefixtures("small")
def test_a_batch_whose_rows_end_one_by_one_needs_a_graph_for_a_halving(graphs: list[int]) -> None:
    adapter = TorchAdapter(model=tiny("Llama"), compile=True, n_ctx=16)
    branches = [Prefix([1, i]) for i in range(8)]
    adapter.predict(branches)
    for step in range(8):
        branches = [branch.extend([step]) for branch in branches[step > 0 :]]
        adapter.predict(branches)
    assert len(graphs) == 3  # of 8, 4 and 1 rows


@pytest.mark.usefixtures("small")
def test_there_are_at_most_eight_graphs(graphs: list[int]) -> None:
    model = tiny("Llama")
    oracle = Oracle(model)
    adapter = TorchAdapter(model=model, compile=True)
    for rows in (1, 2, 3, 5):
        for length in (10, 20, 40):
            branches = [Prefix([i, *range(length)]) for i in range(rows)]
            adapter.predict(branches)
            branches = [branch.extend([length]) for branch in branches]
            for prefix, answer in zip(branches, adapter.predict(branches), strict=True):
                assert np.abs(answer.logprobs - oracle(prefix.token_ids)).max() < DRIFT["float32"]  # type: ignore[union-attr]
    assert len(graphs) == 8


def test_a_model_that_wants_its_length_as_a_number_is_cached_and_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    forward = model.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        if (cache := cache_of(kwargs)) is not None and not isinstance(cache.get_seq_length(), int):
            raise TypeError("a number")
        return forward(*args, **kwargs)

    counting.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counting)
    adapter = TorchAdapter(model=model, compile=True)
    assert adapter.capabilities == {"kv_cache": True, "compiled": "no: with a KV cache it raised TypeError: a number"}


# -- compiled ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "dtype"), [pytest.param("cpu", "float32", marks=pytest.mark.slow), *ON_A_GPU]
)  # fmt: skip
@pytest.mark.parametrize("kind", ["Llama", "Mistral"])
def test_torchs_own_compiler_answers_the_same(kind: str, device: str, dtype: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler warns of itself
        model = tiny(kind).to(device, getattr(torch, dtype))
        oracle = Oracle(model)
        adapter = TorchAdapter(model=model, compile=True)
        branches = [Prefix([1, 2, 3]), Prefix([5] * 12)]
        kept: list[tuple[Prefix, Any]] = []
        for step in range(30):
            kept += zip(branches, adapter.predict(branches), strict=True)
            branches = [branch.extend([7 * step % VOCAB]) for branch in branches]
        assert sum("room" in answer.schedule for _, answer in kept) > 50
        for prefix, answer in kept:  # read late: a CUDA graph writes its answers over those before
            expected = oracle(prefix.token_ids)
            assert np.abs(answer.logprobs - expected)[expected > np.log(1e-6)].max() < DRIFT[dtype]
