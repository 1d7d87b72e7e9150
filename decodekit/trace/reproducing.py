"""Running the recorded chain again on the recorded raw rows, and comparing everything it computes with the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from decodekit.chain import Chain, Entry
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import BoundRandomness
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.branches import Drawn
from decodekit.trace.comparing import check_choice, first_difference
from decodekit.trace.evidence import Evidence, gather
from decodekit.trace.redraw import noise_of
from decodekit.trace.step import Step
from decodekit.trace.summary import RawSummary
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["NotRecorded", "Rerun", "missing_in", "recorded_context", "reproduce"]


@dataclass(frozen=True)
class Rerun:
    """The recorded chain, and its present states for each stream; a stream has none after a step that did not run.

    Args:
        chain: built from the header.
        tokenizer: that of the run, if the caller has it; a trace has none.
        states: the states of each stream.
    """

    chain: Chain
    tokenizer: Tokenizer | None = None
    states: dict[int, tuple[Any, ...]] = field(default_factory=dict)


class NotRecorded(Exception):
    """A part of the chain asked for something that is never recorded; the message says what, and the way out."""


def missing_in(error: BaseException) -> NotRecorded | None:
    """What was not recorded, if that is why a part of the chain failed."""
    return next((each for each in (error, error.__cause__) if isinstance(each, NotRecorded)), None)


def reproduce(trace: Trace, step: Step, so_far: TokenIds, noise: BoundRandomness, rerun: Rerun) -> Drawn:
    """Run the recorded chain again on the raw row, from its present states.

    Returns:
        What the chain gives on this row at other attempts.

    Raises:
        Finding: what differs, or what is missing.
    """
    header = trace.header
    context = recorded_context(trace, step.stream, so_far, rerun.tokenizer)
    states = rerun.states.pop(step.stream, None)
    dist = step.answer(header.adapter.get("vocab_size"))
    if dist is None or step.evidence is None:
        raise Finding("consistent", "the raw row was not recorded; level 'full' keeps it")
    if states is None:
        if len(so_far) and any(link.traits.stateful for link in rerun.chain.links):
            raise Finding("consistent", "a stateful part needs all steps, and an earlier one could not be run again")
        states = rerun.chain.initial(context)
    _check_row(trace, step, dist)
    truncate = header.on_undisclosed == "truncate"
    reshaped = rerun.chain.reshape(dist, context, states, noise, truncate=truncate)
    choice, reshaped = reshaped.choose(noise, truncate=truncate)
    _check_scores(step, reshaped.final)
    check_choice(step, choice, noise)
    _check_notes(step, *reshaped.settle(step.choice, top=header.top_logprobs))
    _check_evidence(step, gather(reshaped.final, step.choice, rerun.chain.sampler, noise))
    rerun.states[step.stream] = reshaped.states_after(step.choice)

    def drawn(attempt: int) -> Choice | None:
        if not rerun.chain.pure:
            return None
        other = noise_of(trace, step, attempt)
        try:
            return rerun.chain.reshape(dist, context, states, other).choose(other)[0]
        except Undisclosed:
            return None

    return drawn


def _check_row(trace: Trace, step: Step, dist: Distribution) -> None:
    size = trace.header.adapter.get("vocab_size")
    if size is not None and dist.vocab_size != size:
        raise Finding("failed", f"the raw row of step {step.index} has {dist.vocab_size} tokens, the vocabulary {size}")
    different = first_difference(step.raw, RawSummary.of(dist, trace.header.top_logprobs), "raw")
    if different is not None:
        raise Finding("failed", f"step {step.index}: {different}")


def _check_scores(step: Step, final: Distribution) -> None:
    assert step.evidence is not None
    scores = final.scores_of(step.evidence.token_ids)
    if not np.array_equal(scores, step.evidence.scores):
        wrong = int(np.count_nonzero(scores != step.evidence.scores))
        raise Finding("failed", f"the processors give other final scores than recorded, for {wrong} tokens")
    if step.evidence.floor is None and final.support_size != len(step.evidence.token_ids):
        raise Finding("failed", f"the processors leave {final.support_size} tokens, the record {len(scores)}")


def _check_notes(step: Step, choice: Choice, entries: tuple[Entry, ...]) -> None:
    """Check the raw log-probability and rank of the token, and the entry of each processor."""
    different = first_difference(step.choice, choice, "choice") or first_difference(step.entries, entries, "entries")
    if different is not None:
        raise Finding("failed", f"step {step.index}: {different}")


def _check_evidence(step: Step, again: Evidence) -> None:
    assert step.evidence is not None
    if step.evidence.floor != again.floor or not np.array_equal(step.evidence.token_ids, again.token_ids):
        raise Finding("failed", f"step {step.index} does not list the tokens that prove its choice")


def recorded_context(trace: Trace, stream: int, so_far: TokenIds, tokenizer: Tokenizer | None) -> Context:
    """What a processor may read at a step. The use of what was not recorded raises `NotRecorded`."""
    if tokenizer is None and trace.header.adapter.get("tokenizer_fingerprint"):
        absent: Any = _UnrecordedTokenizer()
        tokenizer = absent  # it answers nothing
    return Context(TokenIds(trace.prompt_of(stream)), so_far, tokenizer, _Metadata(trace.header.metadata))


class _UnrecordedTokenizer:
    """A placeholder for the run's tokenizer: any use of it raises `NotRecorded`."""

    def __getattr__(self, name: str) -> Any:
        raise NotRecorded("the tokenizer, which is never recorded (give it: tokenizer=, on the command line --model)")


class _Metadata(Mapping[str, Any]):
    """The metadata of a run: the names are recorded, the values are not."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Any:
        if name in self._names:
            raise NotRecorded(f"the value of metadata {name!r}, of which only the name is recorded")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
