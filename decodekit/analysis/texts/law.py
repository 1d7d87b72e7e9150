"""The law of texts after a prompt, under a model and a chain: the distributions after many beginnings of a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decodekit.analysis.scores.forced import along
from decodekit.chain import Chain
from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import greedy
from decodekit.draw.whole import whole
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import blocking, connect
from decodekit.model.prefix import Prefix
from decodekit.session.law import law_of
from decodekit.session.prompts import Prompt, as_prefix
from decodekit.session.scoring import scoring_options

__all__ = ["AnyChain", "AnyModel", "Beginning", "Next", "TextLaw"]

AnyModel = Adapter | AsyncAdapter
AnyChain = Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first tokens of a text.

    Args:
        ids: the tokens after the prompt.
        logprob: their log-probability under the chain, in nats.
        ended: whether the last one ends the text.
        prefix: prompt and tokens.
        context: what a processor reads.
        states: those of the chain's parts.
    """

    ids: tuple[int, ...]
    logprob: float
    ended: bool
    prefix: Prefix
    context: Context
    states: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """The distributions of the token after a beginning.

    Args:
        before: the beginning.
        raw: the model's.
        law: the chain's, from which the sampler draws.
        reshaped: the step of the chain.
    """

    before: Beginning
    raw: Distribution
    law: Distribution
    reshaped: Reshaped


class TextLaw:
    """The law of texts that a model and a chain write after a prompt.

    Args:
        model: the adapter.
        prompt: as for `Session.generate`.
        chain: as for `Session.score`; None for the model's own law.
        stop_ids: tokens that end a text, as the end-of-text tokens of the model's tokenizer do.
        metadata: for the chain's processors.

    Raises:
        ParameterError: the prompt or the chain cannot be used.
    """

    def __init__(
        self,
        model: AnyModel,
        prompt: Prompt,
        *,
        chain: AnyChain = None,
        stop_ids: Sequence[int] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        options = scoring_options({"chain": Chain.of(chain), "metadata": metadata}, None)
        assert options.chain is not None
        self.adapter, self.chain = blocking(model), options.chain
        connect(self.adapter)
        tokenizer = self.adapter.tokenizer
        last = 2**63 - 1 if self.vocab_size is None else self.vocab_size - 1
        self.end_ids = frozenset(whole(each, "stop_ids: an id", 0, last) for each in stop_ids) | (
            frozenset() if tokenizer is None else frozenset(tokenizer.eos_ids)
        )
        prefix = as_prefix(self.adapter, prompt)
        context = Context(TokenIds(prefix.since(0)), TokenIds(), tokenizer, options.metadata or {})
        self.start = Beginning((), 0.0, False, prefix, context, self.chain.initial(context))

    @property
    def vocab_size(self) -> int | None:
        """The number of tokens, or None when unknown."""
        return self.adapter.info.vocab_size

    def after(self, beginnings: Collection[Beginning]) -> Iterator[Next]:
        """The distributions after each of these, in order, in as few questions as memory allows.

        Raises:
            Undisclosed: the adapter discloses too little for the chain.
            ParameterError: a processor draws random numbers.
            DecodekitError: the adapter's answer for a prefix, or an error of the chain.
        """
        answers = along(self.adapter, ((each.prefix, ()) for each in beginnings))
        for before, answer in zip(beginnings, answers, strict=True):
            yield self._next(before, answer)

    def _next(self, before: Beginning, answer: Distribution) -> Next:
        reshaped = self.chain.reshape(answer, before.context, before.states, Randomness(0).at(before.context.step))
        law = law_of(reshaped)
        return Next(before, answer, law.top(1) if self.chain.sampler is greedy else law, reshaped)

    def extended(self, after: Next, token_id: int) -> Beginning:
        """The beginning with one more token."""
        before, step = after.before, after.law.logprob(token_id)
        states = before.states
        if self.chain.stateful:
            choice, _ = after.reshaped.settle(Choice(token_id, step))
            states = after.reshaped.states_after(choice)
        ids = before.context.output_ids
        assert isinstance(ids, TokenIds)
        return Beginning(
            (*before.ids, token_id),
            before.logprob + step,
            token_id in self.end_ids,
            before.prefix.extend((token_id,)),
            Context(before.context.prompt_ids, ids.append(token_id), before.context.tokenizer, before.context.metadata),
            states,
        )

    def draw(self, after: Next, seed: int, stream: int) -> int:
        """The next token that `Session.generate` draws with this seed and stream."""
        choice, _ = after.reshaped.choose(Randomness(seed, stream).at(len(after.before.ids)))
        return choice.token_id

    @property
    def largest_entropy(self) -> float:
        """The entropy of the uniform law of one token, in nats; inf where the number of tokens is not known."""
        return math.inf if self.vocab_size is None else math.log(self.vocab_size)
