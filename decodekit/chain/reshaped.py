"""One step of a chain in two halves: what the choice needs, and the notes, which are made after the choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from decodekit.chain.entry import Entry, entry_of, known
from decodekit.chain.link import Applied, Link, blame, call_processor, call_sampler, refuse
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.errors import PluginError, brief

__all__ = ["Reshaped", "advance", "reshape"]


class Reshaped(NamedTuple):
    """A distribution after the processors of a chain.

    Args:
        links: the parts of the chain, the sampler last.
        raw: what the adapter answered.
        applied: what each processor was called with, and what it returned.
        final: what the sampler draws from.
        ctx: the ids so far.
        states: the states of the parts before this token.
    """

    links: tuple[Link, ...]
    raw: Distribution
    applied: tuple[Applied, ...]
    final: Distribution
    ctx: Context
    states: tuple[Any, ...]

    def choose(self, randomness: BoundRandomness, *, truncate: bool = False) -> tuple[Choice, Reshaped]:
        """Draw a token. Where ``truncate`` gave up the tail, the returned object's ``final`` has no tail.

        Raises:
            PluginError, DistributionError, Undisclosed: as `Chain.step`.
        """
        link, dist, noise = self.links[-1], self.final, randomness.within(TOKENS)
        try:
            try:
                choice = call_sampler(link, dist, self.ctx, noise, self.states[-1])
            except Undisclosed:
                if not truncate or dist.tail is None or not link.traits.pure:
                    raise
                dist = dist.truncated()
                choice = call_sampler(link, dist, self.ctx, noise, self.states[-1])
        except Undisclosed as error:
            impure = [part.link.name for part in self.applied if not part.link.traits.pure]
            ran_once = link.name if not link.traits.pure else impure[-1] if impure else ""
            raise refuse(error, ran_once, self.ctx.step) from error
        _require_choice(choice, dist, link, self.ctx)
        return choice, self if dist is self.final else self._replace(final=dist)

    def states_after(self, choice: Choice) -> tuple[Any, ...]:
        """The states after this choice."""
        if not any(link.traits.stateful for link in self.links):
            return self.states
        seen = [part.before for part in self.applied]
        return advance(self.links, self.states, choice, self.ctx, (*seen, self.final))

    def settle(self, choice: Choice, *, top: int = 0) -> tuple[Choice, tuple[Entry, ...]]:
        """The choice with its raw log-probability and rank, and an entry for what each processor did.

        Args:
            choice: what was chosen.
            top: how many leading tokens each entry keeps.
        """
        choice = self.placed(choice)
        token_id, logprob = choice.token_id, choice.raw_logprob
        entries: list[Entry] = []
        for part, following in zip(self.applied, self.links[1:], strict=True):
            exact = following.traits.looks_back
            entry = entry_of(part, chosen=token_id, logprob=logprob, top=top, step=self.ctx.step, exact=exact)
            entries.append(entry)
            logprob = entry.chosen
        drawn_from = self.applied[-1].after if self.applied else self.raw
        if self.final is not drawn_from:
            entries.append(Entry(name=self.links[-1].name, gave_up=drawn_from.tail, chosen=choice.logprob))
        return choice, tuple(entries)

    def placed(self, choice: Choice) -> Choice:
        """The choice with its log-probability and rank under the model."""
        return Choice(  # a token pays for each microsecond here, and `replace` takes three
            token_id=choice.token_id,
            logprob=choice.logprob,
            raw_logprob=known(self.raw.logprob, choice.token_id),
            rank=known(self.raw.rank, choice.token_id),
            score=choice.score,
            margin=choice.margin,
            runner_up=choice.runner_up,
            draw=choice.draw,
        )


def reshape(
    links: tuple[Link, ...],
    dist: Distribution,
    ctx: Context,
    states: tuple[Any, ...],
    randomness: BoundRandomness | None,
    *,
    truncate: bool = False,
) -> Reshaped:
    """Run the processors; see `Chain.step`."""
    raw, applied, ran_once = dist, [], ""
    for link, state in zip(links[:-1], states, strict=False):
        before, gave_up = dist, None
        if not link.traits.pure:
            ran_once = link.name
        try:
            dist, tosses = call_processor(link, before, ctx, state, randomness)
        except Undisclosed as error:
            if not truncate or before.tail is None or not link.traits.pure:
                raise refuse(error, ran_once, ctx.step) from error
            gave_up = before.tail
            before = before.truncated()
            dist, tosses = call_processor(link, before, ctx, state, randomness)
        applied.append(Applied(link, before, dist, tosses, gave_up))
    return Reshaped(links, raw, tuple(applied), dist, ctx, states)


def advance(
    links: tuple[Link, ...], states: tuple[Any, ...], choice: Choice, ctx: Context, seen: Sequence[Distribution]
) -> tuple[Any, ...]:
    """The states after this choice; ``seen`` is what each part was called with."""
    after = []
    for link, state, before in zip(links, states, seen, strict=True):
        extra = (before,) if link.traits.looks_back else ()
        try:
            later = link.call.advance(state, choice, ctx, *extra) if link.traits.stateful else None
        except BaseException as error:
            blame(error, link, ctx)
            raise
        if later is None and state is not None:
            raise PluginError(
                "its advance returned None in place of a state; end it with: return the next state",
                plugin=link.name,
                step=ctx.step,
            )
        after.append(later)
    return tuple(after)


def _require_choice(choice: Any, dist: Distribution, link: Link, ctx: Context) -> None:
    if not isinstance(choice, Choice):
        raise PluginError(f"a sampler returns a Choice, not {brief(choice)}", plugin=link.name, step=ctx.step)
    if link.trusted:
        return
    try:
        possible = dist.score(choice.token_id) > -math.inf
    except BaseException as error:
        blame(error, link, ctx)
        raise
    if not possible:
        raise PluginError(
            f"it chose token {choice.token_id}, which has no probability", plugin=link.name, step=ctx.step
        )
