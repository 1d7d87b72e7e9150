"""How a step's token was drawn: the race of its contenders, or its place on the cumulative curve; and how firmly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from decodekit.draw.randomness import SINGLE, gumbel_of, uniform_of
from decodekit.trace.redraw import core_sampler_of, noise_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.view.plain import PlainData

__all__ = ["Contender", "Drift", "Place", "Race", "attempt_of", "drift_of", "place_of", "race_of"]

_LEADERS = 8


@dataclass(frozen=True, slots=True)
class Contender(PlainData):
    """One token in the race.

    Args:
        token_id: the token.
        label: its text in quotes.
        chosen: whether it won.
        score: its final score less the largest one, in nats.
        noise: its Gumbel number, in nats; 0.0 where the sampler uses none.
        total: what is compared: the sum of both.
    """

    token_id: int
    label: str
    chosen: bool
    score: float
    noise: float
    total: float


@dataclass(frozen=True, slots=True)
class Race(PlainData):
    """The tokens that came first, the winner first: recomputed from the recorded final scores and RNG.md.

    Args:
        contenders: at most eight.
        ran: how many tokens were recorded with a score.
        floor: no token that was not recorded has a higher score than this, less the largest one, in nats; None if all
            tokens were recorded.
        sentence: the draw in words.
    """

    contenders: tuple[Contender, ...]
    ran: int
    floor: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Place(PlainData):
    """Where the uniform number fell on the cumulative curve, in the order of token ids.

    Args:
        u: the number, in (0, 1).
        low, high: the token's interval, as shares of the whole mass.
        below: how many tokens lie before it.
        tokens: how many have mass in all.
        sentence: the draw in words.
    """

    u: float
    low: float
    high: float
    below: int
    tokens: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Drift(PlainData):
    """Which change of the final log-probabilities the choice survives, whatever it is.

    Args:
        nats: while every one moves by less than this, the token stays; None where nothing is known, infinite where
            nothing else was possible.
        sentence: the same in words.
    """

    nats: float | None
    sentence: str


def race_of(trace: Trace, step: Step, label: Callable[[int], str]) -> Race | None:
    """The race of a step of `multinomial` or `greedy`; None for other samplers, and without recorded scores."""
    sampler, evidence = core_sampler_of(trace), step.evidence
    if sampler not in ("multinomial", "greedy") or evidence is None or not len(evidence.token_ids):
        return None
    alive = evidence.scores > -math.inf
    ids, scores = evidence.token_ids[alive], evidence.scores[alive]
    if not len(ids):
        return None
    largest = float(scores.max())
    shifted = scores - largest
    noise = np.zeros(len(ids))
    if sampler == "multinomial":
        noise = gumbel_of(noise_of(trace, step, attempt_of(trace, step)).words(ids))
    totals = shifted + noise
    order = np.lexsort((ids, -totals))[:_LEADERS]
    contenders = tuple(
        Contender(int(ids[i]), label(int(ids[i])), int(ids[i]) == step.token_id, *_numbers(shifted[i], noise[i]))
        for i in order
    )
    floor = None if evidence.floor is None else evidence.floor - largest
    return Race(contenders, len(ids), floor, _of_race(contenders, sampler))


def _numbers(score: float, noise: float) -> tuple[float, float, float]:
    return float(score), float(noise), float(score + noise)


def _of_race(contenders: tuple[Contender, ...], sampler: str) -> str:
    first, *rest = contenders
    if not rest:
        return f"{first.label} was the only token left"
    if sampler == "greedy":
        return f"{first.label} has the largest score, {_by(first.total - rest[0].total)} above {rest[0].label}"
    luck = ", although its score was lower" if first.score < rest[0].score else ""
    return f"{first.label} won by {_by(first.total - rest[0].total)} over {rest[0].label}{luck}"


def _by(nats: float) -> str:
    return f"{nats:.4f} nats"


def place_of(trace: Trace, step: Step) -> Place | None:
    """The place of a draw by `inverse_cdf`; None for other samplers, and where not all final scores were recorded."""
    evidence = step.evidence
    if core_sampler_of(trace) != "inverse_cdf" or evidence is None or evidence.floor is not None:
        return None
    order = np.argsort(evidence.token_ids)
    ids, scores = evidence.token_ids[order], evidence.scores[order]
    weights = np.exp(scores - scores.max())
    ids, weights = ids[weights > 0], weights[weights > 0]
    (at,) = np.flatnonzero(ids == step.token_id)[:1] if (ids == step.token_id).any() else (None,)
    if at is None:
        return None
    edges = np.concatenate([[0.0], np.cumsum(weights)])
    edges /= edges[-1]
    word = noise_of(trace, step, attempt_of(trace, step)).within(SINGLE).words([0])
    u, low, high = float(uniform_of(word)[0]), float(edges[at]), float(edges[at + 1])
    return Place(
        u, low, high, int(at), len(ids), f"u = {u:.6f} fell into the token's interval from {low:.6f} to {high:.6f}"
    )


def drift_of(step: Step, sampler: str, place: Place | None, *, by_provider: bool) -> Drift:
    """The drift that a choice survives.

    A race changes only where winner and runner-up together move by the margin. An edge of the cumulative curve moves
    in its log-odds by at most twice the largest change of a score. Of other samplers the margin says it, by contract.
    """
    margin = step.choice.margin
    if by_provider:
        return Drift(None, "not known: the provider drew")
    if margin == math.inf:
        return Drift(math.inf, "any: nothing else was possible")
    nats = margin / 2
    if place is not None:
        nats = max(0.0, min(_odds(place.u) - _odds(place.low), _odds(place.high) - _odds(place.u))) / 2
    elif sampler == "inverse_cdf":
        nats = 2 * margin  # log-odds are at least four times as long as the mass they span
    return Drift(nats, f"the token stays while every final log-probability moves by less than {_short(nats)} nats")


def _odds(share: float) -> float:
    """The logarithm of the odds."""
    if share <= 0 or share >= 1:
        return -math.inf if share <= 0 else math.inf
    return math.log(share) - math.log1p(-share)


def _short(nats: float) -> str:
    return f"{nats:.4f}" if nats >= 1e-3 else f"{nats:.2g}"


def attempt_of(trace: Trace, step: Step) -> int:
    """The attempt of a step's noise: as recorded with its draw, otherwise the branches taken back so far."""
    if step.draw is not None:
        return step.draw.attempt
    return sum(len(each.abandoned) for each in trace.steps if each.stream == step.stream and each.index <= step.index)
