"""The states of a chain after a recorded token.

The recorded facts about a distribution are enough to advance the states of most processors.
"""

from __future__ import annotations

from typing import Any, cast

from decodekit.chain import Chain
from decodekit.chain.reshaped import advance
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Tail
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.errors import TraceError
from decodekit.trace.step import Step

__all__ = ["recalled_states"]


def recalled_states(
    chain: Chain,
    step: Step,
    raw: Distribution | None,
    ctx: Context,
    states: tuple[Any, ...],
    randomness: BoundRandomness,
) -> tuple[Any, ...]:
    """The states of a chain after a recorded token; nothing is drawn.

    Args:
        chain: the chain that made the step.
        step: the record.
        raw: what the adapter had answered; None if that was not recorded. It is used only if a part has ``looks_back``
            or is impure: the processors then run again.
        ctx, states, randomness: as for `Chain.step`.

    Raises:
        TraceError: a part needs more than was recorded, or the record is of another chain.
    """
    *processors, _ = chain.links
    if [link.name for link in processors] != [entry.name for entry in step.entries[: len(processors)]]:
        raise TraceError(f"step {step.index} was not made by this chain", step=step.index)
    if raw is not None and (not chain.pure or any(link.traits.looks_back for link in chain.links)):
        truncate = any(entry.gave_up is not None for entry in step.entries)
        return chain.step(raw, ctx, states, randomness, truncate=truncate, forced=step.choice)[3]
    for link in chain.links:
        if not link.traits.pure:
            raise TraceError(
                f"{link.name!r} has hidden state, which can be rebuilt only from a trace of level 'full'",
                step=step.index,
            )
    seen = [_facts_before(step, at, link.name) for at, link in enumerate(chain.links)]
    return advance(chain.links, states, step.choice, ctx, seen)


def _facts_before(step: Step, at: int, plugin: str) -> Distribution:
    """A substitute for the distribution that part ``at`` of the chain was called with; the sampler is the last part.

    It has ``tail``, ``support_size``, ``entropy``, and ``logprob`` and ``surprisal`` of the chosen token, with the same
    bits as before. Any other attribute raises a `TraceError` that names ``plugin``.
    """
    if at < len(step.entries) and step.entries[at].gave_up is not None:  # these numbers are of a row with its tail
        return cast("Distribution", _RecordedFacts(step, plugin, {}, None))
    before = step.entries[at - 1] if at else step.raw
    chosen = step.entries[at - 1].chosen if at else step.choice.raw_logprob
    known = {"support_size": before.support, "entropy": before.entropy, "logprob": chosen}
    return cast("Distribution", _RecordedFacts(step, plugin, known, before.tail))


class _RecordedFacts:
    def __init__(self, step: Step, plugin: str, known: dict[str, Any], tail: Tail | None) -> None:
        self._step, self._plugin, self._known, self.tail = step, plugin, known, tail

    def logprob(self, token_id: int) -> float:
        """Of the chosen token, in nats."""
        if token_id != self._step.token_id:
            self._miss("the log-probability of another token")
        value: float = self._fact("logprob")
        return value

    def surprisal(self, token_id: int) -> float:
        """Of the chosen token, in nats."""
        return -self.logprob(token_id)

    def __getattr__(self, name: str) -> Any:
        return self._fact(name)

    def _fact(self, name: str) -> Any:
        value = self._known.get(name)
        return self._miss(name) if value is None else value

    def _miss(self, what: str) -> Any:
        raise TraceError(
            f"the state of {self._plugin!r} depends on {what} of step {self._step.index}, which this trace does not "
            "hold; level 'full' keeps it",
            step=self._step.index,
        )
