"""KGW is transformers' processor and detector; Unigram and the list by Philox are what their formulas say."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import decodekit
from decodekit import ALL, Context, Distribution, Undisclosed
from decodekit.draw.context import TokenIds
from decodekit.testing import check_processor
from decodekit_watermark.hashes import philox_uniforms
from decodekit_watermark.tails import log_binomial_tail

NOTHING = np.empty((1, 0), dtype=np.int64)
FORMS = [("lefthash", 1), ("lefthash", 3), ("selfhash", 1), ("selfhash", 4)]


def kgw(scheme: str = "lefthash", width: int = 1, key: int = 15_485_863, **parameters: Any) -> Any:
    given = {"kgw": 2.0, "scheme": scheme, "context_width": width, **parameters}
    return decodekit.processor("kgw", key=SecretStr(str(key)), **given)


def unigram(key: int = 42, **parameters: Any) -> Any:
    return decodekit.processor("unigram", key=SecretStr(hex(key)), **{"unigram": 2.0, **parameters})


@pytest.mark.parametrize(("scheme", "width"), FORMS)
def test_the_scores_are_those_of_transformers(scheme: str, width: int) -> None:
    torch, generation = pytest.importorskip("torch"), pytest.importorskip("transformers.generation.logits_process")
    rng = np.random.default_rng(width)
    for size in (60,):
        key = int(rng.integers(1, 2**40))
        theirs = generation.WatermarkLogitsProcessor(size, "cpu", 0.3, 1.5, key, scheme, width)
        ours = kgw(scheme, width, key, kgw=1.5, gamma=0.3)
        for length in (0, 1, 4, 9):
            prompt, output = rng.integers(0, size, 2).tolist(), rng.integers(0, size, length).tolist()
            row = rng.normal(0, 3, size).astype(np.float32)
            expected = theirs(torch.tensor([prompt + output]), torch.tensor(row)[None])[0].numpy()
            found = ours(Distribution.dense(row), Context(TokenIds(prompt), TokenIds(output)))
            np.testing.assert_allclose(found.scores, expected, atol=1e-5)


@pytest.mark.parametrize(("scheme", "width"), [("lefthash", 1), ("selfhash", 1)])
def test_the_detector_counts_what_transformers_counts(scheme: str, width: int) -> None:
    torch, generation = pytest.importorskip("torch"), pytest.importorskip("transformers.generation.watermarking")
    size, ids = 40, np.random.default_rng(3).integers(0, 40, 80).tolist()
    config = SimpleNamespace(vocab_size=size, bos_token_id=-1, is_encoder_decoder=False)
    settings = {"greenlist_ratio": 0.25, "bias": 2.0, "seeding_scheme": scheme, "context_width": width}
    theirs = generation.WatermarkDetector(
        config, "cpu", {**settings, "hashing_key": 15_485_863}, ignore_repeated_ngrams=True
    )
    expected = theirs(torch.tensor([ids]), return_dict=True)
    found = kgw(scheme, width).detect(ids, vocab_size=size)
    assert (found.scored, found.statistic) == (expected.num_tokens_scored[0], expected.num_green_tokens[0])
    z = (found.statistic - 0.25 * found.scored) / math.sqrt(found.scored * 0.25 * 0.75)
    assert z == pytest.approx(expected.z_score[0])


def test_a_list_counts_once_for_a_token_whatever_led_to_it() -> None:
    ids = np.random.default_rng(3).integers(0, 40, 400).tolist()
    windows = {tuple(ids[at - 3 : at + 1]) for at in range(3, 400)}
    assert kgw("selfhash", 4).detect(ids, vocab_size=40).scored < 0.8 * len(windows)
    assert kgw("lefthash", 1).detect([1, 2, 1, 2, 1, 2], vocab_size=40).scored == 2


@pytest.mark.parametrize(("scheme", "width"), [("lefthash", 2), ("selfhash", 3), ("philox", 3)])
def test_a_prompt_stands_before_the_first_tokens_and_is_not_scored(scheme: str, width: int) -> None:
    ids, mark = np.random.default_rng(3).integers(0, 10_000, 60).tolist(), kgw(scheme, width)
    greens = sum(mark.is_green(ids[at - width : at], ids[at], 10_000) for at in range(20, 60))
    found = mark.detect(ids[20:], ids[:20], vocab_size=10_000)
    assert (found.scored, found.statistic) == (40, greens)
    missing = width - 1 if scheme == "selfhash" else width
    assert mark.detect(ids, vocab_size=10_000) == mark.detect(ids[missing:], ids[:missing], vocab_size=10_000)
    with pytest.raises(decodekit.ParameterError, match="10000 is no token of a vocabulary of 10000"):
        mark.detect([1, 10_000], vocab_size=10_000)


@pytest.mark.parametrize(
    "processor",
    [kgw(), kgw("selfhash", 2), kgw("philox", 2, gamma=0.5), unigram()],
    ids=["lefthash", "selfhash", "philox", "unigram"],
)
def test_the_contract_is_kept(processor: Any) -> None:
    assert check_processor(processor, permutable=False) >= 30
    head = Distribution.head([4, 2], np.log([0.5, 0.3]), 9)
    with pytest.raises(Undisclosed) as caught:
        processor(head, Context(TokenIds([1, 2, 3])))
    assert caught.value.need == ALL == processor.needs


def test_a_token_is_green_by_its_number_alone() -> None:
    row, context = np.zeros(500), Context(TokenIds([3]), TokenIds([9, 8]))
    for mark, numbers, delta in (
        (kgw("philox", 2, 42, gamma=0.4), philox_uniforms(42, np.array([[9, 8]]), np.arange(500)), 2.0),
        (unigram(gamma=0.4, unigram=1.5), philox_uniforms(42, NOTHING, np.arange(500)), 1.5),
    ):
        assert np.array_equal(mark(Distribution.dense(row), context).scores, np.where(numbers < 0.4, delta, 0.0))
        assert 150 < np.count_nonzero(numbers < 0.4) < 250


def test_without_enough_tokens_before_nothing_is_changed() -> None:
    dist = Distribution.dense(np.zeros(50))
    assert kgw("philox", 3)(dist, Context(TokenIds([1]), TokenIds([2]))) is dist
    assert kgw("lefthash", 1)(dist, Context(TokenIds([1]))) is not dist


def test_each_different_token_counts_once_in_unigram() -> None:
    green = [token for token in range(100) if philox_uniforms(42, NOTHING, np.array([token]))[0] < 0.5]
    found = unigram().detect([*green, *green, *green[:3]])
    assert (found.scored, found.statistic) == (len(green), len(green))
    assert found.log_p_value == pytest.approx(len(green) * math.log(0.5))


@pytest.mark.parametrize(("hits", "count", "share"), [(3, 10, 0.25), (10, 10, 0.25), (0, 7, 0.5), (250, 300, 0.3)])
def test_the_tail_is_the_sum_of_its_definition(hits: int, count: int, share: float) -> None:
    p = Fraction(share)
    exact = sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(hits, count + 1))
    logarithm = math.log(exact.numerator) - math.log(exact.denominator)
    assert log_binomial_tail(hits, count, share) == pytest.approx(logarithm, rel=1e-10, abs=1e-12)
