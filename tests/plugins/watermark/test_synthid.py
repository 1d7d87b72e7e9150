"""SynthID-Text is transformers' processor, in float64; its law over all keys is the distribution."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import decodekit
from decodekit import ALL, Context, Distribution, Undisclosed
from decodekit.draw.context import TokenIds
from decodekit.testing import check_processor

KEYS = (654, 400, 836, 123, 340, 443, 597, 160, 57)


def synthid(length: int = 5, keys: tuple[int, ...] = KEYS, **parameters: Any) -> Any:
    text = ",".join(map(str, keys))
    return decodekit.processor("synthid", synthid=length, key=SecretStr(text), **parameters)


def theirs(length: int, **settings: Any) -> Any:
    torch, generation = pytest.importorskip("torch"), pytest.importorskip("transformers.generation.logits_process")
    given = {"sampling_table_size": 65_536, "sampling_table_seed": 0, "context_history_size": 1024, **settings}
    return generation.SynthIDTextWatermarkLogitsProcessor(length, list(KEYS), device=torch.device("cpu"), **given)


@pytest.mark.parametrize(
    ("length", "size", "history", "skip", "table"),
    [(5, 40, 1024, False, (65_536, 0)), (3, 6, 4, True, (65_536, 3)), (2, 6, 1024, False, (1001, 0))],
)
def test_the_law_is_that_of_transformers(
    length: int, size: int, history: int, skip: bool, table: tuple[int, int]
) -> None:
    torch = pytest.importorskip("torch")
    more = {"sampling_table_size": table[0], "sampling_table_seed": table[1]}
    oracle = theirs(length, context_history_size=history, skip_first_ngram_calls=skip, **more)
    mark = synthid(length, history=history, skip_first=skip, table_size=table[0], table_seed=table[1])
    rng, output, unchanged = np.random.default_rng(length), list[int](), 0
    for _ in range(40):
        row = rng.normal(0, 2, size)
        expected = torch.softmax(oracle(torch.tensor([[1, 2, *output]]), torch.tensor(row)[None])[0], -1).numpy()
        dist = Distribution.dense(row)
        found = mark(dist, Context(TokenIds([1, 2]), TokenIds(output)))
        np.testing.assert_allclose(np.exp(found.logprobs), expected, atol=1e-12)
        unchanged += found is dist
        output.append(int(rng.integers(0, size)))
    assert unchanged == 0 if size == 40 else 0 < unchanged < 40


def test_the_bits_that_the_detector_counts_are_those_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    oracle, ids = theirs(5), np.random.default_rng(0).integers(0, 1000, 60).tolist()
    bits = oracle.compute_g_values(torch.tensor([ids]))[0].numpy()
    found = synthid(skip_first=True).detect(ids)
    assert found.scored == len(bits) == 56 and found.statistic == pytest.approx(bits.mean())
    assert synthid().detect(ids).scored == 60  # contexts that begin with zeros are marked, too
    assert synthid().detect(ids + ids).scored < 120
    assert (synthid().detect([]).scored, synthid().detect([]).log_p_value) == (0, 0.0)


def test_the_law_over_all_bits_is_the_distribution() -> None:
    """By enumeration: three tokens, two layers, every pattern of bits equally likely."""
    mark = synthid()
    dist, shares, total = Distribution.dense(np.log([0.6, 0.3, 0.1])), np.array([0.6, 0.3, 0.1]), np.zeros(3)
    patterns = [np.array(bits, dtype=float).reshape(3, 2) for bits in product((0, 1), repeat=6)]
    for pattern in patterns:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(mark), "bits", lambda *_, given=pattern: given)
            total += np.exp(mark(dist, Context(TokenIds([0]))).logprobs)
    np.testing.assert_allclose(total / len(patterns), shares, atol=1e-12)


def test_over_keys_the_law_of_a_token_stays() -> None:
    """The mean of 800 keys is within five standard errors of the distribution: p below 1e-5 for four tokens."""
    shares = np.array([0.5, 0.25, 0.15, 0.1])
    found = []
    rng = np.random.default_rng(0)
    for _ in range(800):
        mark = synthid(3, tuple(rng.integers(1, 2**60, 6).tolist()))
        found.append(
            np.exp(mark(Distribution.dense(np.log(shares)), Context(TokenIds([0]), TokenIds([1, 2]))).logprobs)
        )
    error = np.std(found, axis=0) / np.sqrt(800)
    assert (np.abs(np.mean(found, axis=0) - shares) < 5 * error).all()


def test_the_contract_is_kept_and_a_head_is_not_enough() -> None:
    assert check_processor(synthid(3), permutable=False) >= 30
    with pytest.raises(Undisclosed) as caught:
        synthid()(Distribution.head([4, 2], np.log([0.5, 0.3]), 9), Context(TokenIds([1])))
    assert caught.value.need == ALL


def test_a_token_that_is_hardly_possible_keeps_a_finite_score() -> None:
    row = np.array([0.0, -1.0, -900.0])
    mark = synthid()
    scores = mark(Distribution.dense(row), Context(TokenIds([1]))).logprobs
    zeros = np.count_nonzero(mark.bits(np.zeros((1, 4), dtype=np.int64), np.arange(3))[2] == 0)
    assert np.isfinite(scores).all() and zeros > 0 and scores[2] < -900
