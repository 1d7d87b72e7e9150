"""The shapes of the parts that plug in: adapters, tokenizers, processors, samplers. Each docstring is the law.

None of these needs to be inherited from. `decodekit.testing` has a check for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from decodekit.context import Context
from decodekit.disclosure import CHEAP, Disclosure
from decodekit.distribution import Distribution, Origin, Stage
from decodekit.errors import DecodekitError
from decodekit.prefix import Prefix
from decodekit.randomness import BoundRandomness
from decodekit.samplers import Choice

__all__ = [
    "Adapter",
    "AdapterInfo",
    "Answer",
    "AsyncAdapter",
    "Message",
    "Processor",
    "Sampler",
    "StatefulProcessor",
    "StatefulSampler",
    "Tokenizer",
]

Answer = Distribution | DecodekitError
Message = Mapping[str, str]


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


class Tokenizer(Protocol):
    """Text to token ids and back. Tokens are bytes: one may hold half a character.

    ``bos_id`` is the token a raw text prompt starts with; None when the model was trained without one.
    ``eos_ids`` end a generation.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def eos_ids(self) -> frozenset[int]: ...
    @property
    def bos_id(self) -> int | None: ...
    @property
    def fingerprint(self) -> str: ...

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Markup such as ``<|im_start|>`` is plain text unless ``special`` is true. Adds no BOS."""
        ...

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        Raises:
            ConfigError: the model has no template, or the template refuses the messages.
        """
        ...

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        ...

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token, which has no text."""
        ...


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
