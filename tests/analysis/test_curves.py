"""Temperature curves are those of enumeration, hold as bounds where little is disclosed, and agree with sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from decodekit import ALL, Disclosure, Distribution, ParameterError, Session, Undisclosed, processor
from decodekit.analysis import chain_curve, crossings, curves, temperature_curve
from decodekit.analysis.answers.tempered import tempered
from decodekit.testing import NGramAdapter, TableAdapter

from .tables import SIZE, logprob, model, neighbours, texts
from .test_forced import TEXT, Counting

TEMPERATURES = [0.3, 0.7, 1.0, 1.5]
ANSWERS = [(1, 2, 3), (3, 0), (1,)]


def test_curves_are_those_of_enumeration() -> None:
    found = curves(model(), [0], ANSWERS, TEMPERATURES)
    exact = [[logprob(ids, each) for each in TEMPERATURES] for ids in ANSWERS]
    assert np.allclose(found.logprobs, exact, atol=1e-12)
    assert np.array_equal(temperature_curve(model(), [0], ANSWERS, TEMPERATURES), found.logprobs)
    one = sum(p for ids, p in texts(3, 0.7) if ids[:1] == (1,) or ids[:2] == (3, 0))
    assert found.together.values[1] == pytest.approx(one, abs=1e-12)  # (1, 2, 3) lies within (1,)
    assert found.chance is not None and np.allclose(found.chance, [-len(ids) * math.log(SIZE) for ids in ANSWERS])


def test_the_limits_are_the_most_likely_token_and_a_fair_draw() -> None:
    session = Session(model(), "greedy", seed=1)
    best = session.generate([0], max_tokens=3).token_ids
    found = curves(model(), [0], [best, (*best[:2], (best[2] + 1) % SIZE)], [0.0, 1e-3, math.inf])
    assert found.logprobs[0, 0] == 0.0 and found.logprobs[1, 0] == -math.inf
    assert np.allclose(found.logprobs[:, 2], -3 * math.log(SIZE)) and found.entropy.values[0, 0] == 0.0


@pytest.mark.parametrize("spread", [0.01, 2.0, 40.0])
def test_many_temperatures_of_a_long_row_are_each_of_them_alone(spread: float) -> None:
    row = np.random.default_rng(3).normal(0, spread, 20_000).astype(np.float32)
    row[5] += 12
    row[17] = -np.inf
    dist, ids = Distribution.dense(row), [5, 17, 400]
    grid = np.array([0.01, 0.1, 0.24, 0.26, 0.5, 1.0, 1.7, 30.0])
    found = tempered(dist, ids, grid)
    for at, temperature in enumerate(grid.tolist()):
        alone = dist.scaled(1 / temperature)
        assert np.allclose(found.low[:, at], alone.logprobs_of(ids), rtol=1e-12, atol=1e-12)
        assert found.entropy_low[at] == pytest.approx(alone.entropy, rel=1e-11, abs=1e-11)


def test_extreme_scores_and_temperatures_are_the_limits() -> None:
    dist = Distribution.dense(np.array([0.0, -1e300, -2.0]))
    found = tempered(dist, [0, 1, 2], np.array([1e-99, 1e-20, 1e300]))
    assert found.low[0, :2].tolist() == [0.0, 0.0] and found.low[1, :2].tolist() == [-math.inf, -math.inf]
    assert found.low[2, 2] == pytest.approx(-math.log(2 + math.exp(-1)), rel=1e-9)
    assert np.isfinite(found.entropy_low).all()


@pytest.mark.parametrize("ids", [(), (0,)])
def test_where_a_part_is_disclosed_the_bounds_hold(ids: tuple[int, ...]) -> None:
    grid = [0.0, *TEMPERATURES, math.inf]
    exact = curves(model(), [0], ANSWERS[:2], grid, near=2)
    found = curves(model(Disclosure(top=3, ids=ids)), [0], ANSWERS[:2], grid, near=2)
    for whole, part in ((exact.logprob, found.logprob), (exact.entropy, found.entropy),
                        (exact.together, found.together)):  # fmt: skip
        assert (part.low <= whole.values + 1e-9).all() and (whole.values <= part.high + 1e-9).all()
    assert exact.near is not None and found.near is not None
    assert (found.near.low <= exact.near.high + 1e-9).all() and (exact.near.low <= found.near.high + 1e-9).all()
    with pytest.raises(Undisclosed, match="log P of an answer number 0, 1 is not known"):
        _ = found.logprobs


@pytest.mark.parametrize("temperature", [0.02, 0.0114, 0.01, 1e-3, 1e-5])
def test_the_bounds_hold_where_a_float_has_no_such_probability(temperature: float) -> None:
    row = [8.0, 4.0, 0.0]
    whole, part = (TableAdapter(lambda _: row, 3, most=most) for most in (ALL, Disclosure(top=2)))
    exact = curves(whole, [0], [[2]], [temperature])
    found = curves(part, [0], [[2]], [temperature])
    for truth, (low, high) in (
        (exact.logprobs[0, 0], (found.logprob.low[0, 0], found.logprob.high[0, 0])),
        (exact.entropy.values[0, 0], (found.entropy.low[0, 0], found.entropy.high[0, 0])),
    ):
        slack = 1e-9 * max(1.0, abs(truth))
        assert low - slack <= truth <= high + slack and low <= high


@pytest.mark.parametrize("answers", [[(1, 2, 3)], [(1, 1, 2), (3,)], [(1, 2), (1, 3, 2)], [(2, 2, 2), (2, 2, 1)]])
@pytest.mark.parametrize("width", [1, 2, SIZE])
def test_the_mass_of_near_misses_is_bounded_and_exact_where_all_are_tried(
    answers: list[tuple[int, ...]], width: int
) -> None:
    found = curves(model(), [0], answers, TEMPERATURES, near=width)
    assert found.near is not None and found.rest is not None
    near = set[tuple[int, ...]]().union(*map(neighbours, answers))
    for at, temperature in enumerate(TEMPERATURES):
        beside = sum(p for ids, p in texts(4, temperature)
                     if any(ids[: len(each)] == each for each in near)
                     and not any(ids[: len(each)] == each for each in answers))  # fmt: skip
        assert found.near.low[at] - 1e-12 <= beside <= found.near.high[at] + 1e-12
        if width == SIZE:
            assert found.near.low[at] == pytest.approx(beside, abs=1e-12) == found.near.high[at]
        rest = 1 - beside - found.together.values[at]
        assert found.rest.low[at] - 1e-12 <= rest <= found.rest.high[at] + 1e-12


def test_an_answer_that_ends_is_near_to_texts_that_end() -> None:
    end, answer = 0, (1, 2)
    found = curves(model(), [3], [answer], TEMPERATURES, end=end, near=SIZE)
    ended = {(*ids, end) for ids in neighbours(answer) if end not in ids} - {(*answer, end)}
    assert found.answers == ((1, 2, end),) and found.near is not None
    for at, temperature in enumerate(TEMPERATURES):
        beside = sum(math.exp(logprob(ids, temperature, (3,))) for ids in ended)
        assert found.near.low[at] == pytest.approx(beside, abs=1e-12)
        assert found.near.high[at] == pytest.approx(beside, abs=1e-12)


def test_a_chain_comes_after_the_temperature_and_the_model_is_asked_once() -> None:
    counting, answers = Counting(), ["cat", "dog sat"]
    grid = [0.5, 1.0, 2.0]
    found = temperature_curve(counting, "the ", answers, grid, chain="top_k=5 top_p=0.9")
    assert sum(counting.asked) == 9  # the prefixes of both, the prompt once
    session = Session(counting.inner)
    for at, temperature in enumerate(grid):
        chain = f"temperature={temperature} top_k=5 top_p=0.9"
        for row, answer in enumerate(answers):
            under = session.score("the ", answer, chain=chain).under_chain
            assert under is not None and found[row, at] == under.total
    penalty = [processor("repetition_penalty", repetition_penalty=1.3)]
    found = chain_curve(counting, "the ", answers, ["", penalty])
    assert np.allclose(found[:, 0], temperature_curve(counting, "the ", answers, [1.0])[:, 0], atol=1e-12)
    assert (found[:, 1] != found[:, 0]).all()
    with pytest.raises(ParameterError, match="draws random numbers"):
        temperature_curve(counting, "the ", answers, grid, chain="xtc=0.5")


def test_under_a_chain_what_is_undisclosed_is_not_guessed() -> None:
    best = tuple(Session(model(), "greedy", seed=1).generate([0], max_tokens=1).token_ids)
    little = model(Disclosure(top=2))
    assert temperature_curve(little, [0], [best], [0.7], chain="top_k=1")[0, 0] == 0.0
    with pytest.raises(Undisclosed):
        temperature_curve(little, [0], [best], [0.7], chain="top_k=3")


def agree(share: float, count: int, n: int) -> None:
    """Within 4.9 standard errors and half a count: by chance it fails once in 10^6."""
    assert abs(count - n * share) <= 4.9 * math.sqrt(n * share * (1 - share)) + 0.5


def test_curves_agree_with_sampling() -> None:
    n, answers = 1500, [(1,), (3, 0), (2, 1, 1)]
    for temperature in (0.5, 1.3):
        session = Session(model(), f"temperature={temperature}", seed=11)
        drawn = [each.token_ids for each in session.generate_many([[0]], n=n, max_tokens=3, level="none")[0]]
        for ids, value in zip(answers, temperature_curve(model(), [0], answers, [temperature])[:, 0], strict=True):
            agree(math.exp(value), sum(tuple(each[: len(ids)]) == ids for each in drawn), n)


@pytest.mark.real_model
def test_curves_agree_with_sampling_on_a_real_model() -> None:
    pytest.importorskip("llama_cpp")
    import decodekit

    n, prompt = 200, "The capital of France is"
    with decodekit.open("smollm2", "temperature=1.2", n_ctx=2048, n_threads=1, seed=5) as session:
        drawn = [each.text for each in session.generate_many([prompt], n=n, max_tokens=1, level="none")[0]]
        (value,) = temperature_curve(session.adapter, prompt, [" Paris"], [1.2])[0]
    agree(math.exp(value), drawn.count(" Paris"), n)


def test_crossing_points_are_found_between_the_points_of_the_grid() -> None:
    grid = np.array([0.0, 1.0, 2.0, 3.0])
    (found,) = crossings(grid, np.array([1.0, 1.0, 0.0, -1.0]), np.array([0.0, 0.5, 0.5, 0.5]))
    assert (found.low, found.high, found.at, found.rising) == (1.0, 2.0, 1.5, False)
    assert crossings(grid, np.full(4, -math.inf), np.full(4, -math.inf)) == []
    (found,) = crossings(grid, np.array([-1.0, 0.0, 0.0, 1.0]), np.zeros(4))
    assert (found.low, found.high, found.rising) == (0.0, 3.0, True)
    with pytest.raises(ParameterError, match="rises"):
        crossings(grid[::-1], grid, grid)


def test_answers_overtake_one_another_and_chance_where_enumeration_says_so() -> None:
    grid = np.linspace(0.05, 6, 60)
    answers = [ids for ids, _ in texts(2, 1.0)]
    found = curves(model(), [0], answers, grid)

    def sign(i: int, j: int | None, temperature: float) -> float:
        other = -2 * math.log(SIZE) if j is None else logprob(answers[j], temperature)
        return math.copysign(1, logprob(answers[i], temperature) - other)

    seen = [(i, j, each) for i in range(len(answers)) for j in range(i) for each in found.overtaken(i, j)]
    levels = [(i, None, each) for i in range(len(answers)) for each in found.below_chance(i)]
    assert len(seen) > 5 and len(levels) > 2
    for i, j, each in [*seen, *levels]:
        assert sign(i, j, each.low) == -sign(i, j, each.high) == (-1 if each.rising else 1)
        assert each.low < each.at < each.high
    ends = [(i, j) for i in range(len(answers)) for j in range(i) if sign(i, j, grid[0]) != sign(i, j, grid[-1])]
    assert set(ends) <= {(i, j) for i, j, _ in seen}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperature_curve(model(), [0], [(1,)], []), "with one at least"),
        (lambda: temperature_curve(model(), [0], [(1,)], [-0.1]), "from 0"),
        (lambda: temperature_curve(model(), [0], [(1,)], [math.nan]), "from 0"),
        (lambda: temperature_curve(model(), [0], [(1,)], ["warm"]), "list of numbers"),  # type: ignore[list-item]
        (lambda: temperature_curve(model(), [0], [], [1.0]), "with one at least"),
        (lambda: temperature_curve(model(), [0], ["text"], [1.0]), "candidate 0: this adapter has no tokenizer"),
        (lambda: temperature_curve(model(), [0], [(9,)], [1.0]), "outside the vocabulary"),
        (lambda: temperature_curve(NGramAdapter(TEXT), "a", ["\ud800"], [1.0]), "candidate 0 is not valid Unicode"),
        (lambda: temperature_curve(NGramAdapter(TEXT), "a", [""], [1.0]), "candidate 0 is empty"),
        (lambda: curves(model(), [0], [(1,), (1,)], [1.0]), "same tokens"),
        (lambda: curves(model(), [0], [(1,)], [1.0], near=-1), "near must be"),
        (lambda: curves(model(), [0], [(1,)], [1.0], near=1, chain="top_k=2"), "not of a chain"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call()
