"""The user's list is the program: one loop over the processors, then the sampler, and a note of what each did.

Nothing is reordered, added or dropped. `Chain.step` is pure: it may be run again on a better disclosed distribution,
and a step that raised leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from decodekit import registry
from decodekit.context import Context
from decodekit.disclosure import ALL, CHEAP, Disclosure, Tail
from decodekit.distribution import Distribution
from decodekit.divergence import expected_gap
from decodekit.errors import (
    ConfigError,
    DecodekitError,
    DistributionError,
    ParameterError,
    PluginError,
    TraceError,
    Undisclosed,
)
from decodekit.presets import read_recipe
from decodekit.randomness import PROCESSORS, TOKENS, BoundRandomness, Lanes, derive
from decodekit.remembered import remembered
from decodekit.samplers import CORE_SAMPLERS, Choice

if TYPE_CHECKING:
    from decodekit.step import Step

__all__ = ["Chain", "Entry"]

_TOSSES_KEPT = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """What one processor did to the distribution.

    Args:
        name: the processor.
        support: how many tokens have probability now; None on a head with a tail.
        entropy: in nats; None on a head with a tail.
        kl: Kullback-Leibler divergence of the stage before from this one, in nats; None where a tail leaves it open.
        mass_removed: the probability, at the stage before, of the tokens this one removed; None likewise.
        ambiguous: whether a decision here lay within 1e-9 of its boundary.
        tail: what is undisclosed at this stage; None when nothing is.
        gave_up: the tail that was given up here under ``on_undisclosed='truncate'``; None when none was.
        tosses: (lane, word) of the random numbers the processor drew.
        top: (token id, logprob) of the leading tokens at this stage.
        chosen: the log-probability, at this stage, of the token that was chosen in the end; -inf before a processor
            that revives it, None where a tail leaves it open.
    """

    name: str
    support: int | None
    entropy: float | None
    kl: float | None
    mass_removed: float | None
    ambiguous: bool = False
    tail: Tail | None = None
    gave_up: Tail | None = None
    tosses: tuple[tuple[int, int], ...] = ()
    top: tuple[tuple[int, float], ...] = ()
    chosen: float | None = None


@dataclass(frozen=True)
class _Link:
    """A processor or sampler with everything that need not be found out twice."""

    call: Any
    name: str
    stateful: bool
    key: int
    needs_logits: bool
    revives: bool
    pure: bool
    trusted: bool
    looks_back: bool


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
        self._links = tuple(_link(processor, seen) for processor in self.processors)
        self._sampler = _link(self.sampler, {})
        cut = next((i for i, part in enumerate(self.processors, 1) if getattr(part, "truncates", False)), None)
        needs = [getattr(processor, "needs", CHEAP) for processor in self.processors[:cut]]  # no tail is left behind it
        self._moving_needs = [need for need in needs if callable(need)]
        self._fixed_need = reduce(or_, (need for need in needs if not callable(need)), CHEAP)
        if any(link.needs_logits for link in self._links):
            self._fixed_need = ALL  # a head shows logprobs; the backend's own offset comes with the whole row only
        self.pure = all(link.pure for link in (*self._links, self._sampler))
        self._looked_at = tuple(link.looks_back for link in (*self._links, self._sampler)[1:])
        self.notes: tuple[str, ...] = ()

    @classmethod
    def preset(cls, name: str, version: str | None = None, **parameters: Any) -> Self:
        """The chain of another engine: its order, edges, scopes and defaults, in its own parameter names.

        What that engine drops in silence stands in ``notes``, and is logged as a warning.

        Args:
            name: the preset, as ``"llama.cpp"`` or ``"transformers"``.
            version: the engine's version; the last that the preset lists by default.
            parameters: the engine's own; see `decodekit.presets.read_recipe`.

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
        for link in (*self._links, self._sampler):
            try:
                states.append(link.call.initial(ctx) if link.stateful else None)
            except Exception as error:
                _blame(error, link, ctx)
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
            dist, _ = _run(link, dist, context, state, context.rng)
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
                dist, tosses = _run(link, before, ctx, state, randomness)
            except Undisclosed as error:
                if not truncate or before.tail is None or not link.pure:
                    raise _refuse(error, spent, ctx.step) from error
                gave_up = before.tail
                before = before.truncated()
                dist, tosses = _run(link, before, ctx, state, randomness)
            stages.append((link, before, dist, tosses, gave_up))
        try:
            choice, final = self._choose(dist, ctx, states[-1], randomness, truncate)
        except Undisclosed as error:
            raise _refuse(error, spent if self._sampler.pure else self._sampler.name, ctx.step) from error
        token_id = choice.token_id
        logprob = _known(raw.logprob, token_id)
        choice = Choice(
            token_id,
            choice.logprob,
            logprob,
            _known(raw.rank, token_id),
            choice.score,
            choice.margin,
            choice.runner_up,
            choice.draw,
        )
        entries: list[Entry] = []
        for stage, exact in zip(stages, self._looked_at, strict=True):
            entries.append(_entry(*stage, token_id, logprob, top, ctx.step, exact=exact))
            logprob = entries[-1].chosen
        if final is not dist:
            entries.append(Entry(self._sampler.name, None, None, None, None, gave_up=dist.tail, chosen=choice.logprob))
        seen = [before for _, before, *_ in stages]
        return final, choice, tuple(entries), self._advance(states, forced or choice, ctx, (*seen, final))

    def repeat(
        self,
        step: Step,
        raw: Distribution | None,
        ctx: Context,
        states: tuple[Any, ...],
        randomness: BoundRandomness,
    ) -> tuple[Any, ...]:
        """The states after a token that was chosen before, as its record tells; nothing is drawn.

        Args:
            step: the record.
            raw: what the adapter had answered; None where that was not recorded. Only a part that looks back on a
                distribution, or is impure, makes use of it: the processors then run again.
            ctx, states, randomness: as for `step`.

        Raises:
            TraceError: a part remembers more than was recorded, or the record is of another chain.
        """
        links = (*self._links, self._sampler)
        if [link.name for link in self._links] != [entry.name for entry in step.entries[: len(self._links)]]:
            raise TraceError(f"step {step.index} was not made by this chain", step=step.index)
        if raw is not None and (not self.pure or any(link.looks_back for link in links)):
            truncate = any(entry.gave_up is not None for entry in step.entries)
            return self.step(raw, ctx, states, randomness, truncate=truncate, forced=step.choice)[3]
        for link in links:
            if not link.pure:
                raise TraceError(
                    f"{link.name!r} has a memory of its own, which a trace rebuilds from level 'full' only",
                    step=step.index,
                )
        return self._advance(
            states, step.choice, ctx, [remembered(step, at, link.name) for at, link in enumerate(links)]
        )

    def _advance(
        self, states: tuple[Any, ...], choice: Choice, ctx: Context, seen: Sequence[Distribution]
    ) -> tuple[Any, ...]:
        """The states after this choice; ``seen`` is what each part was called with."""
        after = []
        for link, state, before in zip((*self._links, self._sampler), states, seen, strict=True):
            extra = (before,) if link.looks_back else ()
            try:
                after.append(link.call.advance(state, choice, ctx, *extra) if link.stateful else None)
            except Exception as error:
                _blame(error, link, ctx)
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
            choice = _sample(link, dist, ctx, noise, state)
        except Undisclosed:
            if not truncate or dist.tail is None or not link.pure:
                raise
            dist = dist.truncated()
            choice = _sample(link, dist, ctx, noise, state)
        if not isinstance(choice, Choice):
            raise PluginError(
                f"a sampler returns a Choice, not {type(choice).__name__}", plugin=link.name, step=ctx.step
            )
        if link.trusted:
            return choice, dist
        try:
            possible = dist.score(choice.token_id) > -math.inf
        except Exception as error:
            _blame(error, link, ctx)
            raise
        if not possible:
            raise PluginError(
                f"it chose token {choice.token_id}, which has no probability", plugin=link.name, step=ctx.step
            )
        return choice, dist


def _refuse(error: Undisclosed, spent: str, step: int) -> DecodekitError:
    """The same question again; or, once a processor with a memory of its own has run, the end of the matter."""
    if not spent:
        return Undisclosed(error.need, error.question)
    return PluginError(f"it cannot run again for a better answer, but {error}", plugin=spent, step=step)


def _link(part: Any, seen: dict[str, int]) -> _Link:
    if not callable(part):
        raise ParameterError(
            f"a chain is made of callables; {part!r} is none. Build plugins by name with processor(...)"
        )
    name = registry.name_of(part)
    earlier = seen.get(name, 0)
    seen[name] = earlier + 1
    return _Link(
        call=part,
        name=name,
        stateful=hasattr(part, "initial") and hasattr(part, "advance"),
        key=derive(0, name, earlier),
        needs_logits=getattr(part, "needs_logits", False),
        revives=getattr(part, "revives", False),
        pure=getattr(part, "pure", True),
        trusted=part in CORE_SAMPLERS.values(),
        looks_back=getattr(part, "looks_back", False),
    )


def _run(
    link: _Link, dist: Distribution, ctx: Context, state: Any, rng: BoundRandomness | None
) -> tuple[Distribution, tuple[tuple[int, int], ...]]:
    """One processor, its output checked, with the random words it drew."""
    if link.needs_logits and dist.origin != "logits":
        raise PluginError(
            "its law depends on the backend's own offset, and this adapter gives logprobs; "
            "write the law for logprobs into the chain, or take a backend that gives logits",
            plugin=link.name,
            step=ctx.step,
        )
    dice = None
    if rng is not None:
        key = link.key if rng.draw == 0 else derive(link.key, rng.draw)  # another attempt has other noise
        dice = _Dice(rng.source, rng.step, PROCESSORS, key)
        ctx = Context(ctx.prompt_ids, ctx.output_ids, ctx.tokenizer, ctx.metadata, dice)
    try:
        after = link.call(dist, ctx, state) if link.stateful else link.call(dist, ctx)
    except Exception as error:
        _blame(error, link, ctx)
        raise
    if not isinstance(after, Distribution):
        raise PluginError(
            f"a processor returns a Distribution, not {type(after).__name__}", plugin=link.name, step=ctx.step
        )
    if after.vocab_size != dist.vocab_size:
        raise PluginError(
            f"it turned a vocabulary of {dist.vocab_size} into one of {after.vocab_size}",
            plugin=link.name,
            step=ctx.step,
        )
    return after, tuple(dice.tosses) if dice is not None else ()


def _sample(link: _Link, dist: Distribution, ctx: Context, noise: BoundRandomness, state: Any) -> Any:
    try:
        return link.call(dist, ctx, noise, state) if link.stateful else link.call(dist, ctx, noise)
    except Exception as error:
        _blame(error, link, ctx)
        raise


def _blame(error: Exception, link: _Link, ctx: Context) -> None:
    """Raise the error of a plugin with its name and step; do nothing where it has them, or is a question."""
    if isinstance(error, DistributionError) and error.stage is None:
        raise type(error)(error.message, stage=link.name, step=ctx.step) from error
    if isinstance(error, ConfigError) or not isinstance(error, DecodekitError):
        raise PluginError(f"raised {type(error).__name__}: {error}", plugin=link.name, step=ctx.step) from error


@dataclass(frozen=True, slots=True)
class _Dice(BoundRandomness):
    """A processor's noise that remembers what was drawn from it."""

    tosses: list[tuple[int, int]] = field(default_factory=list)

    def words(self, lanes: Lanes) -> NDArray[np.uint64]:
        words = BoundRandomness.words(self, lanes)
        room = _TOSSES_KEPT - len(self.tosses)
        if room > 0:
            self.tosses.extend(zip(map(int, lanes[:room]), words[:room].tolist(), strict=True))
        return words


def _entry(
    link: _Link,
    before: Distribution,
    after: Distribution,
    tosses: tuple[tuple[int, int], ...],
    gave_up: Tail | None,
    chosen: int,
    logprob: float | None,
    top: int,
    step: int,
    *,
    exact: bool,
) -> Entry:
    """The record of one processor; ``logprob`` is the chosen token's at the stage before.

    ``exact``: what follows learns from the chosen token's log-probability here, so the record has all its bits.
    """
    ambiguous, leaders = after.ambiguous and not before.ambiguous, _pairs(after, top)
    factor = None if logprob is None or before.tail is not None else after._factor_from(before)
    if factor is not None:
        # Tokens were left out or all scores multiplied, so the two normalisers say it all.
        assert logprob is not None
        gap = after.kl(before)
        lost = -math.expm1(-gap) if factor == 1.0 else 0.0
        lead = factor * before.max_score - after.max_score
        quick = min(0.0, factor * (logprob + before._log_total) + lead - after._log_total)
        now = after.logprob(chosen) if exact else quick
        size, entropy = after.support_size, after.entropy
        return Entry(link.name, size, entropy, gap, lost, ambiguous, None, gave_up, tosses, leaders, now)
    logprob = _known(after.logprob, chosen)
    if after.tail is not None:
        return Entry(link.name, None, None, None, None, ambiguous, after.tail, gave_up, tosses, leaders, logprob)
    kl, removed = _moved(before, after)
    if kl == math.inf and not link.revives:
        support = after.support()
        revived = int(support[before.logprobs_of(support) == -math.inf][0])
        raise PluginError(f"it gave probability to token {revived}, which had none", plugin=link.name, step=step)
    size, entropy = after.support_size, after.entropy
    return Entry(link.name, size, entropy, kl, removed, ambiguous, None, gave_up, tosses, leaders, logprob)


def _moved(before: Distribution, after: Distribution) -> tuple[float | None, float | None]:
    """The divergence and the mass removed; None where a tail leaves them open."""
    if after is before:
        return 0.0, 0.0
    try:
        if after.token_ids is not None:
            was = before.logprobs_of(after.token_ids)
            return max(0.0, expected_gap(after.logprobs, was)), max(0.0, 1.0 - float(np.exp(was).sum()))
        removed = 0.0
        if after.support_size < before.support_size:
            removed = max(0.0, 1.0 - float(np.exp(before.logprobs_of(after.support())).sum()))
        return after.kl(before), removed
    except Undisclosed:
        return None, None


def _pairs(dist: Distribution, top: int) -> tuple[tuple[int, float], ...]:
    if top == 0:
        return ()
    ids, logprobs = dist.leading(top)
    return tuple(zip(ids.tolist(), logprobs.tolist(), strict=True))


def _known(question: Callable[[int], Any], token_id: int) -> Any:
    """The answer, or None where the disclosed part does not settle it."""
    try:
        return question(token_id)
    except Undisclosed:
        return None
