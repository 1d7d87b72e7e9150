"""Verifying a trace without the model: does each choice follow from what was recorded?

Only the samplers of the core run here, and no plugin unless ``chain=True`` asks for the processors too. Nothing here
proves that the raw row came from the model; a live replay compares that.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import AMBIGUITY, Distribution
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import SINGLE, TOKENS, BoundRandomness, Randomness, words_above
from decodekit.draw.samplers import CORE_SAMPLERS, race
from decodekit.errors import ConfigError, DecodekitError, DistributionError
from decodekit.trace.header import Trace
from decodekit.trace.reader import inspect_trace
from decodekit.trace.rebuild import chain_of, require_noise
from decodekit.trace.step import Step

__all__ = ["Verdict", "Word", "redraw", "verify"]

Word = Literal["reproduced", "proved", "ambiguous", "consistent", "incomplete", "failed"]
_STRENGTH: tuple[Word, ...] = ("failed", "incomplete", "consistent", "ambiguous", "proved", "reproduced")
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trace proves; as strong as its weakest step.

    Args:
        word: 'reproduced' (the final scores follow from the raw rows through the recorded processors, and the choices
            from them), 'proved' (the choices follow from the recorded final scores and the seed), 'ambiguous' (some
            margin is under 1e-9), 'consistent' (nothing contradicts, something is missing), 'incomplete' (the run has
            no end), 'failed'.
        step: the first step of that word, when it is worse than 'proved'; None otherwise.
        why: the reason, in a sentence.
        counts: how many steps earned which word.
        words: the word of each step, in the order of the trace.
    """

    word: Word
    step: int | None
    why: str
    counts: dict[Word, int] = field(default_factory=dict)
    words: tuple[Word, ...] = field(default=(), repr=False)


class Finding(Exception):
    """Why a step is not proved, and the word it earns instead."""

    def __init__(self, word: Word, why: str) -> None:
        self.word, self.why = word, why
        super().__init__(why)


def verify(trace: Trace | str | os.PathLike[str], *, chain: bool = False) -> Verdict:
    """Check every step of a trace.

    Args:
        trace: a trace, or the path of one. What precedes a fault in the file is verified too.
        chain: run the recorded chain again on raw rows (level 'full'), stateful parts and samplers that are not of the
            core included; this loads the plugins the header names. Where one is missing or of another version, the
            steps are 'consistent'.

    Raises:
        TraceError: the file has no usable header, or its noise is of an unknown kind.
    """
    fault = None
    if not isinstance(trace, Trace):
        trace, fault = inspect_trace(trace)
    if fault is None:
        require_noise(trace)
    rerun, missing = None, ""
    if chain:
        try:
            rerun = _Rerun(chain_of(trace))
        except ConfigError as error:
            missing = str(error)
    outputs: dict[int, TokenIds] = {}
    findings = [_verify_step(trace, step, outputs, rerun, missing) for step in trace.steps]
    words = tuple(word for word, _ in findings)
    counts: dict[Word, int] = dict(Counter(words))
    worst = min(range(len(words)), key=lambda i: _STRENGTH.index(words[i]), default=None)
    if fault is not None and not fault.torn:
        return Verdict("failed", fault.step, str(fault), {**counts, "failed": counts.get("failed", 0) + 1}, words)
    if worst is not None and words[worst] == "failed":
        return Verdict("failed", trace.steps[worst].index, findings[worst][1], counts, words)
    if trace.footer is None:
        reason = str(fault) if fault else "there is no footer: the run did not end in order"
        return Verdict("incomplete", len(trace.steps), f"{reason}; {_summary(counts)}", counts, words)
    if worst is None:
        return Verdict("proved", None, "there are no steps to prove")
    word, why = findings[worst]
    sound = word in ("proved", "reproduced")
    return Verdict(word, None if sound else trace.steps[worst].index, why or _summary(counts), counts, words)


def redraw(trace: Trace, step: Step) -> Choice:
    """Draw a step's token again from its recorded final scores and RNG.md, by the core sampler the header names.

    Raises:
        Finding: why it cannot be done; an internal matter of this package.
    """
    sampler = _core_sampler(trace)
    if step.evidence is None:
        raise Finding("consistent", "the final scores were not recorded (level 'choice')")
    evidence = step.evidence
    noise = _noise(trace, step)
    ids, scores = evidence.token_ids, evidence.scores
    if evidence.floor is None or sampler == "greedy":
        try:
            final = Distribution.listed(ids, scores, stage="processed")
        except DistributionError as error:
            raise Finding("failed", f"the recorded scores are no distribution: {error}") from error
        choice = CORE_SAMPLERS[sampler](final, Context(), noise)
        return choice if evidence.floor is None else replace(choice, logprob=step.choice.logprob)
    if sampler != "multinomial":
        raise Finding("consistent", f"a {sampler} draw needs the whole support, and only a part was recorded")
    vocab_size = trace.header.adapter.get("vocab_size")
    if not isinstance(vocab_size, int) or not ids.max() < vocab_size <= 2**26:
        raise Finding("consistent", "the size of the vocabulary was not recorded")
    alive, largest = scores > -math.inf, float(scores.max())
    words = noise.words(range(vocab_size))
    token, best, second, runner_up, word = race(ids[alive], scores[alive] - largest, words[ids[alive]])
    missing = words_above(words, second - (evidence.floor - largest))
    missing[ids] = False
    if missing.any():
        # Tokens that their noise could lift from the floor to the runner-up: the exact number decides.
        lifted = np.flatnonzero(missing)
        reach = noise.gumbel(lifted) + (evidence.floor - largest)
        furthest = float(reach.max())
        if furthest >= best - _CLOSE:
            at = int(lifted[reach.argmax()])
            raise Finding("failed", f"token {at} is missing from the record, and could have won from the floor")
        if furthest >= second:  # as `multinomial` on a head: a hidden token may stand second
            second, runner_up = furthest, None
    draw = Draw(TOKENS, noise.stream, noise.step, noise.draw, token, word)
    # With a floor the normaliser is not here; the log-probability stays as recorded.
    return replace(step.choice, token_id=token, score=best, margin=best - second, runner_up=runner_up, draw=draw)


@dataclass(frozen=True)
class _Rerun:
    """The recorded chain, and the states it has reached in each stream; none once a step could not be run."""

    chain: Chain
    states: dict[int, tuple[Any, ...]] = field(default_factory=dict)


def _verify_step(
    trace: Trace, step: Step, outputs: dict[int, TokenIds], rerun: _Rerun | None, missing: str
) -> tuple[Word, str]:
    so_far = outputs.setdefault(step.stream, TokenIds())
    outputs[step.stream] = so_far.append(step.token_id)
    try:
        if step.index != len(so_far):
            raise Finding("failed", f"stream {step.stream} goes from step {len(so_far) - 1} to step {step.index}")
        word, why = _drawn_again(trace, step)
        if rerun is not None:
            _reproduce(trace, step, so_far, rerun)
            return (word, why) if word == "ambiguous" else ("reproduced", "")
        return ("consistent", missing) if missing and word == "proved" else (word, why)
    except Finding as finding:
        return finding.word, finding.why
    except DecodekitError as error:
        if isinstance(error.__cause__, _TokenizerAsked):
            return "consistent", "a part of the chain needs the tokenizer, which no trace holds; replay it instead"
        return "failed", f"step {step.index} cannot be drawn again: {error}"


class _TokenizerAsked(Exception):
    """Something asked the tokenizer of a run that is over."""


class _Unrecorded:
    """Stands where the tokenizer stood: whoever wants to know something of it finds out that it is gone."""

    def __getattr__(self, name: str) -> Any:
        raise _TokenizerAsked(name)


def _drawn_again(trace: Trace, step: Step) -> tuple[Word, str]:
    """'proved', 'ambiguous' or 'consistent', from the recorded final scores alone; raises what failed."""
    try:
        again = redraw(trace, step)
    except Finding as finding:
        _check_draw(trace, step)  # nothing to draw from, but the word itself can be checked
        if finding.word == "failed":
            raise
        return finding.word, finding.why
    if _is_close(step, again):
        return "ambiguous", f"the margin of step {step.index} is {step.choice.margin:.3g}, below {AMBIGUITY}"
    _compare(step, again)
    return "proved", ""


def _check_draw(trace: Trace, step: Step) -> None:
    """The recorded word is the word of its place."""
    draw = step.draw
    if draw is None:
        return
    if draw.domain not in (TOKENS, SINGLE):
        raise Finding("consistent", f"the draw is of domain {draw.domain}, which a sampler of its own reads")
    word = int(_noise(trace, step).within(draw.domain).words([draw.lane])[0])
    if word != draw.word:
        raise Finding("failed", f"the word of lane {draw.lane} is {word:016x}, the record says {draw.word:016x}")


def _is_close(step: Step, again: Choice) -> bool:
    return min(step.choice.margin, again.margin) < AMBIGUITY


def _compare(step: Step, again: Choice) -> None:
    said = step.choice
    if again.token_id != said.token_id:
        raise Finding(
            "failed", f"the recorded scores and noise choose token {again.token_id}, the record {said.token_id}"
        )
    for name in ("score", "margin", "logprob"):
        one, other = getattr(said, name), getattr(again, name)
        if one is None or other is None:
            continue
        if not (one == other or abs(one - other) <= _CLOSE * max(1.0, abs(one))):
            raise Finding("failed", f"the {name} of step {step.index} is {other!r}, the record says {one!r}")
    if again.runner_up != said.runner_up:
        raise Finding(
            "failed", f"the runner-up of step {step.index} is {again.runner_up}, the record says {said.runner_up}"
        )
    if (again.draw is None) != (step.draw is None):
        raise Finding("failed", f"step {step.index} records {'no draw' if step.draw is None else 'a draw'}")
    if again.draw is not None and again.draw != step.draw:
        raise Finding("failed", f"step {step.index} draws {again.draw}, the record says {step.draw}")


def _reproduce(trace: Trace, step: Step, so_far: TokenIds, rerun: _Rerun) -> None:
    """Run the recorded chain again on the raw row, from the states it has reached; raises what differs."""
    tokenizer: Any = _Unrecorded() if trace.header.adapter.get("tokenizer_fingerprint") else None
    context = Context(TokenIds(trace.prompt_of(step.stream)), so_far, tokenizer)
    states = rerun.states.pop(step.stream, None)
    dist = step.answer(trace.header.adapter.get("vocab_size"))
    if dist is None or step.evidence is None:
        raise Finding("consistent", "the raw row was not recorded; level 'full' keeps it")
    if states is None:
        if len(so_far) and any(link.stateful for link in rerun.chain.links):
            raise Finding("consistent", "a stateful part needs all steps, and an earlier one could not be run again")
        states = rerun.chain.initial(context)
    noise = _noise(trace, step)
    truncate = any(entry.gave_up is not None for entry in step.entries)
    final, choice, entries, rerun.states[step.stream] = rerun.chain.step(
        dist, context, states, noise, top=len(step.raw.top), truncate=truncate, forced=step.choice
    )
    scores = final.scores_of(step.evidence.token_ids)
    if not np.array_equal(scores, step.evidence.scores):
        wrong = int(np.count_nonzero(scores != step.evidence.scores))
        raise Finding("failed", f"the processors give other final scores than recorded, for {wrong} tokens")
    if step.evidence.floor is None and final.support_size != len(step.evidence.token_ids):
        raise Finding("failed", f"the processors leave {final.support_size} tokens, the record {len(scores)}")
    if not _is_close(step, choice):
        _compare(step, choice)
    if [entry.name for entry in entries] != [entry.name for entry in step.entries]:
        raise Finding("failed", f"the entries of step {step.index} are not those of the chain")


def _core_sampler(trace: Trace) -> str:
    described = trace.header.chain.get("sampler", {})
    name = described.get("name")
    if described.get("distribution") != "decodekit" or name not in CORE_SAMPLERS:
        raise Finding("consistent", f"the sampler {name!r} is not of the core; only its record can be read")
    return str(name)


def _noise(trace: Trace, step: Step) -> BoundRandomness:
    attempt = step.draw.attempt if step.draw is not None else 0
    return Randomness(trace.header.seed, step.stream).at(step.index, draw=attempt)


def _summary(counts: Mapping[Word, int]) -> str:
    return ", ".join(f"{count} steps {word}" for word, count in counts.items()) or "no steps"
