"""One part of a chain: its traits are read once; it is called, its answer checked, its errors named."""

from __future__ import annotations

from asyncio import CancelledError, current_task
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import iscoroutine
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Tail, Undisclosed
from decodekit.draw.context import Context
from decodekit.draw.randomness import PROCESSORS, BoundRandomness, Lanes, derive
from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import (
    ConfigError,
    DecodekitError,
    DistributionError,
    ParameterError,
    PluginError,
    brief,
    message_of,
)
from decodekit.plugin import registry
from decodekit.plugin.traits import Traits

__all__ = [
    "Applied",
    "Link",
    "blame",
    "call_processor",
    "call_sampler",
    "from_outside",
    "link_of",
    "refuse",
]

_TOSSES_KEPT = 16


@dataclass(frozen=True)
class Link:
    """A processor or sampler with all that is read from it once."""

    call: Any
    name: str
    traits: Traits
    key: int
    trusted: bool
    takes_many: bool = False  # it has the method `many`

    @property
    def shown(self) -> str:
        """The name in messages: with the distribution in front where another one has the name."""
        described = registry.describe(self.call)
        group = "samplers" if registry.is_sampler(self.call) else "processors"
        return registry.shown_name(group, described) if described["name"] == self.name else self.name


class Applied(NamedTuple):
    """The result of one processor.

    Args:
        link: the processor.
        before: what it was called with.
        after: what it returned.
        tosses: (lane, word) of the random numbers it drew.
        gave_up: the tail that was given up before it; None when none was.
    """

    link: Link
    before: Distribution
    after: Distribution
    tosses: tuple[tuple[int, int], ...]
    gave_up: Tail | None


def link_of(part: Any, seen: dict[str, int]) -> Link:
    """The link of a part; ``seen`` counts the parts of each name so far."""
    if not callable(part):
        raise ParameterError(f"{brief(part)} is no part of a chain: {_meant(part)}")
    if isinstance(part, type):
        raise ParameterError(
            f"a chain is made of instances, and {part.__name__} is a class. Build one: {part.__name__}(...), or "
            "processor(...) with the name of the plugin"
        )
    name = registry.name_of(part)
    if hasattr(part, "initial") and not hasattr(part, "advance"):
        raise ParameterError(
            f"{name!r} has initial and no advance: add advance(self, state, choice, ctx), which returns the next state"
        )
    if hasattr(part, "advance") and not hasattr(part, "initial"):
        raise ParameterError(
            f"{name!r} has advance and no initial: add initial(self, ctx), which returns the first state"
        )
    earlier = seen.get(name, 0)
    seen[name] = earlier + 1
    return Link(
        call=part,
        name=name,
        traits=Traits.of(part),
        key=derive(0, name, earlier),
        trusted=part in CORE_SAMPLERS.values(),
        takes_many=hasattr(part, "many"),
    )


def _meant(given: object) -> str:
    """What to write in place of something that is no plugin."""
    if isinstance(given, str) and registry.has_sampler(given):
        return f"a sampler is given as Chain(processors, sampler={given!r})"
    if isinstance(given, str):
        return f"write the whole chain as one text, chain={brief(given)}, or build each part with processor(name, ...)"
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return f"write processor({given[0]!r}, {given[0]}={given[1]!r})"
    if isinstance(given, Mapping):
        return "parts that are data are read by Chain.from_parts([{'name': 'top_k', 'top_k': 40}])"
    if hasattr(given, "processors"):
        return "two chains are joined by Chain([*one.processors, *other.processors])"
    return "a part is a function (dist, ctx), or is built with processor('top_k', top_k=40) or sampler('greedy')"


def call_processor(
    link: Link, dist: Distribution, ctx: Context, state: Any, rng: BoundRandomness | None
) -> tuple[Distribution, tuple[tuple[int, int], ...]]:
    """Call one processor and check its output. Returns it with the random words that were drawn."""
    if link.traits.needs_logits and dist.origin != "logits":
        raise PluginError(
            "its formula depends on the backend's own offset of the scores, and this adapter gives logprobs; "
            "use a processor that is defined on logprobs, or a backend that gives logits",
            plugin=link.shown,
            step=ctx.step,
        )
    noise = None
    if rng is not None and link.traits.random:
        key = link.key if rng.draw == 0 else derive(link.key, rng.draw)  # another attempt has other noise
        noise = _RecordedNoise(rng.source, rng.step, PROCESSORS, key)
        ctx = Context(ctx.prompt_ids, ctx.output_ids, ctx.tokenizer, ctx.metadata, noise)
    try:
        after = link.call(dist, ctx, state) if link.traits.stateful else link.call(dist, ctx)
    except BaseException as error:
        blame(error, link, ctx)
        raise
    if not isinstance(after, Distribution):
        raise PluginError(f"a processor returns a Distribution, {_instead(after)}", plugin=link.shown, step=ctx.step)
    if after.vocab_size != dist.vocab_size:
        raise PluginError(
            f"it turned a vocabulary of {dist.vocab_size} into one of {after.vocab_size}",
            plugin=link.shown,
            step=ctx.step,
        )
    return after, tuple(noise.tosses) if noise is not None else ()


def _instead(returned: object) -> str:
    """What a processor returned in place of a distribution, and what its author meant."""
    if returned is None:
        return "not None; end it with: return the distribution"
    if iscoroutine(returned):
        returned.close()
        return "not a coroutine; define it without async"
    if isinstance(returned, np.ndarray):
        return "not an array; dist.with_scores(array) makes one of it"
    return f"not {brief(returned)}"


def call_sampler(link: Link, dist: Distribution, ctx: Context, noise: BoundRandomness, state: Any) -> Any:
    """The sampler's answer, not yet checked."""
    try:
        return link.call(dist, ctx, noise, state) if link.traits.stateful else link.call(dist, ctx, noise)
    except BaseException as error:
        blame(error, link, ctx)
        raise


def refuse(error: Undisclosed, ran_once: str, step: int) -> DecodekitError:
    """The same `Undisclosed` again; or a `PluginError` once an impure part, which cannot run twice, has run.

    Args:
        error: what a part needs.
        ran_once: the name of the impure part that has run; '' when none has.
        step: the number of tokens generated before.
    """
    if not ran_once:
        return Undisclosed(error.need, error.question)
    return PluginError(f"it cannot run again on a larger answer, but {error}", plugin=ran_once, step=step)


def blame(error: BaseException, link: Link, ctx: Context) -> None:
    """Raise a plugin's error with its name and step; do nothing where it has both, or is `Undisclosed`.

    An attempt to end the process or the run is an error of the plugin, too. What comes from outside passes:
    ``KeyboardInterrupt``, and the ``CancelledError`` of a task that somebody cancels.
    """
    if from_outside(error):
        return
    if isinstance(error, DistributionError) and error.stage is None:
        raise type(error)(error.message, stage=link.shown, step=ctx.step) from error
    if isinstance(error, ConfigError):
        raise PluginError(message_of(error), plugin=link.shown, step=ctx.step) from error
    if not isinstance(error, DecodekitError):
        raise PluginError(
            f"raised {type(error).__name__}: {message_of(error)}", plugin=link.shown, step=ctx.step
        ) from error


def from_outside(error: BaseException) -> bool:
    """Whether an error that a plugin let through is not its own: an interrupt, or that its task is cancelled."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(from_outside, error.exceptions))
    if isinstance(error, CancelledError):
        return _is_cancelled()
    return not isinstance(error, Exception | SystemExit | GeneratorExit)


def _is_cancelled() -> bool:
    try:
        task = current_task()
    except RuntimeError:  # no loop runs in this thread
        return False
    return task is not None and task.cancelling() > 0


@dataclass(frozen=True, slots=True)
class _RecordedNoise(BoundRandomness):
    """A processor's noise that records the first words drawn from it."""

    tosses: list[tuple[int, int]] = field(default_factory=list)

    def words(self, lanes: Lanes) -> NDArray[np.uint64]:
        words = BoundRandomness.words(self, lanes)
        room = _TOSSES_KEPT - len(self.tosses)
        if room > 0:
            self.tosses.extend(zip(map(int, lanes[:room]), words[:room].tolist(), strict=True))
        return words
