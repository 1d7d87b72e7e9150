"""The three samplers of the core against their one-line definitions in docs/RNG.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from decodekit import Choice, Context, Disclosure, Distribution, Randomness, Undisclosed
from decodekit.draw.choice import Draw
from decodekit.draw.randomness import SINGLE, TOKENS, BoundRandomness, gumbel_of
from decodekit.draw.samplers import greedy, inverse_cdf, multinomial, race

LOG, INF = math.log, math.inf
TOP = 2**64 - 1


@dataclass(frozen=True)
class Loaded(BoundRandomness):
    """Noise whose words are given: a loaded die."""

    given: tuple[int, ...] = ()

    def words(self, lanes):
        return np.array([self.given[lane] for lane in lanes], dtype=np.uint64)

    def within(self, domain, draw=None):
        return Loaded(self.source, self.step, domain, self.draw, self.given)


def loaded(*words: int) -> Loaded:
    return Loaded(Randomness(0), 0, TOKENS, 0, words)


def word_at(u: float) -> int:
    """The word whose uniform is the least one not below u."""
    return math.ceil(u * 2**52 - 0.5) << 12


def definition(scores: np.ndarray, noise: BoundRandomness) -> Choice:
    """RNG.md, word for word: over tokens with a finite score, shifted by their maximum, the largest score + g."""
    ids = np.flatnonzero(scores > -INF)
    words = noise.words(range(len(scores)))[ids]
    shifted = scores[ids] - scores.max()
    order = sorted(range(len(ids)), key=lambda i: (-(shifted[i] + gumbel_of(words)[i]), ids[i]))
    perturbed = shifted + gumbel_of(words)
    first, second = order[0], order[1] if len(order) > 1 else None
    return Choice(
        token_id=int(ids[first]),
        logprob=None,
        score=float(perturbed[first]),
        margin=float(perturbed[first] - perturbed[second]) if second is not None else INF,
        runner_up=int(ids[second]) if second is not None else None,
        draw=Draw(TOKENS, noise.stream, noise.step, noise.draw, int(ids[first]), int(words[first])),
    )


def agree(choice: Choice, truth: Choice) -> None:
    assert (choice.token_id, choice.runner_up, choice.draw) == (truth.token_id, truth.runner_up, truth.draw)
    assert (choice.score, choice.margin) == pytest.approx((truth.score, truth.margin), rel=0, abs=1e-12)


# -- multinomial: the fast race is the definition ------------------------------------------------------------------

rows = st.builds(
    lambda seed, size, kind: _row(seed, size, kind),
    st.integers(0, 2**32),
    st.integers(1, 2000),
    st.sampled_from(["flat", "heavy", "peaked", "tied", "masked", "one", "far", "denormal", "equal"]),
)


def _row(seed: int, size: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 1, size)
    if kind == "heavy":
        row = rng.standard_cauchy(size) * 10
    if kind == "peaked":
        row[rng.integers(size)] += 30
    if kind == "tied":
        row = np.round(row)
    if kind == "equal":
        row = np.zeros(size)
    if kind in ("masked", "one"):
        kept = rng.integers(size, size=1 if kind == "one" else size // 10 + 1)
        row[np.setdiff1d(np.arange(size), kept)] = -INF
    if kind == "far":
        row = np.where(rng.random(size) < 0.5, row * 1e-320, row * 1e300)
    if kind == "denormal":  # all but one so unlikely that their weights are denormal numbers, or zero
        row = rng.uniform(-760, -730, size)
        row[rng.integers(size)] = 0
    return row


@settings(max_examples=250)
@given(rows, st.integers(0, TOP), st.sampled_from(["float64", "float32", "scaled"]))
@example(_row(0, 2000, "denormal"), 5, "float64")
@example(_row(0, 2, "denormal"), 0, "float64")
@example(_row(3, 1, "flat"), 0, "float32")
def test_the_fast_race_is_the_definition_on_all_tokens(row: np.ndarray, seed: int, shape: str) -> None:
    if shape == "float32":
        row = np.clip(row, -1e38, 1e38).astype(np.float32)
    dist = Distribution.dense(row)
    if shape == "scaled" and abs(row[row > -INF]).max() < 1e290:
        dist = dist.scaled(0.7)
    noise = Randomness(seed, 3).at(17)
    truth = definition(dist.scores, noise)
    agree(multinomial(dist, Context(), noise), truth)
    alive = dist.support_size
    if alive < len(row):
        agree(multinomial(dist.top(alive), Context(), noise), truth)


@pytest.mark.parametrize("kind", ["flat", "heavy", "peaked", "tied", "masked", "one", "denormal", "equal"])
@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 151_936])
def test_the_fast_race_is_the_definition_across_pieces(kind: str, size: int) -> None:
    dist = Distribution.dense(_row(size, size, kind).astype(np.float32))
    for step in range(3):
        noise = Randomness(size).at(step)
        scores = dist.scores
        words = noise.words(range(size))
        alive = np.flatnonzero(scores > -INF)
        token, best, second, runner_up, word = race(alive, scores[alive] - scores.max(), words[alive])
        choice = multinomial(dist, Context(), noise)
        assert (choice.token_id, choice.runner_up, choice.draw.word) == (token, runner_up, word)
        assert (choice.score, choice.margin) == (best, best - second)


@settings(max_examples=100)
@given(st.integers(0, TOP), st.integers(2, 300), st.sampled_from([-64.0, 0.5, 1024.0]), st.integers(1, 50))
def test_padding_constants_and_order_of_disclosure_change_nothing(
    seed: int, size: int, constant: float, padding: int
) -> None:
    # Multiples of 1/64 and constants with room below them: every sum is exact.
    row = np.round(np.random.default_rng(seed).normal(0, 3, size) * 64) / 64
    noise = Randomness(seed).at(0)
    plain = multinomial(Distribution.dense(row), Context(), noise)
    padded = Distribution.dense([*row, *[-INF] * padding])
    agree(multinomial(padded, Context(), noise), plain)
    for moved in (Distribution.dense(row + constant), padded.add(range(size), constant)):
        choice = multinomial(moved, Context(), noise)
        assert (choice.token_id, choice.score, choice.margin, choice.runner_up) == (
            plain.token_id, plain.score, plain.margin, plain.runner_up,
        )  # fmt: skip
    shuffled = np.random.default_rng(seed + 1).permutation(size)
    logprobs = Distribution.dense(row).logprobs
    agree(multinomial(Distribution.head(shuffled, logprobs[shuffled], size), Context(), noise), plain)


def test_the_draw_by_hand() -> None:
    # u = 1/2 gives tokens 0 and 1 a g of -log(log 2) = 0.3665; u near 1 gives token 2 36.74, on a score of -40.
    half = word_at(0.5)
    choice = multinomial(Distribution.dense([1.0, 0.0, -39.0]), Context(), loaded(half, half, TOP))
    assert (choice.token_id, choice.runner_up) == (0, 1)
    assert choice.score == pytest.approx(-LOG(LOG(2))) and choice.margin == pytest.approx(1.0)
    assert choice.logprob == pytest.approx(-LOG(1 + math.exp(-1) + math.exp(-40)))
    assert multinomial(Distribution.dense([1.0, 0.0, -35.0]), Context(), loaded(half, half, TOP)).token_id == 2


def test_a_masked_token_is_never_chosen_even_with_the_luckiest_word_there_is() -> None:
    dist = Distribution.dense([0.0, -INF, -5.0, -INF])
    choice = multinomial(dist, Context(), loaded(0, TOP, 0, TOP))
    assert (choice.token_id, choice.runner_up) == (0, 2) and choice.margin == pytest.approx(5)
    alone = multinomial(Distribution.dense([-INF, 0.0, -INF]), Context(), loaded(TOP, 0, TOP))
    assert (alone.token_id, alone.margin, alone.runner_up) == (1, INF, None)
    for kept in (dist.top(1), dist.keep([0])):
        assert multinomial(kept, Context(), loaded(0, TOP, TOP, TOP)).token_id == 0


def test_a_token_too_unlikely_for_a_weight_still_takes_part() -> None:
    # exp(-800) is zero, yet 0 beats -800 and -800 beats nothing: it is the runner-up, even with the luckiest word.
    for word in (0, TOP):
        choice = multinomial(Distribution.dense([0.0, -800.0]), Context(), loaded(1 << 60, word))
        assert (choice.token_id, choice.runner_up) == (0, 1) and math.isfinite(choice.margin)


def test_equal_perturbed_scores_go_to_the_lowest_id() -> None:
    dist = Distribution.dense([-1.0, 3.0, 3.0, 3.0])
    choice = multinomial(dist, Context(), loaded(*[1 << 63] * 4))
    assert (choice.token_id, choice.runner_up, choice.margin) == (1, 2, 0.0)
    kept = Distribution.dense([-1.0, 3.0, 3.0, 3.0, -INF]).keep([3, 2, 1])
    assert multinomial(kept, Context(), loaded(*[1 << 63] * 5)).token_id == 1


# -- the law -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [multinomial, inverse_cdf])
@pytest.mark.parametrize("shape", ["dense", "sparse"])
def test_tokens_come_as_often_as_their_probabilities_say(sampler, shape: str) -> None:
    # 20,000 draws over 6 tokens (5 degrees of freedom): chi-square passes 45 with p = 1.5e-8.
    p = np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    dist = Distribution.dense([*np.log(p) + 5, -INF])
    dist = dist.top(6) if shape == "sparse" else dist
    noise = Randomness(99)
    drawn = np.bincount([sampler(dist, Context(), noise.at(step)).token_id for step in range(20_000)], minlength=7)
    assert drawn[6] == 0
    assert ((drawn[:6] - 20_000 * p) ** 2 / (20_000 * p)).sum() < 45


def test_multinomial_follows_a_temperature_and_streams_are_as_good_as_steps() -> None:
    # The same threshold: 5 degrees of freedom, 45, p = 1.5e-8.
    row = np.array([2.0, 1.0, 0.5, 0.0, -1.0, -2.0])
    p = np.exp(row / 1.7) / np.exp(row / 1.7).sum()
    dist = Distribution.dense(row).scaled(1 / 1.7)
    choices = [multinomial(dist, Context(), Randomness(1, stream).at(0)) for stream in range(20_000)]
    drawn = np.bincount([choice.token_id for choice in choices], minlength=6)
    assert ((drawn - 20_000 * p) ** 2 / (20_000 * p)).sum() < 45


# -- greedy --------------------------------------------------------------------------------------------------------


def test_greedy_takes_the_lowest_id_among_equals_and_consumes_nothing() -> None:
    class NoDice(Loaded):
        def words(self, lanes):
            raise AssertionError("greedy consumes no randomness")

    dice = NoDice(Randomness(0), 0)
    dist = Distribution.dense([1.0, 4.0, 4.0, 3.5, -INF])
    for shape in (dist, dist.top(4), dist.keep([3, 2, 1])):
        choice = greedy(shape, Context(), dice)
        assert (choice.token_id, choice.runner_up, choice.margin, choice.score) == (1, 2, 0.0, 4.0)
        assert choice.draw is None and choice.logprob == pytest.approx(shape.logprob(1))
    clear = greedy(dist.keep([0, 1, 3]), Context(), dice)
    assert (clear.token_id, clear.margin, clear.runner_up) == (1, 0.5, 3)
    alone = greedy(dist.keep([3]), Context(), dice)
    assert (alone.token_id, alone.margin, alone.runner_up) == (3, INF, None)


def test_greedy_reads_a_head_even_behind_a_temperature() -> None:
    head = Distribution.head([5, 3, 8], [LOG(0.5), LOG(0.3), LOG(0.1)], 20)
    for dist, margin in ((head, LOG(5 / 3)), (head.scaled(2.0), 2 * LOG(5 / 3))):
        choice = greedy(dist, Context(), Randomness(0).at(0))
        assert (choice.token_id, choice.runner_up) == (5, 3) and choice.margin == pytest.approx(margin)
    assert greedy(head, Context(), Randomness(0).at(0)).logprob == pytest.approx(LOG(0.5))


def test_greedy_asks_for_more_than_it_was_shown() -> None:
    for head in (
        Distribution.head([5], [LOG(0.5)], 20),
        Distribution.head([5, 3], [LOG(0.5), LOG(0.4)], 20).add([5, 3], [-9.0, -9.0]),
    ):
        with pytest.raises(Undisclosed) as caught:
            greedy(head, Context(), Randomness(0).at(0))
        assert not Disclosure(len(head.scores)).covers(caught.value.need)


# -- inverse_cdf ---------------------------------------------------------------------------------------------------


def plain_inverse_cdf(row: list[float], u: float) -> int:
    """The first id, in id order, with cumulative mass above u * total."""
    weights = [math.exp(x - max(row)) for x in row]
    total, cumulative = 0.0, 0.0
    for w in weights:
        total += w
    for i, w in enumerate(weights):
        cumulative += w
        if cumulative > u * total:
            return i
    raise AssertionError


@settings(max_examples=200)
@given(st.lists(st.floats(-20, 5) | st.just(-INF), min_size=1, max_size=30), st.integers(0, TOP), st.booleans())
def test_inverse_cdf_is_its_definition(row: list[float], seed: int, sparse: bool) -> None:
    row = [*row, 0.0, -INF]
    dist = Distribution.dense(row)
    dist = dist.top(dist.support_size) if sparse else dist
    noise = Randomness(seed).at(2)
    u = float(noise.within(SINGLE).uniform([0])[0])
    choice = inverse_cdf(dist, Context(), noise)
    if choice.margin > 1e-12:
        assert choice.token_id == plain_inverse_cdf(row, u)
    assert choice.score == u and choice.draw == Draw(SINGLE, 0, 2, 0, 0, int(noise.within(SINGLE).words([0])[0]))
    assert choice.logprob == pytest.approx(dist.logprob(choice.token_id))


@pytest.mark.parametrize(
    ("u", "token", "runner_up", "margin"),
    [
        (0.0, 0, 1, 0.25),  # the lowest cell
        (0.25 - 2**-52, 0, 1, 0.0),  # just below an edge
        (0.25, 1, 0, 0.0),  # an edge belongs to the next cell
        (0.5, 1, 3, 0.25),  # the middle of [0.25, 0.75): both edges are as near; see below
        (0.7, 1, 3, 0.05),
        (0.8, 3, 1, 0.05),  # token 2 is masked
        (1 - 2**-52, 3, 1, 0.25),  # the last cell has no upper neighbour
    ],
)
def test_inverse_cdf_at_the_edges_of_its_cells(u: float, token: int, runner_up: int, margin: float) -> None:
    # Cells: 0 has [0, 1/4), 1 has [1/4, 3/4), 2 nothing, 3 has [3/4, 1).
    dist = Distribution.dense([LOG(1 / 4), LOG(1 / 2), -INF, LOG(1 / 4)])
    for shape in (dist, dist.top(3), dist.add(range(4), 7.0)):
        choice = inverse_cdf(shape, Context(), loaded(min(word_at(u), TOP)))
        assert choice.token_id == token and choice.margin == pytest.approx(margin, abs=1e-15)
        if u != 0.5:
            assert choice.runner_up == runner_up


def test_inverse_cdf_with_the_largest_word_ends_on_a_token_that_has_mass() -> None:
    # exp(-800) is zero: the last token has no cell, however close to 1 the uniform is.
    for row in ([0.0, 1.0, -799.0], [0.1, 0.2, 0.3, -INF], [-799.0, 0.0]):
        choice = inverse_cdf(Distribution.dense(row), Context(), loaded(TOP))
        assert row[choice.token_id] > -1
        assert choice.runner_up is None or row[choice.runner_up] > -1
    assert inverse_cdf(Distribution.dense([-799.0, 0.0]), Context(), loaded(0)).token_id == 1


def test_inverse_cdf_gives_a_uniform_on_an_edge_to_the_next_cell() -> None:
    # u = (m + 1/2) / 2**52 with m = 1501199875790165 is 1/3 + 2**-53 / 3: times 3 it is 1 + 2**-53, rounded 1.
    choice = inverse_cdf(Distribution.dense([0.0, 0.0, 0.0]), Context(), loaded(1501199875790165 << 12))
    assert choice.score * 3.0 == 1.0 and (choice.token_id, choice.runner_up, choice.margin) == (1, 0, 0.0)


def test_inverse_cdf_needs_the_whole_distribution() -> None:
    with pytest.raises(Undisclosed) as caught:
        inverse_cdf(Distribution.head([1], [LOG(0.5)], 4), Context(), Randomness(0).at(0))
    assert caught.value.need.kind == "all"


def test_a_truncation_draws_the_same_token_whenever_the_winner_is_inside() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for case in range(1000):
        full = Distribution.dense(rng.normal(0, 2, 200))
        noise = Randomness(case).at(0)
        winner = multinomial(full, Context(), noise)
        for kept in (full.top(12), full.nucleus(0.6), full.threshold(2.0)):
            choice = multinomial(kept, Context(), noise)
            if winner.token_id in kept.support():
                inside += 1
                assert choice.token_id == winner.token_id and choice.margin >= winner.margin - 1e-12
            else:
                assert choice.token_id in kept.support()
    assert inside > 1000
