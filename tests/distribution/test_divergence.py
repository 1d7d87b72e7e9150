"""Divergences by hand, their symmetries, and the refusal to guess on heads. Brute force is in test_distribution.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import Distribution, ParameterError, Undisclosed
from decodekit.distribution.divergence import expected_gap

LOG = math.log
P = Distribution.dense(np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8]))
Q = Distribution.dense(np.log([1 / 4, 1 / 4, 1 / 4, 1 / 4]))


def test_four_tokens_diverge_by_hand() -> None:
    # KL(P|Q) = 2 - 1.75 bits; KL(Q|P) = (1 + 2 + 3 + 3)/4 - 2 = 0.25 bits; TV = (1/4 + 0 + 1/8 + 1/8)/2 = 1/4.
    assert P.kl(Q) == pytest.approx(0.25 * LOG(2)) and Q.kl(P) == pytest.approx(0.25 * LOG(2))
    assert P.tv(Q) == pytest.approx(0.25) == Q.tv(P)
    middle = np.array([3 / 8, 1 / 4, 3 / 16, 3 / 16])
    by_hand = (P.entropy + Q.entropy) / -2 - float(middle @ np.log(middle))
    assert P.js(Q) == pytest.approx(by_hand) == Q.js(P)


def test_an_offset_of_the_backend_changes_no_divergence() -> None:
    shifted = Distribution.dense(P.scores + 1000)
    assert shifted.kl(Q) == pytest.approx(P.kl(Q)) and shifted.kl(P) == pytest.approx(0, abs=1e-12)


def test_disjoint_supports_are_as_far_apart_as_can_be() -> None:
    one, other = P.keep([0, 1]), P.keep([2, 3])
    assert one.kl(other) == math.inf and one.tv(other) == 1.0 and one.js(other) == pytest.approx(LOG(2))
    assert one.js(other) <= LOG(2)


@pytest.mark.parametrize("kept", [[0], [0, 3], [1, 2, 3]])
def test_a_truncation_diverges_by_minus_the_log_of_the_kept_mass(kept: list[int]) -> None:
    mass = sum([1 / 2, 1 / 4, 1 / 8, 1 / 8][i] for i in kept)
    for dist in (P.keep(kept), P.with_scores([P.scores[i] if i in kept else -math.inf for i in range(4)])):
        assert dist.kl(P) == pytest.approx(-LOG(mass)) and P.kl(dist) == math.inf


def test_a_head_with_a_tail_has_no_divergence() -> None:
    head = Distribution.head([0], [LOG(0.5)], 4)
    for question in (P.kl, P.js, P.tv):
        with pytest.raises(Undisclosed):
            question(head)
    for question in (head.kl, head.js, head.tv):
        with pytest.raises(Undisclosed):
            question(P)


def test_tokens_outside_the_other_vocabulary_are_a_typed_error() -> None:
    with pytest.raises(ParameterError, match="outside the vocabulary of 2"):
        P.keep([3]).js(Distribution.dense([0.0, 0.0]))


def test_two_dense_rows_of_different_lengths_are_a_typed_error() -> None:
    with pytest.raises(ParameterError, match="vocabular"):
        P.kl(Distribution.dense([0.0, 0.0]))


def test_a_token_the_other_lacks_is_infinitely_surprising_however_unlikely() -> None:
    logp, logq = np.array([0.0, -1000.0]), np.array([0.0, -math.inf])
    assert expected_gap(logp, logq) == math.inf and expected_gap(logq, logp) == 0.0
