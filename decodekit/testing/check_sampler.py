"""The contract of a sampler as a function."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import TOKENS, Randomness
from decodekit.testing.material import (
    MOST_QUESTIONS,
    Declared,
    all_logprobs,
    check_parameters,
    disclosed,
    distributions,
    global_chance,
    value_of,
)

__all__ = ["check_sampler"]

_ROUNDING = 1e-9


def check_sampler(
    sampler: Any,
    *,
    law: Literal["multinomial", "greedy"] | None = "multinomial",
    draws: bool = True,
    padding: bool = True,
    samples: int = 4_000,
    p_threshold: float = 1e-6,
    seed: int = 0,
) -> float | None:
    """Check a sampler, stateful or not, against the contract of `decodekit.plugin.protocols.Sampler`.

    Args:
        sampler: the sampler, built.
        law: 'multinomial' if tokens must be drawn with their probabilities, 'greedy' if the mode must always be chosen;
            None for anything else.
        draws: False for a sampler that uses no randomness.
        padding: tokens without probability, added to the vocabulary, and a constant, added to every score, must not
            change the choice. False for a sampler that depends on the vocabulary size on purpose.
        samples: how many tokens are drawn for the chi-square test.
        p_threshold: the test fails below this p-value. A right sampler fails for about this fraction of the seeds; for
            one seed the result is always the same.
        seed: the seed of the noise.

    Returns:
        The p-value of the chi-square test; None if there was no such test.

    Raises:
        AssertionError: the sampler breaks the contract; the message says how.
    """
    subject = _DeclaredSampler(sampler)
    check_parameters(sampler)
    rng = np.random.default_rng(seed)
    for dist in distributions(rng):
        for step in range(4):
            choice = _check_choice(subject, dist, Randomness(seed, step), step)
            subject.check_advance(dist, choice, step)
            if law == "greedy":
                assert choice.token_id == dist.mode, f"{subject.name} chose {choice.token_id}, the mode is {dist.mode}"
            _check_forms(subject, dist, Randomness(seed, step), step, choice, padding)
            _check_sampler_on_heads(subject, dist, Randomness(seed, step), step)
    _check_noise(subject, seed, draws and law != "greedy")
    return _check_law(subject, seed, samples, p_threshold) if law == "multinomial" else None


class _DeclaredSampler(Declared):
    def choose(self, dist: Distribution, randomness: Randomness, step: int, attempt: int = 0) -> Choice:
        ctx = self._context(step)
        extra = (self.initial(ctx),) if self.stateful else ()
        choice: Choice = self.called(self.call, dist, ctx, randomness.at(step, TOKENS, attempt), *extra)
        return choice

    def check_advance(self, dist: Distribution, choice: Choice, step: int) -> None:
        """A stateful sampler makes the state after a choice."""
        if self.stateful:
            ctx = self._context(step)
            self.advance(self.initial(ctx), choice, ctx, dist)

    @staticmethod
    def _context(step: int) -> Context:
        return Context(TokenIds([0]), TokenIds([0] * step))


def _check_choice(subject: _DeclaredSampler, dist: Distribution, randomness: Randomness, step: int) -> Choice:
    before, chance = value_of(dist), global_chance()
    choice = subject.choose(dist, randomness, step)
    assert isinstance(choice, Choice), f"{subject.name} returned {type(choice).__name__}, not a Choice"
    assert value_of(dist) == before, f"{subject.name} changed the distribution it was given, {dist!r}"
    if subject.pure:
        assert subject.choose(dist, randomness, step) == choice, (
            f"{subject.name} chose differently at the same step of the same stream; chance comes from randomness only"
        )
        assert global_chance() == chance, f"{subject.name} drew from the global random state; use randomness"
    token = choice.token_id
    assert type(token) is int, f"a token id is an int, not {type(token).__name__}"
    assert token in dist.support(), f"{subject.name} chose token {token}, which has no probability in {dist!r}"
    assert choice.logprob is not None and abs(choice.logprob - dist.logprob(token)) < _ROUNDING, (
        f"{subject.name} gives token {token} the logprob {choice.logprob}, and it is {dist.logprob(token)}"
    )
    assert choice.margin >= 0, f"{subject.name} has a margin of {choice.margin}; a margin is a distance"
    if choice.runner_up is not None:
        assert choice.runner_up != token, f"{subject.name} names the chosen token as its own runner-up"
        assert choice.runner_up in dist.support(), f"{subject.name} names a runner-up without probability"
    draw = choice.draw
    if draw is not None:
        assert (draw.stream, draw.step, draw.attempt) == (randomness.stream, step, 0), (
            f"{subject.name} recorded {draw} at step {step} of stream {randomness.stream}"
        )
        word = int(randomness.words([draw.lane], step=draw.step, domain=draw.domain, draw=draw.attempt)[0])
        assert draw.word == word, (
            f"{subject.name} recorded the word {draw.word:#x} for lane {draw.lane}, and it is {word:#x}"
        )
    return choice


def _check_forms(
    subject: _DeclaredSampler, dist: Distribution, randomness: Randomness, step: int, expected: Choice, padding: bool
) -> None:
    """The same tokens with the same probabilities give the same draw, in whatever form."""
    if not subject.pure:
        return
    ids = dist.support()
    assert dist.vocab_size is not None
    row = np.full(dist.vocab_size, -math.inf)
    row[ids] = dist.scores_of(ids)
    listed = Distribution.listed(ids, dist.scores_of(ids), dist.vocab_size)
    forms = {"in id order": Distribution.dense(row), "listed by score": listed}
    if padding:
        forms["after a constant was added to every score"] = Distribution.dense(row + 3.25)
        forms["with the vocabulary padded"] = Distribution.dense(np.concatenate([row, np.full(37, -math.inf)]))
    for how, form in forms.items():
        token = subject.choose(form, randomness, step).token_id
        assert token == expected.token_id, f"{subject.name} chose {token} {how}, and {expected.token_id} on {dist!r}"


def _check_sampler_on_heads(subject: _DeclaredSampler, dist: Distribution, randomness: Randomness, step: int) -> None:
    """On a head it chooses the same token as on the whole distribution, or raises `Undisclosed`."""
    if not subject.pure:
        return
    whole = Distribution.dense(all_logprobs(dist), origin="logprobs")
    expected = subject.choose(whole, randomness, step)
    for shown in sorted({1, 2, whole.support_size // 2, whole.support_size - 1}):
        if not 0 < shown < whole.support_size:
            continue
        need = Disclosure(shown)
        for _ in range(MOST_QUESTIONS):
            try:
                choice = subject.choose(disclosed(whole, need), randomness, step)
            except Undisclosed as error:
                need = ALL if need.covers(error.need) else need | error.need
                continue
            assert choice.token_id == expected.token_id, (
                f"{subject.name} chose {choice.token_id} from {need} of {dist!r}, and from all of it "
                f"{expected.token_id}; where hidden tokens could win, raise Undisclosed"
            )
            assert choice.margin <= expected.margin + 1e-6, (
                f"{subject.name} claims a margin of {choice.margin:.6g} from {need} of {dist!r}, and from all of it "
                f"{expected.margin:.6g}; a hidden token may come second"
            )
            break
        else:
            raise AssertionError(f"{subject.name} asks for more of {dist!r} again and again, and never answers")


def _check_noise(subject: _DeclaredSampler, seed: int, draws: bool) -> None:
    """Other steps, streams, seeds and attempts give other noise; a sampler that does not draw has none."""
    flat = Distribution.dense(np.zeros(64))
    steps = range(24)

    def row(stream: int, *, seed: int = seed, attempt: int = 0) -> tuple[int, ...]:
        return tuple(subject.choose(flat, Randomness(seed, stream), step, attempt).token_id for step in steps)

    rows = [row(stream) for stream in range(8)]
    if not draws:
        assert len(set(rows)) == 1 and row(0, seed=seed + 1) == rows[0], (
            f"{subject.name} was called with draws=False, and chose differently with other noise"
        )
        return
    assert all(len(set(tokens)) > 1 for tokens in rows), f"{subject.name} uses the same noise at every step"
    assert len(set(rows)) == len(rows), f"{subject.name} uses the same noise in every stream"
    for one, other in pairwise(rows):
        assert one[1:] != other[:-1] and one[:-1] != other[1:], (
            f"{subject.name} confuses step and stream: neighbouring streams repeat each other's noise"
        )
    assert row(0, seed=seed + 1) != rows[0], f"{subject.name} does not depend on the seed"
    assert row(0, attempt=1) != rows[0], f"{subject.name} uses the same noise after a rewind"


def _check_law(subject: _DeclaredSampler, seed: int, samples: int, p_threshold: float) -> float:
    """Pearson's chi-square test over nine tokens of 2 to 25 percent; other tokens have no probability."""
    weights = np.array([25, 0, 17, 14, 12, 0, 10, 8, 7, 5, 2, 0], dtype=float)
    with np.errstate(divide="ignore"):
        dist = Distribution.dense(np.log(weights) + 1.0)
    probabilities = weights / weights.sum()
    counts = np.zeros(len(weights))
    for stream in range(samples):
        counts[subject.choose(dist, Randomness(seed, stream), stream % 7).token_id] += 1
    assert counts[weights == 0].sum() == 0, f"{subject.name} chose a token without probability"
    alive = weights > 0
    expected = probabilities[alive] * samples
    p = _chi_square_tail(float(((counts[alive] - expected) ** 2 / expected).sum()), int(alive.sum()) - 1)
    assert p > p_threshold, (
        f"{subject.name} does not draw from the distribution: p = {p:.3g} in {samples} samples. "
        f"Expected {np.round(expected, 1).tolist()}, got {counts[alive].astype(int).tolist()}"
    )
    return p


def _chi_square_tail(statistic: float, freedom: int) -> float:
    """The probability of a larger statistic, for an even number of degrees of freedom: a sum in closed form."""
    half = statistic / 2
    return math.exp(-half) * sum(half**k / math.factorial(k) for k in range(freedom // 2))
