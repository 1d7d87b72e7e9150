"""The law of an adapter: one verb, blocking or awaited, and what an adapter says of itself.

Neither class needs to be inherited from. `decodekit.testing.check_adapter` is the check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from decodekit.distribution import Distribution, Origin, Stage
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer

__all__ = ["Adapter", "AdapterInfo", "Answer", "AsyncAdapter"]

Answer = Distribution | DecodekitError


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What an adapter says of itself. It is written into every trace.

    Args:
        name: the adapter's registered name.
        model: what the user called the model.
        model_fingerprint: a digest that identifies the weights, or what the provider gives in its place; '' if unknown.
        tokenizer_fingerprint: a digest that identifies the vocabulary; '' if unknown.
        vocab_size: the number of tokens, or None when unknown.
        context_length: the longest prefix in tokens, or None when unknown.
        cheap: what `CHEAP` gets.
        most: the most that can be disclosed.
        stage: whether its distributions are raw.
        origin: whether its scores are logits or logprobs.
        deterministic: whether the same question in the same schedule has the same bits.
        schedule_invariant: the measured region in which the schedule does not move the bits; '' if none is known.
        versions: libraries that shape the numbers, with their versions.
        concurrency: how many sequences it serves well at once; a session keeps no more in flight.
        stochastic: whether the distribution itself is random, as with dropout left on; each distribution's schedule
            tells the seed of its noise and over how many passes it is an average.
    """

    name: str
    model: str
    model_fingerprint: str = ""
    tokenizer_fingerprint: str = ""
    vocab_size: int | None = None
    context_length: int | None = None
    cheap: Disclosure = CHEAP
    most: Disclosure = CHEAP
    stage: Stage = "raw"
    origin: Origin = "logits"
    deterministic: bool = False
    schedule_invariant: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 16
    stochastic: bool = False


@runtime_checkable
class Adapter(Protocol):
    """A model behind one verb.

    ``predict`` answers one item per prefix, in order: a distribution, or the error that befell this prefix alone. It
    raises only when the adapter itself is dead. Prefixes of one call may be ancestors of one another, may repeat and
    may come in any order; whatever the schedule, each has one answer in exact arithmetic. The answers of the last
    call stay askable, with the same bits, until a call for other prefixes. An adapter that cannot disclose what was
    asked answers with the most it has.

    A distribution that is handed out never changes, whatever the adapter computes next.
    """

    @property
    def info(self) -> AdapterInfo: ...
    @property
    def tokenizer(self) -> Tokenizer | None: ...

    def predict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]: ...

    def close(self) -> None: ...


@runtime_checkable
class AsyncAdapter(Protocol):
    """The same verb for a model that is waited for."""

    @property
    def info(self) -> AdapterInfo: ...
    @property
    def tokenizer(self) -> Tokenizer | None: ...

    async def apredict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]: ...

    async def aclose(self) -> None: ...
