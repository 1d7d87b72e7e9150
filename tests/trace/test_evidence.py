"""Evidence: what is kept of a final distribution proves the draw, and little more is kept than must be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import Choice, Context, Distribution, Randomness
from decodekit.draw.randomness import BoundRandomness, gumbel_of, words_above
from decodekit.draw.samplers import greedy, inverse_cdf, multinomial, race
from decodekit.trace.evidence import Evidence, gather

INF = math.inf


def row_of(seed: int, size: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 1, size)
    if kind == "flat":
        row *= 0.01
    if kind == "language":  # a few likely tokens over a wide, thin tail
        row = -2.0 * np.log(rng.permutation(size) + 1.0) + 0.3 * row
    if kind == "peaked":
        row[rng.integers(size)] += 15
    if kind == "masked":
        row[rng.random(size) < 0.5] = -INF
        row[0] = 0.0
    return row


def proves(evidence: Evidence, choice: Choice, noise: BoundRandomness, size: int) -> None:
    """Run the race on the listed tokens only, then let every missing token stand at the floor."""
    alive = evidence.scores > -INF
    ids, scores = evidence.token_ids[alive], evidence.scores[alive]
    shifted = scores - scores.max()
    token, best, second, runner_up, _ = race(ids, shifted, noise.words(ids))
    assert (token, best, best - second, runner_up) == (choice.token_id, choice.score, choice.margin, choice.runner_up)
    if evidence.floor is None:
        return
    missing = np.setdiff1d(np.arange(size), evidence.token_ids)
    reach = noise.gumbel(range(size))[missing] + evidence.floor - scores.max()
    assert len(missing) == 0 or reach.max() < second


def fewest(dist: Distribution, choice: Choice, noise: BoundRandomness) -> int:
    """The least number of entries over all floors: brute force over every score as the floor."""
    scores = dist.scores_of(range(dist.vocab_size or 0)) - dist.max_score
    gumbel = noise.gumbel(range(len(scores)))
    second = choice.score - choice.margin
    floors = np.sort(scores[scores > -INF])[::-1]
    return min(int(((scores >= floor) | (gumbel + floor >= second)).sum()) for floor in np.unique(floors[:2500])[::-1])


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(200, 5000),
    st.sampled_from(["normal", "flat", "language", "peaked", "masked"]),
    st.sampled_from([1.0, 0.5, 2.0, 10.0]),
)
def test_a_floor_proves_the_draw_of_an_untruncated_distribution(
    seed: int, size: int, kind: str, temperature: float
) -> None:
    dist = Distribution.dense(row_of(seed, size, kind).astype(np.float32)).scaled(1 / temperature)
    noise = Randomness(seed).at(3)
    choice = multinomial(dist, Context(), noise)
    evidence = gather(dist, choice, multinomial, noise)
    assert evidence.floor is not None and len(np.unique(evidence.token_ids)) == len(evidence.token_ids)
    assert np.array_equal(evidence.scores, dist.scores_of(evidence.token_ids))
    missing = np.setdiff1d(np.arange(size), evidence.token_ids)
    assert len(missing) == 0 or dist.scores_of(missing).max() <= evidence.floor
    proves(evidence, choice, noise, size)


def test_evidence_is_nearly_as_short_as_it_can_be() -> None:
    total = optimum = 0
    for case in range(60):
        kind = ["normal", "flat", "language", "peaked"][case % 4]
        size = [300, 1500, 5000][case % 3]
        dist = Distribution.dense(row_of(case, size, kind)).scaled(1 / [1.0, 0.6, 3.0][case // 4 % 3])
        noise = Randomness(case).at(0)
        choice = multinomial(dist, Context(), noise)
        entries, best = len(gather(dist, choice, multinomial, noise).token_ids), fewest(dist, choice, noise)
        assert entries <= 1.3 * best + 16, (case, kind, size)  # a handful of lucky tokens is chance, not design
        total, optimum = total + entries, optimum + best
    assert total <= 1.3 * optimum


def test_evidence_of_a_language_like_row_of_50_000_tokens_is_about_a_hundred_entries() -> None:
    row = row_of(1, 50_000, "language").astype(np.float32)
    dist = Distribution.dense(row)
    lengths = []
    for step in range(20):
        noise = Randomness(7).at(step)
        choice = multinomial(dist, Context(), noise)
        evidence = gather(dist, choice, multinomial, noise)
        proves(evidence, choice, noise, len(row))
        lengths.append(len(evidence.token_ids))
    assert np.median(lengths) < 300


def test_a_truncation_is_kept_whole_when_short_and_proved_by_a_floor_when_long() -> None:
    dist = Distribution.dense(row_of(2, 5000, "flat"))
    noise = Randomness(3).at(0)
    for k in (1, 2, 128):
        choice = multinomial(dist.top(k), Context(), noise)
        evidence = gather(dist.top(k), choice, multinomial, noise)
        assert evidence.floor is None and len(evidence.token_ids) == k
        proves(evidence, choice, noise, 5000)
    for k in (129, 2000):
        choice = multinomial(dist.top(k), Context(), noise)
        evidence = gather(dist.top(k), choice, multinomial, noise)
        assert evidence.floor is not None and len(evidence.token_ids) < 5000
        proves(evidence, choice, noise, 5000)  # removed tokens that luck could lift are listed, at -inf


def test_one_token_alone_is_its_own_evidence() -> None:
    row = np.full(500, -INF)
    row[77] = 3.0
    dist, noise = Distribution.dense(row), Randomness(0).at(0)
    for sampler in (multinomial, greedy, inverse_cdf):
        evidence = gather(dist, sampler(dist, Context(), noise), sampler, noise)
        assert (evidence.token_ids.tolist(), evidence.scores.tolist(), evidence.floor) == ([77], [3.0], None)


def test_greedy_is_proved_by_two_tokens_and_inverse_cdf_by_all() -> None:
    dist, noise = Distribution.dense(row_of(5, 400, "normal")), Randomness(0).at(0)
    choice = greedy(dist, Context(), noise)
    evidence = gather(dist, choice, greedy, noise)
    assert evidence.token_ids.tolist() == dist.order[:2].tolist() and evidence.floor == evidence.scores[1]
    whole = gather(dist, inverse_cdf(dist, Context(), noise), inverse_cdf, noise)
    assert len(whole.token_ids) == 400 and whole.floor is None


def test_a_samplers_own_choice_without_a_draw_is_not_taken_for_greedy() -> None:
    dist, noise = Distribution.dense(row_of(5, 400, "normal")), Randomness(0).at(0)

    def last(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
        return Choice(399, dist.logprob(399), margin=1.0, runner_up=398)

    evidence = gather(dist, last(dist, Context(), noise), last, noise)
    assert len(evidence.token_ids) == 400 and evidence.floor is None


def test_evidence_on_a_head_is_the_head_with_the_bound_of_its_tail() -> None:
    head = Distribution.head([4, 2], [math.log(0.98), math.log(0.015)], 10)
    noise = next(
        noise for noise in (Randomness(seed).at(0) for seed in range(50)) if int(noise.gumbel(range(10)).argmax()) == 4
    )
    evidence = gather(head, multinomial(head, Context(), noise), multinomial, noise)
    assert evidence.token_ids.tolist() == [4, 2] and evidence.floor == pytest.approx(math.log(0.005), abs=1e-3)


@settings(max_examples=200)
@given(st.floats(-8, 40), st.integers(0, 2**64 - 1))
def test_the_test_on_words_never_misses_a_number_that_reaches_the_mark(mark: float, word: int) -> None:
    words = np.array([word, 0, 2**64 - 1, word | (2**64 - 2**40)], dtype=np.uint64)
    reaching = gumbel_of(words) >= mark
    assert (words_above(words, mark) | ~reaching).all()


@pytest.mark.parametrize("mark", [-2.0, 0.0, 3.0, 9.0])
def test_the_test_on_words_lets_hardly_any_other_pass(mark: float) -> None:
    words = Randomness(5).words(range(200_000), step=0)
    assert np.array_equal(words_above(words, mark), gumbel_of(words) >= mark)  # differs by chance with p < 1e-3
