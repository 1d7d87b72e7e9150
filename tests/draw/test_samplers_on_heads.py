"""Drawing from heads with a tail: the token of the whole distribution, or the hidden ids that could win, by name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import Context, Disclosure, Distribution, Randomness, Undisclosed
from decodekit.draw.samplers import multinomial, race

LOG, INF = math.log, math.inf


def test_on_a_head_the_winner_is_the_winner_of_the_whole_or_exactly_the_possible_winners_are_named() -> None:
    rng = np.random.default_rng(8)
    drawn = refused = 0
    for case in range(1500):
        row = rng.normal(0, rng.choice([0.3, 1, 3]), rng.integers(6, 60))
        full = Distribution.dense(row)
        top = int(rng.integers(1, len(row)))
        ids, logprobs = full.leading(top)
        head = Distribution.head(ids, logprobs, len(row))
        factor = float(rng.choice([1.0, 0.5, 1.4]))
        full, head = full.scaled(factor), head.scaled(factor)
        noise = Randomness(case).at(4)
        truth = multinomial(full, Context(), noise)
        hidden = np.setdiff1d(np.arange(len(row)), ids)
        assert head.hidden is not None
        reach = noise.gumbel(range(len(row)))[hidden] + head.hidden.max_score - float(head.scores[0])
        best = (head.scores - head.scores[0] + noise.gumbel(ids)).max()
        try:
            choice = multinomial(head, Context(), noise)
        except Undisclosed as error:
            need = error.need
        else:
            need = None
        if need is not None:
            refused += 1
            assert need == Disclosure(top, tuple(hidden[reach >= best].tolist())) and need.ids
            # Granted, the need settles the draw.
            shown = np.union1d(ids, need.ids)
            logs = full.scaled(1 / factor).logprobs_of(shown)
            more = Distribution.head(shown, logs, len(row), max_hidden=float(logprobs.min())).scaled(factor)
            choice = multinomial(more, Context(), noise)
        else:
            drawn += 1
            assert (choice.logprob is None) == (factor != 1.0)  # no normaliser, no logprob
        assert choice.token_id == truth.token_id
        assert choice.margin <= truth.margin + 1e-9, "a margin never promises more than the whole distribution does"
        if choice.runner_up is not None:
            assert choice.runner_up == truth.runner_up and choice.margin == pytest.approx(truth.margin, abs=1e-9)
    assert drawn > 300 and refused > 300


def test_the_hidden_tokens_that_could_win_are_those_of_noise_for_every_token_to_the_bit() -> None:
    """Comparing words gives what a Gumbel number for each token of the vocabulary gives."""
    rng = np.random.default_rng(11)
    drawn = refused = behind = 0
    for case in range(1500):
        size = int(rng.choice([40, 500, 5000]))
        full = Distribution.dense(rng.normal(0, rng.choice([0.1, 1, 3, 8]), size))
        shown, logprobs = full.leading(int(rng.integers(1, min(size, 80))))
        if case % 3 == 0:  # asked for by name too, below the bound
            named = np.setdiff1d(rng.integers(0, size, 20), shown)
            shown, logprobs = np.r_[shown, named], np.r_[logprobs, full.logprobs_of(named)]
        bound = float(logprobs.min()) + rng.choice([0.0, 3.0]) if case % 3 else float(logprobs[0])
        if len(shown) == size:
            continue
        head = Distribution.head(shown, logprobs, size, max_hidden=bound).scaled(rng.choice([1.0, 0.01, 1.43, 50]))
        noise = Randomness(case).at(2)
        ids, scores = head.token_ids, head.scores
        assert ids is not None and head.hidden is not None
        token, best, second, runner_up, word = race(ids, scores - scores[0], noise.words(ids))
        numbers = noise.gumbel(range(size))
        numbers[ids] = -INF
        numbers += head.hidden.max_score - scores[0]
        winners = np.flatnonzero(numbers >= best)
        if len(winners):
            refused += 1
            with pytest.raises(Undisclosed) as caught:
                multinomial(head, Context(), noise)
            assert caught.value.need == Disclosure(len(ids), tuple(winners.tolist()))
            continue
        drawn += 1
        choice = multinomial(head, Context(), noise)
        hidden_second = numbers.max() >= second
        behind += bool(hidden_second)
        assert (choice.token_id, choice.score, choice.draw.word) == (token, best, word)  # type: ignore[union-attr]
        assert choice.margin == best - max(second, numbers.max())
        assert choice.runner_up == (None if hidden_second else runner_up)
    assert drawn > 300 and refused > 300 and behind > 50


def test_a_head_without_a_vocabulary_size_cannot_settle_a_draw() -> None:
    with pytest.raises(Undisclosed) as caught:
        multinomial(Distribution.head([1], [LOG(0.99)]), Context(), Randomness(0).at(0))
    assert caught.value.need.kind == "all"
