"""What is computed where the logits lie, and models that are random themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import decodekit
from decodekit import Chain, Disclosure, Distribution, Prefix, Randomness, Session
from decodekit.disclosure import ALL, CHEAP
from decodekit.errors import AdapterError, DistributionError, ParameterError
from decodekit.testing import check_adapter
from decodekit_torch import TorchAdapter
from decodekit_torch.head import heads, statistics
from decodekit_torch.philox import contenders, gumbel, words
from tests.adapters.test_torch import DRIFT
from tests.adapters.torch_models import ON_A_GPU, VOCAB, tiny

U64 = st.integers(0, 2**64 - 1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- noise -------------------------------------------------------------------------------------------------------------


@given(
    seed=U64, stream=U64, step=U64, draw=U64, domain=st.integers(0, 4),
    lanes=st.lists(st.integers(0, 2**40), min_size=1, max_size=9),
)  # fmt: skip
def test_torchs_words_are_those_of_the_specification(
    seed: int, stream: int, step: int, draw: int, domain: int, lanes: list[int]
) -> None:
    noise = Randomness(seed, stream).at(step, domain, draw)
    got = words(noise, torch.tensor(lanes)).numpy().view(np.uint64)
    assert got.tolist() == noise.words(lanes).tolist()


def test_vectors_of_the_specification() -> None:
    noise = Randomness(18446744073709551615, 9223372036854775808).at(1099511627776)
    assert int(words(noise, torch.tensor([262143]))) == 0x450098DCDD7DF1F5
    assert float(gumbel(noise, torch.tensor([262143]))) == pytest.approx(-0.270818530923591, abs=1e-14)


@given(seed=st.integers(0, 10_000), slack=st.sampled_from([0.0, 0.01, 1.0]))
def test_the_contenders_are_those_that_could_win(seed: int, slack: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, 300)
    noise = Randomness(seed).at(4)
    found = contenders(torch.from_numpy(scores), noise, slack=slack).tolist()
    dist = Distribution.dense(scores)
    assert Chain().step(dist, decodekit.Context(), (None,), noise)[1].token_id in found
    for _ in range(5):
        moved = Distribution.dense(scores + rng.uniform(-slack, slack, 300))
        assert Chain().step(moved, decodekit.Context(), (None,), noise)[1].token_id in found


# -- heads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_head_is_true_of_its_row(dtype: Any) -> None:
    rows = (torch.randn(4, 500, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    rows[1, 100:] = -torch.inf  # a row with masked tokens
    rows[2] = 1.0  # a row of ties
    normalizers, entropies = statistics(rows)
    for row, head, normalizer, entropy in zip(
        rows, heads(rows, 7, [450, 3], [{}] * 4), normalizers, entropies, strict=True
    ):
        assert isinstance(head, Distribution)
        whole = Distribution.dense(row.double().numpy())
        assert whole.log_normalizer == pytest.approx(float(normalizer), abs=1e-12)
        assert whole.entropy == pytest.approx(float(entropy), abs=1e-9)
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

    with pytest.raises(AdapterError, match="cannot be held"):
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
        TorchAdapter(model=model, noise_seed=seed).predict([Prefix([1, 2])])[0]._row
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


def test_the_mixture_and_its_standard_error_are_those_of_the_coin() -> None:
    """Over 4,000 passes the mean lies within 5 standard errors of the exact mixture (p about 6e-7 each)."""
    adapter = TorchAdapter(model=noisy_weights, stochastic=True, noise_seed=1)
    mixture = adapter.mixture(Prefix([1]), passes=4000)
    sides = torch.softmax(torch.tensor([[3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]).double(), -1).numpy()
    exact = 0.75 * sides[0] + 0.25 * sides[1]
    error = np.sqrt(0.75 * 0.25 / 4000) * np.abs(sides[0] - sides[1])
    np.testing.assert_allclose(mixture.standard_error, error, rtol=0.1, atol=1e-12)
    assert (np.abs(np.exp(mixture.distribution.logprobs) - exact) <= 5 * error + 1e-9).all()
    assert mixture.distribution.origin == "logprobs"
    averaged = TorchAdapter(model=noisy_weights, stochastic=True, noise_seed=1, passes=4000)
    (answer,) = averaged.predict([Prefix([1])])
    np.testing.assert_allclose(answer.logprobs, mixture.distribution.logprobs, atol=1e-12)  # type: ignore[union-attr]
    assert averaged.info.origin == "logprobs"


# -- on a GPU ----------------------------------------------------------------------------------------------------------


@pytest.mark.cuda
def test_words_on_a_gpu_are_those_of_the_specification() -> None:
    noise = Randomness(42, 3).at(7)
    lanes = torch.arange(VOCAB * 100, device="cuda")
    got = words(noise, lanes).cpu().numpy().view(np.uint64)
    assert np.array_equal(got, noise.words(range(VOCAB * 100)))
