"""The user's list is the program: one loop over the processors, then the sampler, and a note of what each did.

Nothing is reordered, added or dropped. `Chain.step` is pure: it may be run again on a better disclosed distribution,
and a step that raised leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any, Self

from decodekit.chain.entry import Entry, entry_of, known
from decodekit.chain.link import blame, call_processor, call_sampler, link_of, refuse
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.errors import PluginError
from decodekit.plugin import registry
from decodekit.plugin.presets import read_recipe

__all__ = ["Chain"]


class Chain:
    """An ordered list of processors and a sampler.

    Args:
        processors: callables ``(dist, ctx) -> Distribution``, stateful ones included; see `Processor`.
        sampler: a registered name, or a callable ``(dist, ctx, randomness) -> Choice``.

    ``notes`` says what the engine of a preset drops or does otherwise; it is empty for a chain written by hand.

    Raises:
        UnknownPlugin: no sampler of this name.
        ParameterError: something in the list is not callable.
    """

    def __init__(
        self, processors: Sequence[Callable[..., Any]] = (), sampler: str | Callable[..., Any] = "multinomial"
    ):
        self.processors = tuple(processors)
        self.sampler = registry.sampler(sampler) if isinstance(sampler, str) else sampler
        seen: dict[str, int] = {}
        self._links = tuple(link_of(processor, seen) for processor in self.processors)
        self._sampler = link_of(self.sampler, {})
        self.links = (*self._links, self._sampler)  # every part, the sampler last
        cut = next((i for i, part in enumerate(self.processors, 1) if getattr(part, "truncates", False)), None)
        needs = [getattr(processor, "needs", CHEAP) for processor in self.processors[:cut]]  # no tail is left behind it
        self._moving_needs = [need for need in needs if callable(need)]
        self._fixed_need = reduce(or_, (need for need in needs if not callable(need)), CHEAP)
        if any(link.needs_logits for link in self._links):
            self._fixed_need = ALL  # a head shows logprobs; the backend's own offset comes with the whole row only
        self.pure = all(link.pure for link in self.links)
        self._looked_at = tuple(link.looks_back for link in self.links[1:])
        self.notes: tuple[str, ...] = ()

    @classmethod
    def preset(cls, name: str, version: str | None = None, **parameters: Any) -> Self:
        """The chain of another engine: its order, edges, scopes and defaults, in its own parameter names.

        What that engine drops in silence stands in ``notes``, and is logged as a warning.

        Args:
            name: the preset, as ``"llama.cpp"`` or ``"transformers"``.
            version: the engine's version; the last that the preset lists by default.
            parameters: the engine's own; see `decodekit.plugin.presets.read_recipe`.

        Raises:
            UnknownPlugin: no preset of this name, or a plugin it needs is not installed.
            ParameterError: a parameter or version the engine does not have, or a value out of bounds.
        """
        recipe = read_recipe(name, version, parameters)
        chain = cls([registry.processor(**part) for part in recipe.parts], registry.sampler(**recipe.sampler))
        chain.notes = recipe.notes
        return chain

    def __repr__(self) -> str:
        return f"Chain({list(self.processors)!r}, sampler={self._sampler.name!r})"

    def describe(self) -> dict[str, Any]:
        """The chain as data for the record: name, parameters, distribution and version of every part."""
        return {
            "processors": [registry.describe(processor) for processor in self.processors],
            "sampler": registry.describe(self.sampler),
        }

    def need(self, ctx: Context) -> Disclosure:
        """What to ask the adapter for at first: the union of what the processors declare."""
        if not self.pure:
            return ALL  # an impure part must not run twice, so the first answer has to do
        return reduce(or_, (need(ctx) for need in self._moving_needs), self._fixed_need)

    def initial(self, ctx: Context) -> tuple[Any, ...]:
        """The states before the first token, one per processor and the sampler's last; None for the stateless."""
        states = []
        for link in self.links:
            try:
                states.append(link.call.initial(ctx) if link.stateful else None)
            except Exception as error:
                blame(error, link, ctx)
                raise
        return tuple(states)

    def apply(self, dist: Distribution, context: Context) -> Distribution:
        """Run the processors only. Stateful ones start afresh; one that tosses a coin needs ``context.rng``.

        Raises:
            PluginError: a processor broke its contract, or raised.
            DistributionError: a processor made NaN, +inf or an empty support.
            Undisclosed: the distribution does not disclose enough.
        """
        states = self.initial(context)
        for link, state in zip(self._links, states, strict=False):
            dist, _ = call_processor(link, dist, context, state, context.rng)
        return dist

    def step(
        self,
        dist: Distribution,
        ctx: Context,
        states: tuple[Any, ...],
        randomness: BoundRandomness,
        *,
        top: int = 0,
        truncate: bool = False,
        forced: Choice | None = None,
    ) -> tuple[Distribution, Choice, tuple[Entry, ...], tuple[Any, ...]]:
        """One token: every processor, then the sampler.

        Args:
            dist: the adapter's distribution.
            ctx: the ids so far.
            states: as `initial` or the step before returned them.
            randomness: the noise of this step, its attempt in ``draw``.
            top: how many leading tokens each entry keeps.
            truncate: give up the tail where a question cannot be answered, instead of raising `Undisclosed`.
            forced: the choice that the states advance by, whatever is drawn here: a replay forces what was recorded.

        Returns:
            The final distribution, the choice, one entry per processor, and the states after this token.

        Raises:
            PluginError, DistributionError, Undisclosed: as `apply`; nothing is changed by a step that raised.
        """
        raw, stages, spent = dist, [], ""
        for link, state in zip(self._links, states, strict=False):
            before, gave_up = dist, None
            if not link.pure:
                spent = link.name
            try:
                dist, tosses = call_processor(link, before, ctx, state, randomness)
            except Undisclosed as error:
                if not truncate or before.tail is None or not link.pure:
                    raise refuse(error, spent, ctx.step) from error
                gave_up = before.tail
                before = before.truncated()
                dist, tosses = call_processor(link, before, ctx, state, randomness)
            stages.append((link, before, dist, tosses, gave_up))
        try:
            choice, final = self._choose(dist, ctx, states[-1], randomness, truncate)
        except Undisclosed as error:
            raise refuse(error, spent if self._sampler.pure else self._sampler.name, ctx.step) from error
        token_id = choice.token_id
        logprob = known(raw.logprob, token_id)
        choice = Choice(
            token_id,
            choice.logprob,
            logprob,
            known(raw.rank, token_id),
            choice.score,
            choice.margin,
            choice.runner_up,
            choice.draw,
        )
        entries: list[Entry] = []
        for stage, exact in zip(stages, self._looked_at, strict=True):
            entries.append(entry_of(*stage, token_id, logprob, top, ctx.step, exact=exact))
            logprob = entries[-1].chosen
        if final is not dist:
            entries.append(Entry(self._sampler.name, None, None, None, None, gave_up=dist.tail, chosen=choice.logprob))
        seen = [before for _, before, *_ in stages]
        return final, choice, tuple(entries), self.advance(states, forced or choice, ctx, (*seen, final))

    def advance(
        self, states: tuple[Any, ...], choice: Choice, ctx: Context, seen: Sequence[Distribution]
    ) -> tuple[Any, ...]:
        """The states after this choice; ``seen`` is what each part was called with."""
        after = []
        for link, state, before in zip(self.links, states, seen, strict=True):
            extra = (before,) if link.looks_back else ()
            try:
                after.append(link.call.advance(state, choice, ctx, *extra) if link.stateful else None)
            except Exception as error:
                blame(error, link, ctx)
                raise
        return tuple(after)

    def _choose(
        self,
        dist: Distribution,
        ctx: Context,
        state: Any,
        randomness: BoundRandomness,
        truncate: bool,
    ) -> tuple[Choice, Distribution]:
        link = self._sampler
        noise = randomness.within(TOKENS)
        try:
            choice = call_sampler(link, dist, ctx, noise, state)
        except Undisclosed:
            if not truncate or dist.tail is None or not link.pure:
                raise
            dist = dist.truncated()
            choice = call_sampler(link, dist, ctx, noise, state)
        if not isinstance(choice, Choice):
            raise PluginError(
                f"a sampler returns a Choice, not {type(choice).__name__}", plugin=link.name, step=ctx.step
            )
        if link.trusted:
            return choice, dist
        try:
            possible = dist.score(choice.token_id) > -math.inf
        except Exception as error:
            blame(error, link, ctx)
            raise
        if not possible:
            raise PluginError(
                f"it chose token {choice.token_id}, which has no probability", plugin=link.name, step=ctx.step
            )
        return choice, dist
