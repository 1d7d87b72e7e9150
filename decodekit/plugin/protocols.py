"""The contracts of processors and samplers, each in its docstring.

No plugin needs to inherit from these classes. `decodekit.testing` has a check for each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from decodekit.distribution import Distribution
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.model.prefix import Prefix

__all__ = [
    "Guesser",
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

    ``advance`` runs once for each chosen token, after the choice, and returns the next state, which is None only where
    ``initial`` returned None. With the attribute ``looks_back`` set to True it
    gets one more argument: the distribution that the processor was called with at this step.

    Two optional methods are for processors that allow only some texts:

    * ``complete(state)``: whether the text may end here;
    * ``forced(state)``: the next token ids, as far as they are all but certain, so that one call of the model may
      answer for all of them; what it says changes time and nothing else.
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


class Guesser(Protocol):
    """Says which tokens may come next, so that a model can be asked for several steps at once.

    What it says changes time and nothing else: the chain and the draw decide every token. It depends on the prefix and
    the context alone, though it may keep a cache. A guess may be of any length, and empty; no more tokens are taken
    from an iterator than are asked for. If it raises, or an id is none of the vocabulary's, it is switched off until
    the end of the run, with a warning.

    Optional attributes:

    * ``check(tokenizer)`` is called when a run starts; a `DecodekitError` from it refuses the model's tokenizer;
    * ``quick`` (bool): it computes so little that an event loop may wait for it; False: it is called in a thread.
    """

    def guess(self, prefix: Prefix, ctx: Context, /) -> Iterable[int]: ...
