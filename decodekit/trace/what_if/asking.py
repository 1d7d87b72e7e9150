"""One chain over the recorded steps of one sequence, without the model: what it would have drawn at each of them.

A step starts from the recorded raw row where there is one, and otherwise from what is recorded after the processors
that this chain and the recorded one begin with alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from decodekit.chain.entry import known
from decodekit.chain.link import Applied, Link
from decodekit.chain.reshaped import Reshaped, advance, reshape
from decodekit.distribution import AMBIGUITY, Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.draw.samplers import greedy
from decodekit.errors import DecodekitError
from decodekit.plugin import registry
from decodekit.plugin.installed import OURS
from decodekit.trace.reproducing import NotRecorded, missing_in
from decodekit.trace.step import Step
from decodekit.trace.what_if.nested_cuts import drawn_between, first_cut
from decodekit.trace.what_if.recorded_laws import RecordedLaw, law_after

__all__ = ["Drawn", "Unknown", "Walk", "learns"]


class Unknown(Exception):
    """The record does not prove what would have been drawn; the message says why."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a chain gives at a step.

    Args:
        choice: what it draws.
        law: the distribution that it is drawn from.
        normalised: whether the log-probabilities of ``law`` are known.
        tossed: whether a processor drew random numbers, so that ``law`` depends on the seed.
    """

    choice: Choice
    law: Distribution
    normalised: bool
    tossed: bool


class Walk:
    """A chain that follows the recorded tokens of one sequence, step by step.

    Args:
        links: its parts from there on, the sampler last.
        start: how many processors at its beginning are the recorded ones and do not run again.
        processors: the recorded ones, as the header describes them.
        vocab_size: the number of tokens in all; None where it is not known.
        same_seed: whether its random numbers are the recorded ones.
        whole: whether every step has its raw row; ``start`` is 0 then.
        context: before the first token.
    """

    def __init__(
        self,
        links: Sequence[Link],
        start: int,
        processors: Sequence[Mapping[str, Any]],
        *,
        vocab_size: int | None,
        same_seed: bool,
        whole: bool,
        context: Context,
    ) -> None:
        self._start = start
        self._links = tuple(links)
        self._processors = processors
        self._vocab_size = vocab_size
        self._same_seed = same_seed
        self._whole = whole
        self._way_out = "" if whole else "; record with level 'full' to know it"
        self._lost = ""
        self._states: tuple[Any, ...] = ()
        try:
            self._states = tuple(link.call.initial(context) if link.traits.stateful else None for link in self._links)
        except Exception as error:  # such as a part that needs the tokenizer before the first token
            missing = missing_in(error)
            self._lost = f"{type(error).__name__}: {error}" if missing is None else f"a part needs {missing}"

    def step(self, step: Step, context: Context, noise: BoundRandomness) -> Drawn:
        """What the chain draws after the recorded tokens; then the recorded token is taken.

        Raises:
            Unknown: the record does not prove it.
        """
        reshaped, drawn = None, None
        try:
            if self._lost:
                raise Unknown(self._lost)
            reshaped, drawn = self._drawn(step, context, noise)
            return drawn
        finally:
            self._take(step, context, reshaped, drawn)

    def _drawn(self, step: Step, context: Context, noise: BoundRandomness) -> tuple[Reshaped | None, Drawn]:
        law = self._law(step)
        if any(not link.traits.pure for link in self._links):
            raise Unknown("a part of the chain has hidden state, so it does not run again")
        offset = next((link.name for link in self._links if link.traits.needs_logits), None)
        if offset is not None and law.dist.origin != "logits" and step.raw.origin == "logits":
            raise Unknown(f"{offset} depends on the model's own logits, which only level 'full' records")
        try:
            reshaped = reshape(self._links, law.dist, context, self._states, noise)
            choice = reshaped.choose(noise)[0]
        except Undisclosed as error:
            between = self._between(law.dist, context, noise)
            if between is not None:
                return None, between
            raise Unknown(f"tokens that were not recorded decide {error.question}{self._way_out}") from error
        except DecodekitError as error:
            missing = missing_in(error)
            raise Unknown(str(error) if missing is None else f"a part needs {missing}") from error
        self._require_clear(reshaped, choice)
        tossed = any(part.tosses for part in reshaped.applied) or any(e.tosses for e in step.entries[: self._start])
        return reshaped, Drawn(choice, reshaped.final, law.normalised, tossed)

    def _between(self, law: Distribution, context: Context, noise: BoundRandomness) -> Drawn | None:
        """The draw after truncations whose edges are not known, where it is the same for all of them."""
        at = first_cut(self._links)
        if at is None:
            return None
        try:
            before = reshape((*self._links[:at], self._links[-1]), law, context, self._states, noise)
            if before.final.hidden is None or before.final.ambiguous or any(map(_parts_equals, before.applied)):
                return None
            choice = drawn_between(self._links[at:], before.final, context, noise)
        except DecodekitError:
            return None
        tossed = any(part.tosses for part in before.applied)
        return None if choice is None else Drawn(choice, before.final, False, tossed)

    def _law(self, step: Step) -> RecordedLaw:
        """What the rest of the chain starts from."""
        if self._whole:
            row = step.answer(self._vocab_size)
            assert row is not None
            return RecordedLaw(row)
        before = step.entries[: self._start]
        if not self._same_seed and any(entry.tosses for entry in before):
            raise Unknown("a processor drew random numbers, which another seed changes")
        if not self._same_seed and any(part.get("distribution") != OURS for part in self._processors[: self._start]):
            raise Unknown("a processor that is not one of decodekit's may depend on the seed")
        law = law_after(step, self._start, self._processors, self._vocab_size)
        if law is None:
            raise Unknown(f"the distribution at the place where the chain changes was not recorded{self._way_out}")
        return law

    def _require_clear(self, reshaped: Reshaped, choice: Choice) -> None:
        """Raise `Unknown` where rounding could decide: recorded log-probabilities are rounded, raw rows are not."""
        exact = self._whole and self._links[-1].call is greedy
        if choice.margin < AMBIGUITY and not exact:
            raise Unknown(f"the draw is so close ({choice.margin:.2g}) that rounding could decide")
        if self._whole:
            return
        if reshaped.final.ambiguous or any(map(_parts_equals, reshaped.applied)):
            raise Unknown("a processor decides so closely that rounding could change it")

    def _take(self, step: Step, context: Context, reshaped: Reshaped | None, drawn: Drawn | None) -> None:
        """Advance the states by the recorded token, as this chain would have drawn it."""
        if self._lost or not any(link.traits.stateful for link in self._links):
            return
        if reshaped is None and any(link.traits.stateful and link.traits.looks_back for link in self._links):
            self._lost = f"a part of the chain depends on step {step.index}, where the record is not enough"
            return
        choice: Any = _TokenAlone(step.token_id)
        seen: list[Any] = [None] * len(self._links)
        if reshaped is not None and drawn is not None:
            seen = [*(part.before for part in reshaped.applied), reshaped.final]
            choice = _held(step, drawn) or choice
        try:
            self._states = advance(self._links, self._states, choice, context, seen)
        except DecodekitError as error:
            missing = missing_in(error)
            why = str(error) if missing is None else f"it needs {missing}"
            self._lost = f"a part of the chain cannot follow step {step.index}: {why}"


class _TokenAlone:
    """The recorded token as a choice of which nothing else is known: any use of the rest raises `NotRecorded`."""

    def __init__(self, token_id: int) -> None:
        self.token_id = token_id
        self.asked = False

    def __getattr__(self, name: str) -> Any:
        self.asked = True
        raise NotRecorded(f"the {name} of its choice, which is not known")


def learns(link: Link, context: Context, token_id: int) -> bool:
    """Whether the state of a part may depend on more of a choice than its token; of a foreign one always."""
    if not link.traits.stateful:
        return False
    if registry.describe(link.call).get("distribution") != OURS:
        return True
    choice: Any = _TokenAlone(token_id)
    before = (Distribution.listed([token_id], [0.0]),) if link.traits.looks_back else ()
    with suppress(Exception):  # what else it needs is no matter here
        link.call.advance(link.call.initial(context), choice, context, *before)
    return bool(choice.asked)


def _held(step: Step, drawn: Drawn) -> Choice | None:
    """The recorded token as the choice of this chain; None where its log-probability is not known."""
    chosen, token_id = drawn.choice, step.token_id
    logprob = known(drawn.law.logprob, token_id) if drawn.normalised else None
    if logprob is None:
        return None
    runner_up = chosen.token_id if chosen.runner_up == token_id else chosen.runner_up
    return replace(
        chosen, token_id=token_id, logprob=logprob, runner_up=runner_up,
        raw_logprob=step.choice.raw_logprob, rank=step.choice.rank,
    )  # fmt: skip


def _parts_equals(part: Applied) -> bool:
    """Whether a processor removed a token and left another one that is less than 1e-9 above or below it."""
    before, after = part.before.row, part.after.row
    if after is before or before.ids is None or (after.ids is not None and len(after.ids) == len(before.ids)):
        return False
    left = after.scores_of(before.ids) > -math.inf
    alive = before.values > -math.inf
    scores, left = before.values[alive], left[alive]  # by falling score
    close = (scores[:-1] - scores[1:] < AMBIGUITY) & (left[:-1] != left[1:])
    if part.before.hidden is None or not left.any():
        return bool(close.any())
    gap = float(scores[left].min()) - part.before.hidden.max_score
    return bool(close.any()) or 0 < gap < AMBIGUITY
