"""Only these tokens, or none of these."""

from __future__ import annotations

import math
from typing import ClassVar

from decodekit import CHEAP, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import NonEmptyTokenIds, named

__all__ = ["AllowedTokens", "BeginSuppressedTokens", "SuppressedTokens"]


class AllowedTokens(Plugin):
    """Keep these tokens and no others.

    Formula: -inf where i is none of them
    Edges: a token with probability 0 keeps it.
    Source: vLLM ``allowed_token_ids``.
    Engines: vLLM; transformers' ``prefix_allowed_tokens_fn`` silently makes them equally likely where none of them has
    probability left.
    Example: allowed_tokens = [0, 2, 4]

    Raises:
        EmptySupport: none of them has probability.
    """

    kind: ClassVar[Kind] = "mask"

    allowed_tokens: NonEmptyTokenIds

    @property
    def needs(self) -> Disclosure:
        return named(self.allowed_tokens)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.keep(self.allowed_tokens)


class SuppressedTokens(Plugin):
    """Ban these tokens.

    Formula: -inf where i is one of them
    Edges: an id beyond the vocabulary is an error.
    Source: transformers ``suppress_tokens``.
    Engines: transformers; SGLang as a custom processor; other engines by logit_bias.
    Example: suppressed_tokens = [0, 2]

    Raises:
        EmptySupport: no other token has probability.
    """

    kind: ClassVar[Kind] = "mask"

    suppressed_tokens: NonEmptyTokenIds

    @property
    def needs(self) -> Disclosure:
        return named(self.suppressed_tokens)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.add(self.suppressed_tokens, -math.inf)


class BeginSuppressedTokens(Plugin):
    """Ban these tokens as the first of the output.

    Formula: -inf where i is one of them, at the first step
    Edges: after the first step it changes nothing.
    Source: transformers ``begin_suppress_tokens``.
    Engines: transformers.
    Example: begin_suppressed_tokens = [0, 2]

    Raises:
        EmptySupport: no other token has probability.
    """

    kind: ClassVar[Kind] = "mask"

    begin_suppressed_tokens: NonEmptyTokenIds

    def needs(self, ctx: Context) -> Disclosure:
        """The banned tokens, at the first step."""
        return named(self.begin_suppressed_tokens) if ctx.step == 0 else CHEAP

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.add(self.begin_suppressed_tokens, -math.inf) if ctx.step == 0 else dist
