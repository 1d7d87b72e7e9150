"""The recorded chain run again on the recorded raw rows: do the final scores and the choice follow?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from decodekit.chain import Chain
from decodekit.draw.context import Context, TokenIds
from decodekit.trace.header import Trace
from decodekit.trace.redraw import compare, is_close, noise_of
from decodekit.trace.step import Step
from decodekit.trace.verdict import Finding

__all__ = ["Rerun", "TokenizerAsked", "reproduce"]


@dataclass(frozen=True)
class Rerun:
    """The recorded chain, and the states it has reached in each stream; none once a step could not be run."""

    chain: Chain
    states: dict[int, tuple[Any, ...]] = field(default_factory=dict)


class TokenizerAsked(Exception):
    """Something asked the tokenizer of a run that is over."""


class _Unrecorded:
    """Stands where the tokenizer stood: whoever wants to know something of it finds out that it is gone."""

    def __getattr__(self, name: str) -> Any:
        raise TokenizerAsked(name)


def reproduce(trace: Trace, step: Step, so_far: TokenIds, rerun: Rerun) -> None:
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
    noise = noise_of(trace, step)
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
    if not is_close(step, choice):
        compare(step, choice)
    if [entry.name for entry in entries] != [entry.name for entry in step.entries]:
        raise Finding("failed", f"the entries of step {step.index} are not those of the chain")
