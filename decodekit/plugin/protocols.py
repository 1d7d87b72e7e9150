"""The contracts of processors and samplers, each in its docstring.

No plugin needs to inherit from these classes. `decodekit.testing` has a check for each.
"""

from __future__ import annotations

from typing import Any, Protocol

from decodekit.distribution import Distribution
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness

__all__ = [
    "Processor",
    "Sampler",
    "StatefulProcessor",
    "StatefulSampler",
]


class Processor(Protocol):
    """A pure function from a distribution to a distribution.

    Optional attributes declare its properties, such as what to ask the adapter for: see
    `decodekit.plugin.traits.Traits`. ``name`` is its name in records; the function's own name by default.

    A stateless one that draws nothing may also have ``many(dists, ctxs)``, which returns for each row, to the last bit,
    what a call for that row returns. It is used where the rows of a batch cost less together than one by one.
    """

    def __call__(self, dist: Distribution, ctx: Context, /) -> Distribution: ...


class StatefulProcessor(Protocol):
    """A processor with a state, which is an explicit immutable value.

    ``advance`` runs once for each chosen token, after the choice. With the attribute ``looks_back`` set to True it
    gets one more argument: the distribution that the processor was called with at this step.
    """

    def initial(self, ctx: Context, /) -> Any: ...
    def __call__(self, dist: Distribution, ctx: Context, state: Any, /) -> Distribution: ...
    def advance(self, state: Any, choice: Choice, ctx: Context, /) -> Any: ...


class Sampler(Protocol):
    """A pure function from a distribution and a step's noise to a `Choice`."""

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness, /) -> Choice: ...


class StatefulSampler(Protocol):
    """A sampler with a state, as for `StatefulProcessor`."""

    def initial(self, ctx: Context, /) -> Any: ...
    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness, state: Any, /) -> Choice: ...
    def advance(self, state: Any, choice: Choice, ctx: Context, /) -> Any: ...
