"""DRY: penalise a token by the length of the repetition it would continue."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from decodekit import Choice, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.breakers import Breakers, overlapping
from decodekit_sampling.history import Scope, Window, named, recent
from decodekit_sampling.ngrams import completions
from decodekit_sampling.phrases import Phrase, tokenizer_of, within_each

__all__ = ["Dry"]

_LARGEST_LOG = np.float32(88.7228391)  # of a float32: where llama.cpp stops raising the base, and in its precision
_LONGEST_BREAKER = 40  # bytes


class Dry(Plugin):
    """Penalise every token that would continue a repetition; a longer repetition gives a larger penalty.

    A token continues a repetition of n tokens when the last n tokens also occur earlier in the history, followed by
    this token; the largest such n counts. A repetition does not extend back over a breaker. A breaker given as a text
    is found in every token that overlaps it (see `decodekit_sampling.breakers`), once per tokenizer; give token ids to
    name a sequence exactly. Control tokens have no text here: a breaker matches one only by its full name.

    Formula: s_i - dry * base ** (n_i - allowed_length) where n_i >= allowed_length
    Edges: 0 changes nothing; a token that is a breaker by itself is never penalised; the exponent stops where the power
    would overflow a float32, as in llama.cpp (there the product with the multiplier may still overflow, which bans the
    token).
    Source: the sampler of p-e-w (text-generation-webui pull request 5677); the formula is that of llama.cpp's ``dry``.
    Engines: llama.cpp. koboldcpp penalises breakers like other tokens, and penalises nothing while at most
    ``allowed_length`` tokens follow the last breaker (``law="koboldcpp"``). In llama.cpp a negative
    ``dry_penalty_last_n``, which once meant the whole context, silently switches DRY off; here a ``window`` is
    positive, or None for the whole history. Other engines use the name for a slightly different formula:
    text-generation-webui (at most 50 tokens), exllamav2 (times the number of occurrences), exllamav3 (a cap of 2,048)
    and aphrodite (n-grams of at most 12, 8 occurrences).
    Example: dry = 1.0, allowed_length = 1, breakers = []

    Raises:
        ParameterError: a breaker is a text and there is no tokenizer.
    """

    kind: ClassVar[Kind] = "penalty"

    dry: Annotated[float, Field(ge=0, le=1000)]
    base: Annotated[float, Field(ge=1, le=100)] = 1.75
    allowed_length: Annotated[int, Field(ge=0, le=1_000_000)] = 2
    window: Window | None = None
    scope: Scope = "both"
    breakers: Annotated[tuple[Phrase, ...], Field(strict=False, max_length=1000)] = ("\n", ":", '"', "*")
    law: Literal["llama.cpp", "koboldcpp"] = "llama.cpp"

    @field_validator("breakers")
    @classmethod
    def _short(cls, breakers: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        for breaker in breakers:
            if isinstance(breaker, str) and len(breaker.encode()) > _LONGEST_BREAKER:
                raise ValueError(f"a breaker has at most {_LONGEST_BREAKER} bytes, as in llama.cpp, which cuts it")
        return breakers

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that would continue a repetition, including those after a breaker."""
        ids = recent(ctx, self.scope, self.window)
        return named(completions(ids, ids[len(ids) - self.allowed_length :]) if len(ids) > self.allowed_length else ())

    def initial(self, ctx: Context) -> NDArray[np.int32]:
        """The matches within the prompt: for each position of the window, how many tokens that end there equal the
        tokens at the end, as int32[n]. O(window).
        """
        self._breakers(ctx)
        return _read_only(suffix_matches(recent(ctx, self.scope, self.window)))

    def __call__(self, dist: Distribution, ctx: Context, state: NDArray[np.int32]) -> Distribution:
        """Exact wherever the penalised tokens are disclosed."""
        within_each(dist, self.breakers, "breakers")
        ids = recent(ctx, self.scope, self.window)
        breakers = self._breakers(ctx)
        if self.dry == 0 or len(ids) <= self.allowed_length:
            return dist
        limit = breakers.since(ids)
        if limit < self.allowed_length or (self.law == "koboldcpp" and limit == self.allowed_length):
            return dist
        # No match extends back beyond the start of the window; the last position only matches itself.
        lengths = np.minimum(state, np.arange(1, len(ids) + 1))[:-1]
        ends = np.flatnonzero(lengths >= self.allowed_length)
        tokens, which = np.unique(ids[ends + 1], return_inverse=True)
        longest = np.zeros(len(tokens))
        np.maximum.at(longest, which, np.minimum(lengths[ends], limit))
        penalised = np.ones(len(tokens), dtype=bool) if self.law == "koboldcpp" else ~breakers.single(tokens)
        exponent = longest[penalised] - self.allowed_length
        if self.base > 1.000001:
            exponent = np.minimum(exponent, _LARGEST_LOG // np.log(np.float32(self.base)))
        return dist.add(tokens[penalised], -self.dry * self.base**exponent)

    def advance(self, state: NDArray[np.int32], choice: Choice, ctx: Context) -> NDArray[np.int32]:
        """A match grows by one if the token after it was chosen; otherwise it ends."""
        if self.scope == "prompt":
            return state
        ids = recent(ctx, self.scope, self.window)
        grown = np.zeros(len(ids) + 1, dtype=np.int32)
        grown[1:-1] = state[:-1]
        grown[:-1] += 1
        grown[:-1] *= ids == choice.token_id
        return _read_only(grown if self.window is None else grown[-self.window :])

    def _breakers(self, ctx: Context) -> Breakers:
        return cached_for(ctx.tokenizer, (Dry, self.breakers), lambda: self._resolved(ctx))

    def _resolved(self, ctx: Context) -> Breakers:
        sequences: list[tuple[int, ...]] = []
        for breaker in self.breakers:
            if isinstance(breaker, str):
                sequences += overlapping(tokenizer_of(ctx, f"the breaker {breaker!r}"), breaker)
            else:
                sequences.append(breaker)
        return Breakers(sequences)


def suffix_matches(ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """For each position, how many tokens that end there equal the tokens at the end; 0 for the last one itself.

    The Z-algorithm (Gusfield 1997, section 1.4) on the reversed ids: O(n).

    Args:
        ids: int64[n], oldest first.
    """
    text = ids[::-1].tolist()
    size = len(text)
    lengths = [0] * size
    left = right = 0  # the match [left, right) that reaches furthest
    for at in range(1, size):
        length = min(right - at, lengths[at - left]) if at < right else 0
        while at + length < size and text[length] == text[at + length]:
            length += 1
        lengths[at] = length
        if at + length > right:
            left, right = at, at + length
    return np.array(lengths[::-1], dtype=np.int32)


def _read_only(state: NDArray[np.int32]) -> NDArray[np.int32]:
    state.flags.writeable = False
    return state
