"""How long an output may be: when the end is banned, favoured, or forced.

The end is the tokenizer's end-of-text tokens, or the ``eos_ids`` given.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from decodekit import CHEAP, Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import NonEmptyTokenIds, TokenId
from decodekit_sampling.penalties import Law
from decodekit_sampling.phrases import tokenizer_of

__all__ = ["ExponentialLengthDecay", "ForcedBos", "ForcedEos", "MaxLength", "MinLength", "MinNewTokens"]

_Length = Annotated[int, Field(ge=0, le=10_000_000)]
_LARGEST_LOG_GROWTH = 600.0  # a factor of 1e260: no score times it overflows


class _Ending(Plugin):
    """A processor that acts on the end of text: the ids given, or the tokenizer's."""

    eos_ids: Annotated[
        NonEmptyTokenIds | None, Field(description="the end; None: the tokenizer's end-of-text tokens")
    ] = None

    def _ends(self, ctx: Context) -> tuple[int, ...]:
        if self.eos_ids is not None:
            return self.eos_ids
        ends = tuple(sorted(tokenizer_of(ctx, "the end of text").eos_ids))
        if not ends:
            raise ParameterError("this tokenizer has no end-of-text token; give eos_ids")
        return ends

    def _active(self, ctx: Context) -> bool:
        raise NotImplementedError

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that end the text, at the steps where they matter."""
        return Disclosure(None, self._ends(ctx)) if self._active(ctx) else CHEAP


class _NotYet(_Ending):
    kind: ClassVar[Kind] = "mask"
    stop_ids: Annotated[NonEmptyTokenIds | None, Field(description="ids to ban in addition to the end")] = None

    def _ends(self, ctx: Context) -> tuple[int, ...]:
        return tuple(dict.fromkeys((*super()._ends(ctx), *(self.stop_ids or ()))))

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the ends are disclosed."""
        return dist.add(self._ends(ctx), -math.inf) if self._active(ctx) else dist


class MinLength(_NotYet):
    """Ban the end, and the ``stop_ids``, until prompt and output together have this many tokens.

    The options ``stop`` and ``stop_ids`` of a call act from the first token on, as with `min_new_tokens`.

    Formula: -inf for the ends while the length is below min_length
    Edges: 0 changes nothing.
    Source: transformers ``min_length``.
    Engines: transformers. vLLM counts the output (`min_new_tokens`), and silently allows the end where a grammar allows
    nothing else.
    Example: min_length = 10, eos_ids = [0]

    Raises:
        EmptySupport: nothing but an end has probability.
    """

    min_length: _Length

    def _active(self, ctx: Context) -> bool:
        return len(ctx.prompt_ids) + ctx.step < self.min_length


class MinNewTokens(_NotYet):
    """Ban the end, and the ``stop_ids``, until the output has this many tokens.

    A chain does not see the options ``stop`` and ``stop_ids`` of a call: they act from the first token on. Give such
    ids here too; for stop texts there is no minimum.

    Formula: -inf for the ends while the output is shorter than min_new_tokens
    Edges: 0 changes nothing.
    Source: transformers ``min_new_tokens``; vLLM ``min_tokens``.
    Engines: transformers and vLLM. vLLM silently allows the end where a grammar allows nothing else; since its pull
    request 22014 its stop strings wait for the minimum, too.
    Example: min_new_tokens = 10, eos_ids = [0]

    Raises:
        EmptySupport: nothing but an end has probability.
    """

    min_new_tokens: _Length

    def _active(self, ctx: Context) -> bool:
        return ctx.step < self.min_new_tokens


class MaxLength(_Ending):
    """Allow only the end as the last token that fits, and after it.

    The length counts prompt and output, or the ``output`` alone.

    Formula: -inf for all but the ends once the length is max_length - 1
    Edges: several end tokens keep their relative probabilities.
    Source: decodekit, so that a text ends before it is cut.
    Engines: transformers has it as ``forced_eos_token_id``, for the ids that it is given (`forced_eos`).
    Example: max_length = 4, eos_ids = [2, 4]

    Raises:
        EmptySupport: no end has probability there.
    """

    kind: ClassVar[Kind] = "mask"

    max_length: Annotated[int, Field(ge=1, le=10_000_000)]
    scope: Literal["output", "both"] = "both"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the ends are disclosed."""
        return dist.keep(self._ends(ctx)) if self._active(ctx) else dist

    def _active(self, ctx: Context) -> bool:
        length = ctx.step + (len(ctx.prompt_ids) if self.scope == "both" else 0)
        return length >= self.max_length - 1


class ForcedBos(Plugin):
    """Allow nothing but this token as the first of the output.

    Formula: -inf for all but this token, at the first step
    Edges: after the first step it changes nothing.
    Source: transformers ``forced_bos_token_id``.
    Engines: transformers, where it acts when the whole sequence is one token long: the first step of a decoder with an
    encoder, and never after a longer prompt. It gives the token probability where it has none.
    Example: forced_bos = 2

    Raises:
        EmptySupport: the token has no probability.
    """

    kind: ClassVar[Kind] = "mask"

    forced_bos: TokenId

    def needs(self, ctx: Context) -> Disclosure:
        """The token, at the first step."""
        return Disclosure(None, (self.forced_bos,)) if ctx.step == 0 else CHEAP

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the token is disclosed."""
        return dist.keep([self.forced_bos]) if ctx.step == 0 else dist


class ForcedEos(Plugin):
    """Allow nothing but these tokens where prompt and output are one token short of ``max_length``.

    Formula: -inf for all but these tokens where the length is max_length - 1
    Edges: several tokens keep their relative probabilities; ``equal`` makes them equally likely.
    Source: transformers ``forced_eos_token_id``.
    Engines: transformers, where they are equally likely, whether they had probability or not.
    Example: forced_eos = [2, 4], max_length = 4

    Raises:
        EmptySupport: none of them has probability.
    """

    kind: ClassVar[Kind] = "mask"

    forced_eos: NonEmptyTokenIds
    max_length: Annotated[int, Field(ge=1, le=10_000_000)]
    equal: bool = False

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens, at their step."""
        return Disclosure(None, self.forced_eos) if self._active(ctx) else CHEAP

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the tokens are disclosed."""
        if not self._active(ctx):
            return dist
        kept = dist.keep(self.forced_eos)
        return kept.with_scores(np.where(kept.scores > -math.inf, 0.0, -math.inf)) if self.equal else kept

    def _active(self, ctx: Context) -> bool:
        return len(ctx.prompt_ids) + ctx.step == self.max_length - 1


class ExponentialLengthDecay(_Ending):
    """Raise the score of the end more with every token after ``start`` tokens of output.

    The formula depends on the offset of the backend's scores, so it needs logits; ``law="logprobs"`` takes
    log-probabilities as scores.

    Formula: s_i + |s_i| * (exponential_length_decay ** n - 1) for the ends, with n the tokens since start
    Edges: 1 changes nothing; a factor below one delays the end; a score of exactly 0 never moves.
    Source: transformers ``exponential_decay_length_penalty``.
    Engines: transformers.
    Example: exponential_length_decay = 1.5, start = 0, eos_ids = [8]
    """

    kind: ClassVar[Kind] = "bias"

    exponential_length_decay: Annotated[float, Field(gt=0, le=100)]
    start: _Length
    law: Law = "logits"

    @property
    def needs_logits(self) -> bool:
        return self.law == "logits"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the ends are disclosed."""
        if not self._active(ctx):
            return dist
        ids = np.unique(self._ends(ctx))
        scores = dist.scores_of(ids) if self.law == "logits" else dist.logprobs_of(ids)
        ids, scores = ids[scores > -math.inf], scores[scores > -math.inf]
        growth = (ctx.step - self.start) * math.log(self.exponential_length_decay)
        return dist.add(ids, np.abs(scores) * math.expm1(min(growth, _LARGEST_LOG_GROWTH)))

    def _active(self, ctx: Context) -> bool:
        return ctx.step > self.start
