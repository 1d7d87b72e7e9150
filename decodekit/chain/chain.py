"""A chain runs the processors in the user's order, then the sampler, and notes what each of them did.

Nothing is reordered, added or dropped. `Chain.step` is pure: it may run again on a distribution that discloses more,
and a step that raised has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any, Self

from decodekit.chain.entry import Entry
from decodekit.chain.link import blame, link_of
from decodekit.chain.reshaped import Reshaped, reshape
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.errors import ParameterError, brief
from decodekit.plugin import registry
from decodekit.plugin.one_line import read_chain
from decodekit.plugin.presets import read_recipe

__all__ = ["Chain"]

_LONGEST = 120  # characters for a processor in the chain's repr


class Chain:
    """An ordered list of processors and a sampler.

    Args:
        processors: callables ``(dist, ctx) -> Distribution``, or stateful ones; see `Processor`. A single processor
            needs no list.
        sampler: a registered name, or a callable ``(dist, ctx, randomness) -> Choice``.

    ``notes`` says which settings the engine of a preset ignores or treats in another way; it is empty for a chain
    written by hand.

    Raises:
        UnknownPlugin: no sampler has this name.
        ParameterError: it is not a list of processors, or an item is not callable.
    """

    def __init__(
        self,
        processors: Iterable[Callable[..., Any]] | Callable[..., Any] = (),
        sampler: str | Callable[..., Any] = "multinomial",
    ):
        self.processors = _listed(processors)
        self.sampler = registry.sampler(sampler) if isinstance(sampler, str) else sampler
        seen: dict[str, int] = {}
        processor_links = [link_of(processor, seen) for processor in self.processors]
        for link in processor_links:
            if link.trusted or registry.is_sampler(link.call):
                raise ParameterError(f"{link.name!r} is a sampler; give it as Chain(processors, sampler={link.name!r})")
        self.links = (*processor_links, link_of(self.sampler, {}))  # every part, the sampler last
        cut = next((i for i, link in enumerate(processor_links, 1) if link.traits.truncates), None)
        asking = processor_links[:cut]  # there is no tail after a truncation
        self._moving = [(at, link) for at, link in enumerate(asking) if callable(link.traits.needs)]
        self._fixed_need = reduce(or_, (each.traits.needs for each in asking if not callable(each.traits.needs)), CHEAP)
        if any(link.traits.needs_logits for link in processor_links):
            self._fixed_need = ALL  # a head has logprobs; only the whole row has the backend's own offset
        self._ending = [(at, link) for at, link in enumerate(self.links) if hasattr(link.call, "complete")]
        self._forcing = [(at, link) for at, link in enumerate(self.links) if hasattr(link.call, "forced")]
        self.stateful = any(link.traits.stateful for link in self.links)
        self.pure = all(link.traits.pure for link in self.links)
        self.notes: tuple[str, ...] = ()

    @classmethod
    def from_parts(
        cls, parts: Iterable[Mapping[str, Any]], sampler: Mapping[str, Any] | None = None, notes: Sequence[str] = ()
    ) -> Self:
        """A chain from data: registered plugins only.

        Args:
            parts: the processors, each a mapping with its ``name`` and its parameters.
            sampler: likewise; ``multinomial`` when None.
            notes: the chain's `notes`.

        Raises:
            UnknownPlugin: a name that no installed distribution provides.
            ParameterError: a parameter that is missing, unknown or out of range.
        """
        chosen = {"name": "multinomial"} if sampler is None else sampler
        parts = list(parts)
        given: tuple[object, ...] = (*parts, chosen)
        for part in given:
            if not isinstance(part, Mapping) or "name" not in part:
                form = "{'name': 'top_k', 'top_k': 40}"
                raise ParameterError(f"a part of a chain is data such as {form}, not {brief(part)}")
        chain = cls([registry.processor(**part) for part in parts], registry.sampler(**chosen))
        chain.notes = tuple(notes)
        return chain

    @classmethod
    def preset(cls, name: str, version: str | None = None, **parameters: Any) -> Self:
        """The chain of another engine: its order, edge cases, scopes and defaults, in its own parameter names.

        A setting that the engine ignores is listed in ``notes`` and logged as a warning.

        Args:
            name: the preset, such as ``"llama.cpp"`` or ``"transformers"``.
            version: the engine's version; by default the last one that the preset lists.
            parameters: the engine's parameters; see `decodekit.plugin.presets.read_recipe`.

        Raises:
            UnknownPlugin: no preset has this name, or a plugin it needs is not installed.
            ParameterError: a parameter or version the engine does not have, or a value out of bounds.
        """
        recipe = read_recipe(name, version, parameters)
        return cls.from_parts(recipe.parts, recipe.sampler, recipe.notes)

    @classmethod
    def of(cls, given: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None) -> Chain:
        """The given chain, or a new one from a list of processors, one processor, one sampler, a text, or None.

        A text is as on the command line, such as ``"temperature=0.8 top_p(top_p=0.95,min_keep=2) greedy"``.

        Raises:
            ParameterError: the argument is none of these.
            ConfigError, UnknownPlugin: the text cannot be read, or names what is not installed.
        """
        if isinstance(given, Chain):
            return given
        if isinstance(given, str):
            return cls.from_parts(*read_chain(given))
        if callable(given) and registry.is_sampler(given):
            return cls((), given)
        return cls(() if given is None else given)

    def __repr__(self) -> str:
        parts = ", ".join(_short(processor) for processor in self.processors)
        return f"Chain([{parts}], sampler={self.links[-1].name!r})"

    def describe(self) -> dict[str, Any]:
        """The chain as data for the record: name, parameters, distribution and version of every part."""
        return {
            "processors": [registry.describe(processor) for processor in self.processors],
            "sampler": registry.describe(self.sampler),
        }

    @cached_property
    def ours(self) -> bool:
        """Whether each part is a plugin of this distribution."""
        return all(registry.is_ours(link.call) for link in self.links)

    def need(self, ctx: Context, states: Sequence[Any] = ()) -> Disclosure:
        """What to ask the adapter for at first: the union of what the processors declare.

        Args:
            ctx: the ids so far.
            states: those of the parts; without them a part whose needs depend on its state asks for what is cheap.
        """
        if not self.pure:
            return ALL  # an impure part must not run twice, so the first answer must disclose everything
        need = self._fixed_need
        for at, link in self._moving:
            if link.traits.needs_state and not states:
                continue
            own = (ctx, states[at]) if link.traits.needs_state else (ctx,)
            try:
                need |= link.traits.needs(*own)  # type: ignore[operator]
            except BaseException as error:
                blame(error, link, ctx)
                raise
        return need

    def complete(self, states: Sequence[Any]) -> bool | None:
        """Whether the text may end here; None where no part of the chain says."""
        if not self._ending:
            return None
        return all(link.call.complete(states[at]) for at, link in self._ending)

    def forced(self, states: Sequence[Any]) -> Sequence[int]:
        """The next token ids, as far as a part of the chain holds them for all but certain."""
        for at, link in self._forcing:
            ids: Sequence[int] = link.call.forced(states[at])
            if len(ids):
                return ids
        return ()

    @property
    def forces(self) -> bool:
        """Whether `forced` may say anything."""
        return bool(self._forcing)

    def initial(self, ctx: Context) -> tuple[Any, ...]:
        """The states before the first token: one per processor, then the sampler's; None for a stateless part."""
        states = []
        for link in self.links:
            try:
                states.append(link.call.initial(ctx) if link.traits.stateful else None)
            except BaseException as error:
                blame(error, link, ctx)
                raise
        return tuple(states)

    def apply(self, dist: Distribution, context: Context) -> Distribution:
        """Run the processors only. Stateful ones start from their initial state; random ones need ``context.rng``.

        Raises:
            PluginError: a processor broke its contract, or raised.
            DistributionError: a processor returned NaN, +inf or an empty support.
            Undisclosed: the distribution does not disclose enough.
        """
        states = self.initial(context)
        return reshape(self.links, dist, context, states, context.rng).final

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
            states: as returned by `initial` or by the step before.
            randomness: the noise of this step, with its attempt in ``draw``.
            top: how many leading tokens each entry keeps.
            truncate: give up the tail where a question cannot be answered, instead of raising `Undisclosed`.
            forced: advance the states by this choice and not by the one drawn here; `resume` forces the recorded one.

        Returns:
            The final distribution, the choice, one entry per processor, and the states after this token.

        Raises:
            PluginError, DistributionError, Undisclosed: as `apply`; nothing is changed by a step that raised.
        """
        reshaped = self.reshape(dist, ctx, states, randomness, truncate=truncate)
        drawn, reshaped = reshaped.choose(randomness, truncate=truncate)
        choice, entries = reshaped.settle(drawn, top=top)
        return reshaped.final, choice, entries, reshaped.states_after(forced or choice)

    def reshape(
        self,
        dist: Distribution,
        ctx: Context,
        states: tuple[Any, ...],
        randomness: BoundRandomness,
        *,
        truncate: bool = False,
    ) -> Reshaped:
        """The first half of `step`: run the processors, which is all that the choice needs. Notes are made later.

        Raises:
            PluginError, DistributionError, Undisclosed: as `step`.
        """
        return reshape(self.links, dist, ctx, states, randomness, truncate=truncate)


def _listed(processors: Any) -> tuple[Callable[..., Any], ...]:
    if isinstance(processors, Chain):
        raise ParameterError("a chain is not a processor; join two with Chain([*one.processors, *other.processors])")
    if isinstance(processors, str):
        raise ParameterError(f"a chain that is written as text is read by Chain.of({processors!r})")
    if isinstance(processors, Mapping) and processors and all(map(registry.is_part, map(str, processors))):
        text = " ".join(f"{name}={value}" for name, value in processors.items())
        raise ParameterError(f"a chain is a text or a list of processors, not {brief(processors)}; write {text!r}")
    if isinstance(processors, bytes | Mapping):
        raise ParameterError(
            f"a chain is a text or a list of processors, not {brief(processors)}; build one by name with "
            "processor(...), or all from data with Chain.from_parts([...])"
        )
    if callable(processors):
        return (processors,)
    if not isinstance(processors, Iterable):
        raise ParameterError(
            f"a chain is a text, such as 'top_k=40 temperature=0.8', or a list of processors, not {brief(processors)}"
        )
    listed = tuple(processors)
    if len(listed) > 1 and all(isinstance(each, str) for each in listed):
        raise ParameterError(f"a chain of texts is written as one text: {brief(' '.join(listed))}")
    return listed


def _short(processor: Any) -> str:
    """A processor in a few words, on one line, behind its distribution where its name alone is another's."""
    described = registry.describe(processor)
    name = described["name"]
    front = registry.spelled("processors", name, described["distribution"]).removesuffix(name)
    shown = front + " ".join(repr(processor).split())
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 4]}...)"
