"""Replaying a trace: the same draws again, from the record alone or with a live model.

From the record, each token is drawn again from the recorded final scores. With an adapter, the recorded tokens
are forced, the model is asked for every distribution, the recorded chain runs with the recorded noise, and each
difference is reported with its drift and whether the margin explains it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import Any, overload

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.draw.context import Context, TokenIds
from decodekit.errors import DecodekitError, ParameterError, TraceError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import ask, blocking
from decodekit.model.prefix import Prefix
from decodekit.model.stored import forget
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.attempts import Attempts
from decodekit.trace.branches import check_branches, drawn_from_record
from decodekit.trace.comparing import check_choice
from decodekit.trace.given import relearn
from decodekit.trace.reader import read_trace
from decodekit.trace.rebuild import chain_of, differences, require_noise
from decodekit.trace.redraw import noise_of, redraw
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding
from decodekit.trace.what_if.counterfactual import Asked, Counterfactual, ask_again
from decodekit.types import PathLike

__all__ = ["ReplayReport", "ReplayStep", "replay"]

_BATCH = 64


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One step, drawn again.

    Args:
        stream: its sequence.
        index: its place in the sequence.
        token_id: the recorded token.
        replayed: the token drawn now; None if the record has too little.
        drift: the largest change of a final log-probability among the recorded tokens, in nats; 0 without a model.
        margin: the margin of the draw made now; the recorded one if the record has too little.
        explained: whether the tokens are equal, or twice the drift is at least the margin, which explains the
            difference. A difference is never explained if the record contradicts itself.
    """

    stream: int
    index: int
    token_id: int
    replayed: int | None
    drift: float
    margin: float
    explained: bool


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found.

    Args:
        steps: every step that was drawn again.
        live: whether a model was asked.
        warnings: reasons to doubt the comparison, such as a different model fingerprint.
    """

    steps: list[ReplayStep]
    live: bool
    warnings: list[str] = field(default_factory=list)

    @property
    def equal(self) -> int:
        """How many steps drew the recorded token."""
        return sum(step.replayed == step.token_id for step in self.steps)

    @property
    def unknown(self) -> int:
        """How many steps could not be drawn from the record."""
        return sum(step.replayed is None for step in self.steps)

    @property
    def max_drift(self) -> float:
        """The largest drift of any step, in nats."""
        return max((step.drift for step in self.steps), default=0.0)

    @property
    def first_difference(self) -> ReplayStep | None:
        """The first step whose token differs; None when all agree."""
        return next((step for step in self.steps if step.replayed not in (step.token_id, None)), None)

    @property
    def explained(self) -> bool:
        """Whether every difference is within the margin that the drift allows."""
        return all(step.explained for step in self.steps)


@overload
def replay(trace: Trace | PathLike, *, adapter: Adapter | AsyncAdapter, chain: Chain | None = None) -> ReplayReport: ...
@overload
def replay(trace: Trace | PathLike) -> ReplayReport: ...
@overload
def replay(
    trace: Trace | PathLike,
    *,
    chain: Asked | None = None,
    seed: int | None = None,
    temperature: float | None = None,
    tokenizer: Tokenizer | None = None,
) -> Counterfactual: ...
def replay(
    trace: Trace | PathLike,
    *,
    adapter: Adapter | AsyncAdapter | None = None,
    chain: Any = None,
    seed: int | None = None,
    temperature: float | None = None,
    tokenizer: Tokenizer | None = None,
) -> ReplayReport | Counterfactual:
    """Draw every token of a trace again; or ask which would have been others, without the model.

    Args:
        trace: a trace, or the path of one.
        adapter: a live model to compare with. You give it: a trace never builds an adapter.
        chain: without an adapter, another chain, as `Session` takes it: which steps would have drawn another token?
            With one, the recorded chain, newly built, if parts of it are not registered by name, or have a key that is
            not recorded.
        seed: another seed, without an adapter: which steps would have drawn another token?
        temperature: likewise, in place of the temperature of the chain.
        tokenizer: that of the run, for parts of the chain that use it; without an adapter.

    Returns:
        What the replay found; a `Counterfactual` where a chain, a seed or a temperature was asked about.

    Raises:
        TraceError: the trace cannot be read, or its random number algorithm is unknown; with a model or a question,
            also a trace of tokens that a provider drew.
        ConfigError: the recorded chain cannot be built from what is installed, or the given one is another (live replay
            only).
        ParameterError: a question and a model at once; or the chain has no single temperature to replace.
        AdapterError: the model could not answer (live replay only).
    """
    if not isinstance(trace, Trace):
        trace = read_trace(trace)
    require_noise(trace)
    questions = {"chain": chain, "seed": seed, "temperature": temperature}
    asked = [name for name, value in questions.items() if value is not None]
    if adapter is None and asked:
        return ask_again(trace, chain=chain, seed=seed, temperature=temperature, tokenizer=tokenizer)
    if adapter is None:
        attempts = Attempts(trace.header)
        return ReplayReport([_from_record(trace, step, attempts) for step in trace.steps], live=False)
    if asked not in ([], ["chain"]):
        raise ParameterError(
            f"{asked[-1]}= asks which steps would change, from the record alone; leave adapter= out, or "
            f"{asked[-1]}= for a replay with the model"
        )
    return _live(trace, blocking(adapter), chain)


def _from_record(trace: Trace, step: Step, attempts: Attempts) -> ReplayStep:
    """The step drawn again from its record; explained is whether the record agrees with itself."""
    token, margin, explained = None, step.choice.margin, True
    before = attempts.reached(step.stream)
    try:
        noise = noise_of(trace, step, attempts.of(step))
        again = redraw(trace, step, noise)
        token, margin = again.token_id, again.margin
        check_choice(step, again, noise)
        check_branches(trace, step, before, drawn_from_record(trace, step))
    except Finding as finding:
        explained = finding.word != "failed"
    except DecodekitError:
        explained = False
    return ReplayStep(
        stream=step.stream, index=step.index, token_id=step.token_id, replayed=token,
        drift=0.0, margin=margin, explained=explained,
    )  # fmt: skip


def _live(trace: Trace, adapter: Adapter, given: Chain | None) -> ReplayReport:
    if trace.by_provider:
        raise TraceError(
            "the provider drew these tokens with random numbers of its own, so no model draws them again; "
            "Session.score says how likely a model finds them"
        )
    chain = chain_of(trace, given)
    forget(adapter)  # its stored answers may be those of the run itself
    relearn(adapter, trace)
    warnings = differences(trace.header.adapter, adapter.info)
    results: list[ReplayStep] = []
    for stream in dict.fromkeys(step.stream for step in trace.steps):
        steps = [step for step in trace.steps if step.stream == stream]
        results += _replay_stream(trace, adapter, chain, stream, steps)
    return ReplayReport(results, live=True, warnings=warnings)


def _replay_stream(
    trace: Trace, adapter: Adapter, chain: Chain, stream: int, steps: list[Step]
) -> Iterable[ReplayStep]:
    prompt = trace.prompt_of(stream)
    context = asking = Context(TokenIds(prompt), TokenIds(), adapter.tokenizer)
    states = chain.initial(context)
    attempts = Attempts(trace.header)
    prefix = Prefix(prompt)
    for start in range(0, len(steps), _BATCH):
        part = steps[start : start + _BATCH]
        prefixes = []
        needs: list[Disclosure] = []
        for step in part:  # each prefix is an ancestor of the next: one forward pass for a local model
            prefixes.append(prefix)
            needs.append(_wanted(step) | chain.need(asking))
            prefix, asking = prefix.extend([step.token_id]), _followed_by(asking, step.token_id)
        answers = ask(adapter, prefixes, needs)
        for step, answer in zip(part, answers, strict=True):
            if isinstance(answer, DecodekitError):
                raise TraceError(f"the adapter could not answer for step {step.index}: {answer}", step=step.index)
            recorded = _from_record(trace, step, attempts)
            noise = noise_of(trace, step, attempts.reached(stream))
            truncate = any(entry.gave_up is not None for entry in step.entries)
            reshaped = chain.reshape(answer, context, states, noise, truncate=truncate)
            choice, reshaped = reshaped.choose(noise, truncate=truncate)
            states = reshaped.states_after(step.choice)  # stateful parts get the recorded token
            drift = _drift(step, reshaped.final)
            agrees = choice.token_id == step.token_id
            yield replace(
                recorded, replayed=choice.token_id, drift=drift, margin=choice.margin,
                explained=agrees or (recorded.explained and 2 * drift >= choice.margin),
            )  # fmt: skip
            context = _followed_by(context, step.token_id)


def _followed_by(context: Context, token_id: int) -> Context:
    ids = context.output_ids
    assert isinstance(ids, TokenIds)
    return Context(context.prompt_ids, ids.append(token_id), context.tokenizer)


def _wanted(step: Step) -> Disclosure:
    if step.raw.tail is None:
        return ALL
    return reduce(or_, (need for _, need in step.asked), Disclosure(step.raw.disclosed))


def _drift(step: Step, final: Distribution) -> float:
    """The largest change of a final log-probability, among recorded tokens with probability on both sides."""
    if step.evidence is None:
        pair = step.choice.logprob, _logprob(final, step.token_id)
        return abs(pair[0] - pair[1]) if pair[0] is not None and pair[1] > -math.inf else math.inf
    ids, was = step.evidence.token_ids, step.evidence.scores
    now = final.scores_of(ids)
    both = (now > -math.inf) & (was > -math.inf)
    if not both.any():
        return math.inf
    ids, was, now = ids[both], was[both], now[both]
    pinned = _logprob(final, step.token_id)
    here = ids == step.token_id
    if step.choice.logprob is None or pinned == -math.inf or not here.any():
        return float(np.ptp(now - was))  # both sides are known up to a constant
    # The log-probability of the recorded token determines the constant on both sides.
    before = was - float(was[here][0]) + step.choice.logprob
    after = now - float(now[here][0]) + pinned
    return float(np.abs(after - before).max())


def _logprob(final: Distribution, token_id: int) -> float:
    try:
        return final.logprob(token_id)
    except DecodekitError:
        return -math.inf
