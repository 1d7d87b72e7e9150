"""The contract of an adapter: one method, blocking or async, and a description of the adapter.

No adapter needs to inherit from these classes. `decodekit.testing.check_adapter` checks the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Protocol, runtime_checkable

from decodekit.distribution import Distribution, Origin, Stage
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import DecodekitError, ParameterError, brief
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer

__all__ = ["Adapter", "AdapterInfo", "Answer", "AsyncAdapter"]

Answer = Distribution | DecodekitError


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """The description of an adapter. It is written into every trace.

    Args:
        name: the adapter's registered name.
        model: the model as the user named it.
        model_fingerprint: a digest that identifies the weights, or what the provider gives in its place; '' if unknown.
        tokenizer_fingerprint: a digest that identifies the vocabulary; '' if unknown.
        vocab_size: the number of tokens, or None when unknown.
        context_length: the longest prefix in tokens, or None when unknown.
        cheap: what a question with `CHEAP` discloses.
        most: the most that can be disclosed.
        stage: whether its distributions are raw.
        origin: whether its scores are logits or logprobs.
        deterministic: whether the same question in the same schedule gives the same bits.
        schedule_invariant: the measured range of schedules that give the same bits; '' if none is known.
        versions: libraries that influence the numbers, with their versions.
        concurrency: how many sequences it serves well at once; a session runs at most this many at a time.
        stochastic: whether the distribution itself is random, for example with dropout left on; the schedule of each
            distribution gives the seed of its noise and the number of forward passes that were averaged.
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

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length"):
            given = getattr(self, name)
            if given is None:
                continue
            if isinstance(given, bool) or not hasattr(given, "__index__"):
                raise ParameterError(f"AdapterInfo: {name} must be an integer or None, not {brief(given)}")
            object.__setattr__(self, name, index(given))


@runtime_checkable
class Adapter(Protocol):
    """A model with one method.

    ``predict`` returns one item per prefix, in order: a distribution, or an error that concerns this prefix alone. It
    raises only when the adapter itself cannot work any more. Prefixes of one call may be ancestors of one another, may
    repeat and may come in any order; in exact arithmetic, the answer for a prefix does not depend on the schedule.
    The prefixes of the last call may be asked for again, with the same bits, until a call for other prefixes. An
    adapter that cannot disclose what was asked for answers with the most it has.

    A distribution that was returned never changes, whatever the adapter computes next.

    An adapter may have a true attribute ``overlaps``: ``predict`` then computes outside the interpreter's lock and
    leaves a core free, and a session records a step while the next one is computed. ``predict`` is called in a worker
    thread then, still once at a time, and may be at work when a session has left a stream: ``close`` waits for that.

    It may have an attribute ``caches``: true where it evaluates only what it has not evaluated before, false where it
    evaluates every prefix from its first token. Without it a session finds out. It may have a method
    ``cached_tokens(prefix) -> int | None``: how many leading tokens of a prompt need no evaluation, for `Result.usage`;
    None where that is not known. With ``caches`` it is called before the prompt is asked for, otherwise when the first
    answer is there. It must not wait.

    One that keeps more answers than those of the last call has a method ``forget()``: the next questions are answered
    anew then. What asks twice in order to compare calls it, and takes one answer object for one computation. It must
    not wait, and is not called while a question is open.

    It may have an attribute ``settings``, a mapping of names to JSON values: what its answers depend on besides the
    model's files, such as the number format. They are in the keys of results that are kept and found again; without
    them, two objects that differ in such a setting are one model there.
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
    """The same method as a coroutine."""

    @property
    def info(self) -> AdapterInfo: ...
    @property
    def tokenizer(self) -> Tokenizer | None: ...

    async def apredict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]: ...

    async def aclose(self) -> None: ...
