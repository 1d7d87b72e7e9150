"""Repeating one draw from the record, with the core sampler that the header names and the noise of RNG.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from decodekit.distribution import Distribution
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import Context
from decodekit.draw.randomness import SINGLE, TOKENS, BoundRandomness, Randomness, words_above
from decodekit.draw.samplers import CORE_SAMPLERS, race
from decodekit.draw.together import multinomial_of_lists
from decodekit.errors import DistributionError
from decodekit.trace.evidence import Evidence
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["check_word", "core_sampler_of", "noise_of", "redraw", "redraw_together"]

_CLOSE = 1e-9
_NO_CONTEXT = Context()  # no sampler of the core looks at it
_SHORT = 512  # tokens of a list that is drawn from together with others; a longer one gains nothing
_LARGEST_VOCABULARY = 2**20  # a floor is checked against the noise of every token: 50 ms a step at this size


def redraw(trace: Trace, step: Step, noise: BoundRandomness) -> Choice:
    """Draw a step's token again from its recorded final scores and RNG.md, by the core sampler the header names.

    Args:
        trace: names the sampler and the size of the vocabulary.
        step: the record.
        noise: the noise of this step and attempt, as `noise_of` gives it.

    Raises:
        Finding: why it cannot be done.
    """
    sampler = _core_sampler(trace)
    if step.evidence is None:
        why = "level 'choice'" if trace.header.level == "choice" else "the step has no `final`"
        raise Finding("consistent", f"the final scores were not recorded ({why})")
    evidence = step.evidence
    vocab_size = trace.header.adapter.get("vocab_size")
    if evidence.floor is None or sampler == "greedy":
        return _from_support(step, evidence, vocab_size, sampler, noise)
    if sampler != "multinomial":
        raise Finding("consistent", f"a {sampler} draw needs the whole support, and only a part was recorded")
    if vocab_size is None:
        raise Finding("consistent", "the size of the vocabulary was not recorded")
    if vocab_size > _LARGEST_VOCABULARY:
        raise Finding("consistent", f"a floor is not checked in a vocabulary of more than {_LARGEST_VOCABULARY} tokens")
    if evidence.token_ids.max() >= vocab_size:
        raise Finding("failed", f"token {evidence.token_ids.max()} lies outside the vocabulary of {vocab_size} tokens")
    return _from_floor(step, evidence, vocab_size, noise)


def redraw_together(trace: Trace, steps: Sequence[Step], noises: Sequence[BoundRandomness]) -> list[Choice | None]:
    """What `redraw` gives, for many steps in few passes; None for a step that it must draw alone.

    Together are drawn the short lists of `multinomial`, as a truncated run has them.
    """
    if trace.by_provider or core_sampler_of(trace) != "multinomial":
        return [None] * len(steps)
    vocab_size = trace.header.adapter.get("vocab_size")
    return multinomial_of_lists([_short_list(step.evidence, vocab_size) for step in steps], noises)


def _short_list(evidence: Evidence | None, vocab_size: int | None) -> Distribution | None:
    if evidence is None or evidence.floor is not None or len(evidence.token_ids) > _SHORT:
        return None
    try:
        return _listed(evidence, vocab_size)
    except DistributionError:  # which `redraw` names
        return None


def _listed(evidence: Evidence, vocab_size: int | None) -> Distribution:
    return Distribution.listed(evidence.token_ids, evidence.scores, vocab_size, stage="processed")


def _from_support(
    step: Step, evidence: Evidence, vocab_size: int | None, sampler: str, noise: BoundRandomness
) -> Choice:
    """Draw from a record that has every token that could be chosen."""
    try:
        final = _listed(evidence, vocab_size)
    except DistributionError as error:
        raise Finding("failed", f"the recorded scores are not a distribution: {error}") from error
    choice = CORE_SAMPLERS[sampler](final, _NO_CONTEXT, noise)
    if evidence.floor is None:
        return choice
    second = evidence.scores[evidence.token_ids == choice.runner_up]
    if not (len(second) and evidence.floor <= second[0]):
        raise Finding("failed", f"a token that is missing from the record may have a score of {evidence.floor}")
    return replace(choice, logprob=step.choice.logprob)


def _from_floor(step: Step, evidence: Evidence, vocab_size: int, noise: BoundRandomness) -> Choice:
    """Draw from a record with a floor: no missing token scores above it, so its noise bounds what it could reach."""
    assert evidence.floor is not None
    ids, scores = evidence.token_ids, evidence.scores
    alive, largest = scores > -math.inf, float(scores.max())
    floor = evidence.floor - largest
    words = noise.all_words(vocab_size)
    token, best, second, runner_up, word = race(ids[alive], scores[alive] - largest, words[ids[alive]])
    missing = words_above(words, second - floor)
    missing[ids] = False
    if missing.any():
        # Missing tokens whose noise could lift them from the floor to the runner-up: compare the exact numbers.
        lifted = np.flatnonzero(missing)
        reach = noise.gumbel(lifted) + floor
        furthest = float(reach.max())
        if furthest >= best - _CLOSE:
            at = int(lifted[reach.argmax()])
            raise Finding(
                "failed", f"token {at} is missing from the record, and with a score at the floor it could win"
            )
        if furthest >= second:  # as `multinomial` on a head: a hidden token may be second
            second, runner_up = furthest, None
    draw = Draw(domain=TOKENS, stream=noise.stream, step=noise.step, attempt=noise.draw, lane=token, word=word)
    # With a floor the normaliser is unknown, so the log-probability stays as recorded.
    return replace(step.choice, token_id=token, score=best, margin=best - second, runner_up=runner_up, draw=draw)


def check_word(trace: Trace, step: Step, noise: BoundRandomness) -> None:
    """Check that the draw has the address that its sampler uses, and the word that RNG.md gives for this address."""
    draw = step.draw
    name = core_sampler_of(trace)
    if name is not None:
        used = {"multinomial": (TOKENS, step.token_id), "inverse_cdf": (SINGLE, 0)}.get(name)
        found = None if draw is None else (draw.domain, draw.lane)
        if found != used:
            raise Finding(
                "failed", f"{name} draws token {step.token_id} with (domain, lane) {used}, the record says {found}"
            )
    if draw is None:
        return
    if draw.domain not in (TOKENS, SINGLE):
        raise Finding("consistent", f"the draw is of domain {draw.domain}, which only a sampler of a plugin uses")
    word = int(noise.within(draw.domain).words([draw.lane])[0])
    if word != draw.word:
        raise Finding("failed", f"the word of lane {draw.lane} is {word:016x}, the record says {draw.word:016x}")


def _core_sampler(trace: Trace) -> str:
    if trace.by_provider:
        raise Finding("consistent", "the provider drew this token with random numbers of its own")
    name = core_sampler_of(trace)
    if name is None:
        named = trace.header.chain["sampler"]["name"]
        raise Finding("consistent", f"the sampler {named!r} is not one of the core, so its draw is not repeated")
    return name


def core_sampler_of(trace: Trace) -> str | None:
    """The sampler's name if it is one of the core, otherwise None."""
    described = trace.header.chain.get("sampler", {})
    name = described.get("name")
    return str(name) if described.get("distribution") == "decodekit" and name in CORE_SAMPLERS else None


def noise_of(trace: Trace, step: Step, attempt: int) -> BoundRandomness:
    """The noise of a step."""
    return Randomness(trace.header.seed, step.stream).at(step.index, draw=attempt)
