"""What is computed where the logits lie, and models that are random themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import decodekit
from decodekit import Chain, Disclosure, Distribution, Prefix, Session
from decodekit.analysis.texts.passes import disagreement, passes_of
from decodekit.distribution.disclosure import ALL, CHEAP
from decodekit.errors import AdapterError, DistributionError, ParameterError
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter, answers
from decodekit_torch.head import heads, statistics
from tests.adapters.torch.models import DRIFT, ON_A_GPU, tiny
from tests.benchmarks import device_draws

# -- heads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_head_is_true_of_its_row(dtype: Any) -> None:
    rows = (torch.randn(4, 500, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    rows[1, 100:] = -torch.inf  # a row with masked tokens
    rows[2] = 1.0  # a row of ties
    normalizers, entropies, supports = statistics(rows).tolist()
    for row, head, normalizer, entropy, support in zip(
        rows, heads(rows, 7, [450, 3], [{}] * 4), normalizers, entropies, supports, strict=True
    ):
        assert isinstance(head, Distribution)
        whole = Distribution.dense(row.double().numpy())
        assert whole.support_size == head.support_size == support
        assert whole.log_normalizer == pytest.approx(normalizer, abs=1e-12)
        assert whole.entropy == pytest.approx(entropy, abs=1e-9)
        assert head.entropy == entropy and head.bounds("entropy") == (head.entropy, head.entropy)
        assert {450, 3} <= set(head.token_ids.tolist())  # type: ignore[union-attr]
        np.testing.assert_allclose(head.logprobs, whole.logprobs_of(head.token_ids), atol=1e-12)  # type: ignore[arg-type]
        assert head.tail is not None and head.tail.max_logprob is not None
        hidden = np.setdiff1d(np.arange(500), head.token_ids)
        assert whole.logprobs_of(hidden).max() <= head.tail.max_logprob + 1e-12
        assert head.tail.mass_low <= np.exp(whole.logprobs_of(hidden)).sum() <= head.tail.mass_high


def test_a_row_with_nan_is_an_error_of_its_own() -> None:
    rows = torch.zeros(3, 50)
    rows[1, 4] = torch.nan
    kinds = [type(answer) for answer in heads(rows, 5, [], [{}] * 3)]
    assert kinds == [Distribution, DistributionError, Distribution]


def test_the_normaliser_of_a_row_is_computed_once_however_often_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summed: list[int] = []

    def counted(rows: torch.Tensor) -> torch.Tensor:
        summed.append(len(rows))
        return statistics(rows)

    monkeypatch.setattr(answers, "statistics", counted)
    monkeypatch.setattr("decodekit_torch.head.statistics", counted)
    logits = torch.randn(3, 500, generator=torch.Generator().manual_seed(1))
    prefixes = [Prefix([i]) for i in range(3)]
    kept = {prefix.digest: answers.KeptRow(row, {}) for prefix, row in zip(prefixes, logits, strict=True)}

    def ask(which: list[Prefix], top: int) -> list[Any]:
        wanted = [Disclosure(top)] * len(which)
        return answers.disclosed(which, wanted, kept, head=5, vocab_size=500, origin="logits")

    first, more, again = ask(prefixes[:2], 5), ask(prefixes[:2], 20), ask(prefixes, 20)
    assert summed == [2, 3]  # the third row was new, and rows of one request are summed together
    for few, many, same in zip(first, more, again, strict=False):
        assert few.entropy == many.entropy == same.entropy
        assert many.logprobs[:5].tolist() == few.logprobs.tolist() and same.logprobs.tolist() == many.logprobs.tolist()


@pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), *ON_A_GPU])
@pytest.mark.parametrize("kind", ["Llama", "Mistral"])
def test_the_contract_holds_where_rows_stay_on_the_device(kind: str, device: str, dtype: str) -> None:
    model = tiny(kind).to(device, getattr(torch, dtype))
    report = check_adapter(
        lambda: TorchAdapter(model=model, head=12, max_sequences=8, cells=700),
        exact=False,
        tolerance=DRIFT[dtype],
        lengths=(64,),
    )
    assert report.comparisons > 100


def test_a_head_is_cheap_and_the_row_is_there_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    adapter = TorchAdapter(model=model, head=5)
    assert adapter.info.cheap == Disclosure(top=5) and adapter.info.most == ALL
    prefix = Prefix([1, 2, 3])
    (head,) = adapter.predict([prefix], CHEAP)
    monkeypatch.setattr(model, "forward", None)  # no further pass is needed
    named, (whole,) = (
        adapter.predict([prefix, prefix], [Disclosure(top=2, ids=(7,)), ALL])[0],
        adapter.predict([prefix], ALL),
    )
    assert len(head.scores) == 5 and len(named.scores) in (2, 3) and whole.tail is None  # type: ignore[union-attr]
    assert named.logprob(7) == pytest.approx(whole.logprob(7), abs=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "chain",
    [
        {},
        {"temperature": {"temperature": 0.7}, "top_p": {"top_p": 0.9}},
        {"repetition_penalty": {"repetition_penalty": 1.3}},
    ],
)
def test_a_session_draws_the_same_tokens_from_heads_as_from_rows(chain: dict[str, Any]) -> None:
    processors = [decodekit.processor(name, **params) for name, params in chain.items()]
    model = tiny("Llama")
    runs = [
        Session(TorchAdapter(model=model, head=head), Chain(processors), seed=3).generate(Prefix([1, 2]), max_tokens=20)
        for head in (None, 8)
    ]
    assert runs[0].token_ids == runs[1].token_ids


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_untruncated_draw_takes_no_whole_row_off_the_device(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head, and the rivals by id: 100 tokens of a vocabulary of 8,192, those that whole rows give."""
    model, size = tiny("Llama", vocab_size=8192), 8192
    chain = Chain([decodekit.processor("temperature", temperature=temperature)])
    adapter = TorchAdapter(model=model, head=64)
    moved: list[int] = []
    to_the_cpu = torch.Tensor.cpu

    def watched(tensor: torch.Tensor) -> torch.Tensor:
        moved.append(tensor.numel())
        return to_the_cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", watched)
    result = Session(adapter, chain, seed=11).generate(Prefix([1, 2]), max_tokens=100)
    monkeypatch.undo()
    steps = result.trace.steps
    again = [step for step in steps if step.asked]
    assert len(moved) == 100 + len(again) and max(moved) <= size // 4  # a question is one transfer
    assert len(again) > 20 and all(step.asked[0][1].ids for step in again)
    assert all(step.raw.tail is not None for step in steps)
    whole = Session(TorchAdapter(model=model), chain, seed=11).generate(Prefix([1, 2]), max_tokens=100)
    assert result.token_ids == whole.token_ids
    for ours, full in zip(steps, whole.trace.steps, strict=True):
        assert ours.raw.entropy == pytest.approx(full.raw.entropy, abs=1e-9)
        assert ours.choice.margin <= full.choice.margin + 1e-9
    assert decodekit.verify(result.trace).counts == {"proved": 100}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_the_measured_sides_say_the_same_of_the_same_logits(device: str) -> None:
    """The benchmark compares like with like: each row's top 20 agrees, and both keep to the truncated support."""
    logits = device_draws.logits_on(device, 3, 2000)
    for truncated in (True, False):
        results = device_draws.ours(logits, truncated=truncated, tokens=2)()
        made = device_draws.theirs(logits, truncated=truncated, tokens=2)()
        assert [len(result.token_ids) for result in results] == [2, 2, 2]
        steps = sorted(results[0].trace.steps, key=lambda step: (step.index, step.stream))
        for step, (ids, values, leaders) in zip(
            steps, ((ids[i], top[0][i], top[1][i]) for ids, top in made for i in range(3)), strict=True
        ):
            assert [token for token, _ in step.raw.top] == leaders
            assert [logprob for _, logprob in step.raw.top] == pytest.approx(values, abs=1e-4)
            assert step.raw.entropy is not None and step.raw.disclosed < 2000
            if truncated:
                assert step.evidence is not None and ids in step.evidence.token_ids.tolist()
    ratios = list(device_draws.compared(device, size=2000, sequences=3, tokens=1, rounds=1))
    assert [ratio.goal for ratio in ratios] == [3, 1] and min(ratio.theirs for ratio in ratios) > 0


# -- determinism -------------------------------------------------------------------------------------------------------


def test_deterministic_holds_torch_to_it_for_the_time_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("Llama")
    seen: list[bool] = []
    forward = model.forward
    adapter = TorchAdapter(model=model, deterministic=True)

    def watching(*args: Any, **kwargs: Any) -> Any:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", watching)
    adapter.predict([Prefix([1, 2])])
    assert seen == [True] and not torch.are_deterministic_algorithms_enabled()


def test_what_cannot_repeat_its_bits_says_so() -> None:
    def stubborn(ids: Any) -> Any:
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError("cumsum does not have a deterministic implementation")
        return torch.eye(7)[ids]

    with pytest.raises(AdapterError, match="cannot run deterministically"):
        TorchAdapter(model=stubborn, deterministic=True)


# -- stochastic models -------------------------------------------------------------------------------------------------


def dropout_model() -> Any:
    model = tiny("Llama", attention_dropout=0.3)
    model.train()
    return model


def noisy_weights(ids: Any) -> Any:
    """Two models by the toss of a coin: the mixture is known exactly."""
    coin = torch.rand(()) < 0.25
    rows = torch.tensor([[3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
    return rows[int(coin)].expand(*ids.shape, 4)


def test_a_model_with_dropout_left_on_is_seen_to_be_stochastic() -> None:
    adapter = TorchAdapter(model=dropout_model(), noise_seed=5)
    (answer,) = adapter.predict([Prefix([1, 2])])
    assert (answer.schedule["passes"], answer.schedule["noise_seed"]) == (1, 5)  # type: ignore[index, union-attr]
    settled = TorchAdapter(model=tiny("Llama", attention_dropout=0.3))
    assert (adapter.info.stochastic, settled.info.stochastic) == (True, False)
    written = Session(adapter, Chain()).generate(Prefix([1]), max_tokens=1).trace
    assert written.header.adapter["stochastic"] is True
    assert "passes" not in settled.predict([Prefix([1, 2])])[0].schedule  # type: ignore[operator, union-attr]
    with pytest.raises(ParameterError, match="not stochastic"):
        settled.mixture(Prefix([1, 2]))
    with pytest.raises(ParameterError, match="passes"):
        TorchAdapter(model=tiny("Llama"), passes=3)


@pytest.mark.parametrize("passes", [1, 3])
def test_the_noise_is_keyed_by_seed_and_content_so_the_contract_holds_to_the_bit(passes: int) -> None:
    model = dropout_model()
    check_adapter(lambda: TorchAdapter(model=model, noise_seed=5, passes=passes), lengths=(64,), many=10, rounds=4)
    one, other, again = (
        TorchAdapter(model=model, noise_seed=seed).predict([Prefix([1, 2])])[0].scores
        for seed in (5, 6, 5)  # type: ignore[union-attr]
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_every_prefix_and_every_pass_has_noise_of_its_own() -> None:
    adapter = TorchAdapter(model=noisy_weights, stochastic=True, noise_seed=1)
    answers = adapter.predict([Prefix([i % 4, i // 4 % 4, i // 16]) for i in range(64)])
    heads_up = sum(answer.mode == 2 for answer in answers)  # type: ignore[union-attr]
    assert 3 <= heads_up <= 36  # 64 tosses with a chance of 1/4; outside with a chance below 1e-6


def test_torchs_own_generator_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    TorchAdapter(model=noisy_weights)  # which asks whether it is noisy
    TorchAdapter(model=noisy_weights, stochastic=True).predict([Prefix([1])])
    assert torch.equal(torch.rand(3), expected)


def test_the_mixture_and_its_standard_error_match_the_exact_values() -> None:
    """Over 1,500 passes the mean lies within 5 standard errors of the exact mixture (p about 6e-7 each)."""
    adapter = TorchAdapter(model=noisy_weights, stochastic=True, noise_seed=1)
    mixture = adapter.mixture(Prefix([1]), passes=1500)
    sides = torch.softmax(torch.tensor([[3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]).double(), -1).numpy()
    exact = 0.75 * sides[0] + 0.25 * sides[1]
    error = np.sqrt(0.75 * 0.25 / 1500) * np.abs(sides[0] - sides[1])
    np.testing.assert_allclose(mixture.standard_error, error, rtol=0.1, atol=1e-12)
    assert (np.abs(np.exp(mixture.distribution.logprobs) - exact) <= 5 * error + 1e-9).all()
    assert mixture.distribution.origin == "logprobs"
    assert {tuple(row.round(12)) for row in mixture.each} == {tuple(row.round(12)) for row in sides}
    np.testing.assert_allclose(mixture.each.mean(axis=0), np.exp(mixture.distribution.logprobs), atol=1e-12)
    np.testing.assert_allclose(
        [np.exp(row.logprobs) for row in passes_of(adapter, [1], 5)], mixture.each[:5], atol=1e-12
    )
    parts = disagreement([Distribution.dense(np.log(row)) for row in mixture.each])
    within = sum(share * -(row * np.log(row)).sum() for share, row in zip((0.75, 0.25), sides, strict=True))
    total = -(exact * np.log(exact)).sum()
    for found, value in ((parts.mean_entropy, within), (parts.information, total - within), (parts.total, total)):
        assert abs(found.value - value) <= 5 * found.error + 1e-9
    averaged = TorchAdapter(model=noisy_weights, stochastic=True, noise_seed=1, passes=1500)
    (answer,) = averaged.predict([Prefix([1])])
    np.testing.assert_allclose(answer.logprobs, mixture.distribution.logprobs, atol=1e-12)  # type: ignore[union-attr]
    assert averaged.info.origin == "logprobs"
