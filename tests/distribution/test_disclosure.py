"""Heads with a tail: whatever they answer is what the whole distribution answers, else `Undisclosed` names a way on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import ALL, CHEAP, Disclosure, Distribution, DistributionError, EmptySupport, ParameterError, Undisclosed
from decodekit.distribution.disclosure import for_each
from decodekit.distribution.hidden import Hidden

LOG = math.log
Question = Callable[[Distribution], Distribution]


def row_of(rng: np.random.Generator) -> np.ndarray:
    """A random row of 5 to 80 tokens: peaked or flat, with or without ties and masked tokens."""
    row = rng.normal(0, rng.choice([0.1, 1, 3, 8]), rng.integers(5, 81))
    if rng.random() < 0.3:
        row = np.round(row)
    if rng.random() < 0.2:
        row[rng.random(len(row)) < 0.3] = -np.inf
        row[0] = 1.0
    return row


def head_of(full: Distribution, top: int, ids: tuple[int, ...] = ()) -> Distribution:
    """What an API that shows the top and some ids by name would have answered."""
    leading, logprobs = full.leading(top)
    shown = np.union1d(leading, np.array(ids, dtype=np.int64))
    return Distribution.head(shown, full.logprobs_of(shown), full.vocab_size, max_hidden=float(logprobs.min()))


def answered(full: Distribution, question: Question, shown: int) -> Distribution | None:
    """The answer on the head, or None; then the disclosure it needs must be more, and asking must come to an end."""
    try:
        return question(head_of(full, shown))
    except Undisclosed as error:
        need = error.need
        for _ in range(12):
            if need.kind == "all" or (need.top or 0) >= full.support_size:
                return None
            assert (need.top or 0) > shown or need.ids, "the same answer again would settle nothing"
            shown = max(need.top or 0, shown)
            try:
                question(head_of(full, shown, need.ids))
            except Undisclosed as again:
                need = again.need
            else:
                return None
        raise AssertionError("there is no end to the asking") from None


def same(answer: Distribution, truth: Distribution) -> None:
    ids = truth.order
    assert sorted(answer.support().tolist()) == sorted(ids.tolist())
    assert answer.logprobs_of(ids).tolist() == pytest.approx(truth.logprobs_of(ids).tolist(), rel=1e-9, abs=1e-9)


def nucleus(rng: np.random.Generator) -> Question:
    p, min_keep = rng.uniform(0.05, 0.999), int(rng.choice([1, 1, 4]))
    return lambda dist: dist.nucleus(p, min_keep)


def top(rng: np.random.Generator) -> Question:
    k = int(rng.integers(1, 40))
    return lambda dist: dist.top(k)


def min_p(rng: np.random.Generator) -> Question:
    gap, min_keep = rng.uniform(0.1, 6), int(rng.choice([1, 1, 5]))
    return lambda dist: dist.threshold(float(dist.scores_of([dist.mode])[0]) - gap, min_keep)


@pytest.mark.parametrize("make", [nucleus, top, min_p])
@pytest.mark.parametrize("before", ["nothing", "temperature", "two temperatures", "bias"])
def test_what_a_head_answers_the_whole_distribution_answers_too(
    make: Callable[[np.random.Generator], Question], before: str
) -> None:
    rng = np.random.default_rng([len(make.__name__), len(before)])
    settled = 0
    for _ in range(600):
        full = Distribution.dense(row_of(rng))
        shown = int(rng.integers(1, full.support_size + 1))
        ask, factor, value = make(rng), rng.uniform(0.3, 3), rng.choice([-3.0, 2.0, -math.inf])
        leaders = full.leading(min(2, shown))[0]

        def question(
            dist: Distribution, ask=ask, factor=factor, value=value, leaders=leaders, alone=full.support_size <= 2
        ) -> Distribution:
            if before == "temperature":
                dist = dist.scaled(factor)
            elif before == "two temperatures":
                dist = dist.scaled(factor).scaled(1.7)
            elif before == "bias" and not alone:
                dist = dist.add(leaders, value)
            return ask(dist)

        truth = question(full)
        if truth.ambiguous:
            continue
        answer = answered(full, question, shown)
        if answer is not None:
            settled += 1
            same(answer, truth)
    assert settled > 60  # the questions are not just refused


def test_a_head_answers_what_can_be_proved_and_says_what_it_lacks() -> None:
    # 0.5 and 0.3 are shown; three tokens share 0.2, none above 0.2.
    head = Distribution.head([7, 2], [LOG(0.5), LOG(0.3)], 5 + 3)
    assert head.tail is not None and head.tail.count == 6
    assert head.tail.mass_low == pytest.approx(0.2, abs=2e-6) and head.tail.mass_high == pytest.approx(0.2, abs=2e-6)
    assert head.tail.max_logprob == pytest.approx(LOG(0.2), abs=1e-5)
    assert (head.mode, head.rank(7), head.rank(2), head.logprob(2)) == (7, 0, 1, LOG(0.3))
    assert head.top(2).support().tolist() == head.nucleus(0.75).support().tolist() == [7, 2]
    assert head.nucleus(0.5 - 1e-6).support().tolist() == [7] and head.threshold(LOG(0.25)).support_size == 2
    needs = {
        "entropy": ALL, "varentropy": ALL, "order": ALL, "support_size": ALL,
    }  # fmt: skip
    for name, need in needs.items():
        with pytest.raises(Undisclosed) as caught:
            getattr(head, name)
        assert caught.value.need == need
    questions = {
        lambda: head.top(3): Disclosure(3),
        lambda: head.nucleus(0.85): Disclosure(8),
        lambda: head.threshold(LOG(0.19)): Disclosure(8),
        lambda: head.logprob(5): Disclosure(2, (5,)),
        lambda: head.add([5, 7, 0], [1.0, 1.0, 1.0]): Disclosure(2, (5, 0)),
        lambda: head.keep([2, 4]): Disclosure(2, (4,)),
        lambda: head.keep([True, False]): ALL,
        lambda: head.with_scores([1, 2]): ALL,
        lambda: head.kl(head): ALL,
        lambda: head.scaled(2.0).log_normalizer: ALL,
        lambda: head.add([7], [-1.0]).top(2): Disclosure(8),
        lambda: head.add([7, 2], [-math.inf, -math.inf]): Disclosure(8),
    }
    for question, need in questions.items():
        with pytest.raises(Undisclosed) as caught:
            question()
        assert caught.value.need == need, str(caught.value)


def test_named_tokens_shown_below_the_edge_do_not_count_as_leaders() -> None:
    head = Distribution.head([3, 1, 9], [LOG(0.6), LOG(0.2), LOG(0.001)], 10, max_hidden=LOG(0.2))
    assert head.top(2).support().tolist() == [3, 1] and head.leading(5)[0].tolist() == [3, 1]
    heated = head.scaled(0.5)  # the normaliser is open now; who leads is not
    assert heated.leading(5)[0].tolist() == [] and heated.ranked(5)[0].tolist() == [3, 1]
    assert head.max_score == LOG(0.6) and head.reaching(LOG(0.3))[0].tolist() == [3]
    hides_more = Distribution.head([3], [LOG(0.1)], 10, max_hidden=LOG(0.5))
    for question in (
        lambda: head.top(3),
        lambda: head.rank(9),
        lambda: head.nucleus(0.8005),
        lambda: head.reaching(LOG(0.19)),
        lambda: hides_more.max_score,
    ):
        with pytest.raises(Undisclosed):
            question()


def test_keeping_disclosed_tokens_of_a_head_leaves_nothing_undisclosed() -> None:
    kept = Distribution.head([7, 2, 4], [LOG(0.5), LOG(0.25), LOG(0.125)], 8).keep([4, 2])
    assert kept.tail is None and np.exp(kept.logprobs).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_giving_up_the_tail_is_the_disclosed_tokens_alone() -> None:
    head = Distribution.head([7, 2, 4], [LOG(0.5), LOG(0.25), -math.inf], 8)
    given_up = head.truncated()
    assert given_up.tail is None and given_up.support_size == 2 and given_up.logprob(7) == pytest.approx(LOG(2 / 3))
    whole = Distribution.dense([0.0, 1.0])
    assert whole.truncated() is whole
    assert given_up.keep(np.array([True] * len(given_up.scores))).support_size == 2


def test_a_head_of_the_whole_vocabulary_has_no_tail_and_no_masked_tokens() -> None:
    head = Distribution.head([1, 0, 2], [LOG(0.5), -math.inf, LOG(0.5)], 3)
    assert head.tail is None and head.order.tolist() == [1, 2] and head.entropy == pytest.approx(LOG(2))
    with pytest.raises(EmptySupport):
        head.keep([False] * len(head.scores))


@pytest.mark.parametrize(
    ("ids", "logprobs", "size", "says"),
    [
        ([], [], 4, "at least one"),
        ([1, 2], [-1.0], 4, "as many ids as logprobs"),
        ([[1], [2]], [[-1.0], [-1.0]], 4, "as many ids as logprobs"),
        ([1, 1], [-1.0, -2.0], 4, "twice"),
        ([1, 4], [-1.0, -2.0], 4, "token 4 of a vocabulary of 4"),
        ([-1, 2], [-1.0, -2.0], None, "token -1"),
        ([1, 2], [-1.0, math.nan], 4, "1 of 2 scores are NaN"),
        ([1, 2], [math.inf, -1.0], 4, r"\+inf"),
        ([1, 2], [0.002, -9.0], 4, "not log-probabilities"),
        ([1, 2], [LOG(0.6), LOG(0.5)], 4, "sum of 1.1"),
        ([1, 2], [-math.inf, -math.inf], 4, "no token has probability"),
    ],
)
def test_a_head_of_impossible_numbers_is_a_typed_error(ids: list, logprobs: list, size: int | None, says: str) -> None:
    with pytest.raises(DistributionError, match=says):
        Distribution.head(ids, logprobs, size)


@pytest.mark.parametrize("bound", [math.nan, math.inf, -math.inf])
def test_a_bound_on_the_undisclosed_logprobs_is_finite(bound: float) -> None:
    with pytest.raises(DistributionError, match="max_hidden"):
        Distribution.head([1], [-1.0], 4, max_hidden=bound)


@settings(max_examples=150)
@given(st.lists(st.floats(-30, 0), min_size=1, max_size=12), st.floats(0.05, 20), st.floats(0.05, 20), st.booleans())
def test_the_bounds_of_hidden_scores_hold_through_two_scalings(
    hidden: list[float], one: float, two: float, counted: bool
) -> None:
    # A few hidden tokens with known scores, described by their sum, their number and their largest.
    def weight(scores: list[float]) -> float:
        return max(scores) + LOG(math.fsum(math.exp(x - max(scores)) for x in scores))

    truth = hidden
    bound = Hidden(weight(truth) - 1e-3, weight(truth) + 1e-3, len(truth) if counted else None, max(truth))
    for factor in (one, two):
        truth, bound = [x * factor for x in truth], bound.scaled(factor)
        slack = 1e-9 * max(1.0, abs(weight(truth)))
        assert bound.log_low - slack <= weight(truth) <= bound.log_high + slack
        assert bound.max_score == pytest.approx(max(truth)) and bound.count == (len(truth) if counted else None)
    if counted:
        assert math.isfinite(bound.log_high) and math.isfinite(bound.log_low)


def test_scaling_bounds_far_apart_neither_fails_nor_overflows() -> None:
    bound = Hidden(-30.0, -13.0, 50_000, -13.8)
    for factor in (100.0, 0.5, 0.001, 300.0):
        bound = bound.scaled(factor)
        assert bound.log_low <= bound.log_high and not math.isnan(bound.log_high)
    assert Hidden(-math.inf, math.inf, None, -1.0).scaled(0.5) == Hidden(-math.inf, math.inf, None, -0.5)


def test_even_and_packed_weights_reach_the_bounds() -> None:
    # Weight 1 over 4 tokens of at most 1/2. Squares: even 4/16, packed in two 2/4. Roots: even 4/2, packed 2*sqrt(1/2).
    hidden = Hidden(0.0, 0.0, 4, LOG(0.5))
    assert hidden.scaled(2.0).log_low == pytest.approx(LOG(1 / 4))
    assert hidden.scaled(2.0).log_high == pytest.approx(LOG(1 / 2))
    assert hidden.scaled(0.5).log_low == pytest.approx(LOG(2 * math.sqrt(1 / 2)))
    assert hidden.scaled(0.5).log_high == pytest.approx(LOG(2))


def test_disclosures_cover_unite_and_read_as_text() -> None:
    one, two = Disclosure(5, (1, 2)), Disclosure(3, (2, 9))
    assert one | two == Disclosure(5, (1, 2, 9)) and one | ALL == ALL | one == ALL and CHEAP | one == one | CHEAP == one
    assert one.covers(Disclosure(4, (1,))) and not one.covers(two) and not CHEAP.covers(one) and ALL.covers(ALL)
    assert CHEAP | Disclosure() == CHEAP and one | Disclosure() == one and CHEAP.covers(Disclosure())
    assert not one.covers(ALL) and one.covers(CHEAP) and ALL.covers(one)
    assert str(Disclosure(2, (1, 2, 3, 4, 5, 6))) == "the 2 most likely tokens and 6 tokens by id (1, 2, 3, 4, 5, …)"
    assert (str(ALL), str(CHEAP), str(Disclosure())) == ("the whole vocabulary", "whatever is cheap", "nothing")
    for top in (0, -1, True):
        with pytest.raises(ParameterError, match=r"Disclosure\.top"):
            Disclosure(top)


def test_what_is_wanted_of_each_prefix() -> None:
    assert for_each(ALL, 3) == [ALL, ALL, ALL]
    assert for_each((ALL, CHEAP), 2) == [ALL, CHEAP]
    with pytest.raises(ParameterError, match="1 disclosures for 2 prefixes"):
        for_each([ALL], 2)


@given(st.lists(st.floats(-12, 0), min_size=2, max_size=12), st.floats(-12, 0), st.randoms())
def test_a_head_built_again_from_its_record_has_the_same_bounds(
    scores: list[float], edge: float, order: random.Random
) -> None:
    """To the last bit: a trace that is run again must give the same floor."""
    logprobs = np.array(scores) - np.log(np.exp(scores).sum() + 0.001)
    ids = list(range(len(scores)))
    order.shuffle(ids)
    head = Distribution.head(ids, logprobs, 20, max_hidden=edge)
    assert head.tail is not None
    again = Distribution.head(head.row.ids, head.row.values, 20, max_hidden=head.tail.max_logprob)
    assert again.hidden == head.hidden and again.tail == head.tail
