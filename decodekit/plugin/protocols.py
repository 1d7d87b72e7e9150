"""The laws of processors and samplers. Each docstring is the law.

None of these needs to be inherited from. `decodekit.testing` has a check for each.
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

    Optional attributes, all read with a default:

    * ``name`` (str): what records call it; the function's own name by default;
    * ``needs`` (`Disclosure`, or a function of the context): what to ask the adapter for at first; `CHEAP`;
    * ``truncates`` (bool): what it gives has no tail, so nothing more is asked for what stands after it; False;
    * ``needs_logits`` (bool): the law depends on the backend's own offset, refuse logprobs; False;
    * ``revives`` (bool): may give probability to a token that had none; False;
    * ``pure`` (bool): False for a wrapped foreign callable with a memory of its own; it is never run twice for a step;
    * ``argmax_invariant`` (bool): never changes which token is most likely; False.
    """

    def __call__(self, dist: Distribution, ctx: Context, /) -> Distribution: ...


class StatefulProcessor(Protocol):
    """A processor with a memory, which it holds as an explicit immutable value.

    ``advance`` runs once for each chosen token, after the choice. With the attribute ``looks_back`` set to True it is
    given one argument more: the distribution that the processor was called with at this step.
    """

    def initial(self, ctx: Context, /) -> Any: ...
    def __call__(self, dist: Distribution, ctx: Context, state: Any, /) -> Distribution: ...
    def advance(self, state: Any, choice: Choice, ctx: Context, /) -> Any: ...


class Sampler(Protocol):
    """A pure function from a distribution and a step's noise to a `Choice`."""

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness, /) -> Choice: ...


class StatefulSampler(Protocol):
    """A sampler with a memory, held as for `StatefulProcessor`."""

    def initial(self, ctx: Context, /) -> Any: ...
    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness, state: Any, /) -> Choice: ...
    def advance(self, state: Any, choice: Choice, ctx: Context, /) -> Any: ...
