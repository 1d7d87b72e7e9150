"""What other seeds would have drawn at a step, as far as the record proves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from decodekit.distribution import AMBIGUITY, Distribution
from decodekit.draw.context import Context
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import DecodekitError
from decodekit.trace.redraw import core_sampler_of
from decodekit.trace.stages import share_text
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.what_if.recorded_laws import final_law
from decodekit.view.draw_story import attempt_of
from decodekit.view.plain import PlainData

__all__ = ["OtherDraw", "OtherSeeds", "other_seeds"]


@dataclass(frozen=True, slots=True)
class OtherDraw(PlainData):
    """What one other seed would have drawn.

    Args:
        seed: the seed.
        token_id: the token; None where the record does not prove one.
        label: its text in quotes; '' without one.
    """

    seed: int
    token_id: int | None
    label: str


@dataclass(frozen=True, slots=True)
class OtherSeeds(PlainData):
    """What other seeds would have drawn here, after the same tokens.

    Args:
        probability: of the chosen token, over all seeds; None where it is not known.
        draws: of the next seeds.
        sentence: the same in words.
    """

    probability: float | None
    draws: tuple[OtherDraw, ...]
    sentence: str


def other_seeds(trace: Trace, step: Step, label: Callable[[int], str], *, by_provider: bool, count: int) -> OtherSeeds:
    """What the next ``count`` seeds would have drawn at a step."""
    sampler, known = core_sampler_of(trace), step.choice.logprob
    probability = None if known is None or by_provider else min(1.0, math.exp(known))
    if by_provider or sampler not in ("multinomial", "inverse_cdf", "greedy"):
        who = "the provider" if by_provider else "a sampler that is not one of the core"
        return OtherSeeds(None, (), f"not known: {who} drew")
    if any(entry.tosses for entry in step.entries):
        return OtherSeeds(None, (), "not known: a processor drew random numbers too, which depend on the seed")
    if sampler == "greedy":
        return OtherSeeds(1.0, (), "greedy uses no seed: each gives the same token")
    if not count:
        return OtherSeeds(probability, (), _sentence(probability, [], step.token_id))
    law = final_law(step, trace.header.adapter.get("vocab_size"))
    attempt = attempt_of(trace, step)
    draws = []
    for more in range(1, count + 1):
        seed = (trace.header.seed + more) % 2**64
        token = None if law is None else _drawn(law.dist, sampler, Randomness(seed, step.stream), step.index, attempt)
        draws.append(OtherDraw(seed, token, "" if token is None else label(token)))
    return OtherSeeds(probability, tuple(draws), _sentence(probability, draws, step.token_id))


def _drawn(law: Distribution, sampler: str, noise: Randomness, index: int, attempt: int) -> int | None:
    """The token that is drawn whatever the tokens are that were not recorded; None where they matter."""
    try:
        choice = CORE_SAMPLERS[sampler](law, Context(), noise.at(index, draw=attempt))
    except DecodekitError:
        return None
    return choice.token_id if choice.margin >= AMBIGUITY else None


def _sentence(probability: float | None, draws: list[OtherDraw], chosen: int) -> str:
    known = [draw for draw in draws if draw.token_id is not None]
    same = sum(draw.token_id == chosen for draw in known)
    told = [] if probability is None else [f"a seed draws this token here with probability {share_text(probability)}"]
    if draws and not known:
        told.append(f"for the next {len(draws)} seeds the record does not say")
    elif draws:
        told.append(f"of the next {len(draws)} seeds {same} draw it, {len(known) - same} do not")
        if len(known) < len(draws):
            told.append(f"for {len(draws) - len(known)} the record does not say")
    return "; ".join(told) or "not known"
