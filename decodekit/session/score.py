"""How likely a continuation is: the results of `Session.score` and `Session.rank`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from decodekit.errors import ParameterError

__all__ = ["By", "Ranked", "Score", "Tokenised"]

By = Literal["total", "per_token", "per_byte"]
Tokenised = Literal["together", "apart", "given"]


@dataclass(frozen=True, slots=True)
class Score:
    """How likely each token of a continuation is, given the prompt and the tokens before it.

    Args:
        token_ids: the tokens of the continuation.
        logprobs: the log-probability of each, in nats; -inf for a token without probability.
        tokenised: where the ids come from. 'together': prompt and continuation were tokenised as one text, and the
            prompt's tokens are the first of it. 'apart': they would not be, so the continuation was tokenised by
            itself. 'given': they were given as ids.
        size: the number of UTF-8 bytes of the continuation's text; None where no tokenizer knows it.
        under_chain: the same tokens under the law of the chain that the call was given; None without one.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    tokenised: Tokenised
    size: int | None = None
    under_chain: Score | None = None

    @property
    def total(self) -> float:
        """The log-probability of the whole continuation, in nats."""
        return math.fsum(self.logprobs) if min(self.logprobs) > -math.inf else -math.inf

    @property
    def per_token(self) -> float:
        """The mean log-probability of a token, in nats."""
        return self.total / len(self.logprobs)

    @property
    def per_byte(self) -> float:
        """The log-probability for each byte of the text, in nats; comparable between tokenizers.

        Raises:
            ParameterError: the continuation has no bytes, or no tokenizer knows them.
        """
        if not self.size:
            raise ParameterError("per_byte: the continuation has no text, or there is no tokenizer to know it")
        return self.total / self.size

    @property
    def perplexity(self) -> float:
        """``exp(-per_token)``; inf for a continuation without probability."""
        return math.exp(-self.per_token) if self.per_token > -709 else math.inf

    def by(self, by: By) -> float:
        """`total`, `per_token` or `per_byte`."""
        return self.total if by == "total" else self.per_token if by == "per_token" else self.per_byte


@dataclass(frozen=True, slots=True)
class Ranked:
    """One of the candidates of `Session.rank`.

    Args:
        index: its place among the given ones.
        score: how likely it is. Where the call was given a chain, `Score.under_chain` decides.
        value: what it was ranked by, in nats: the total, or that divided by its tokens or bytes.
        probability: its share among the candidates: the softmax of their values.
    """

    index: int
    score: Score
    value: float
    probability: float
