"""The context-keyed Gumbel sampler: the noise comes from a key and the tokens before, so the text bears a mark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, BoundRandomness, Choice, Context, Detection, Disclosure, Distribution, Undisclosed
from decodekit.draw.detection import log_gamma_tail
from decodekit.draw.samplers import multinomial
from decodekit_watermark.contexts import Ids, as_ids, windows
from decodekit_watermark.hashes import murmur_uniforms, philox_uniforms
from decodekit_watermark.keys import Keyed

__all__ = ["GumbelWatermark"]

_NONE = -1  # in place of an id before the beginning


class _Form(NamedTuple):
    """What an engine does.

    Args:
        uniforms: the number of each token, from key, contexts and ids.
        reads_prompt: whether the ids of the prompt stand in the first contexts.
        history: how far back a context is looked for (vLLM), or how many are marked (SGLang).
    """

    uniforms: Callable[[int, Ids, Ids], NDArray[np.float64]]
    reads_prompt: bool
    history: int


_FORMS: Mapping[str, _Form] = {
    "vllm": _Form(philox_uniforms, reads_prompt=False, history=8192),
    "sglang": _Form(murmur_uniforms, reads_prompt=True, history=4096),
}


class GumbelWatermark(Keyed):
    """Draw from the distribution with noise that a key and the tokens before determine; who has the key finds the mark.

    Put it after all that changes the distribution, as the sampler of the chain. Over all keys it draws exactly from the
    distribution; with one key, one context and one distribution it always draws the same token, as in the picture. Each
    context is used once: where the same tokens stood before already, at the beginning and after a rewind, it draws as
    `multinomial` does. The choice's ``draw`` is None where the key decided. A trace is 'consistent'; at level 'full'
    and with the key it is 'reproduced'.

    Args:
        gumbel_watermark: whose numbers, hash and rules: those of vLLM 0.32 or of SGLang 0.5.23.
        context_width: how many tokens before determine the noise.
        start: 'ordinary' draws the first ``context_width`` tokens without the key, so that the samples of one prompt
            differ. 'marked' begins at once, as both engines do: vLLM with a context of padding, the same for every
            text, SGLang with the last tokens of the prompt.
        history: vLLM looks for the context in the last 8,192 places; SGLang marks 4,096 contexts. None takes that
            number.

    Formula: argmax of s_i - log(-log(u_i)), u_i = hash(key, the last context_width ids, i)
    Edges: a context that was there before is drawn without the key; with start='ordinary' vLLM's form looks for it in
    the prompt too, as with deduplicate_contexts='all'. A phrase of ``ban`` that the key writes is an error, because it
    would be written again. SGLang writes its keys in hexadecimal; here they need 0x.
    Source: Aaronson 2022; vLLM 0.32 ``GumbelWatermarker``, SGLang 0.5.23 ``WatermarkState``.
    Engines: vLLM and SGLang. Their uniforms are the same to the last bit; they compare in float32, so another token may
    win where the margin is below about 1e-5. Their two keys at once (dual_key_gumbel, key_b) are not here.
    Example: gumbel_watermark = "vllm", context_width = 2, key = "public"

    Raises:
        ParameterError: the key is missing, or none.
    """

    mark: ClassVar[str] = "gumbel_watermark"

    gumbel_watermark: Literal["vllm", "sglang"]
    context_width: Annotated[int, Field(ge=1, le=64)] = 4
    start: Literal["ordinary", "marked"] = "ordinary"
    history: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

    @property
    def width(self) -> int:
        return self.context_width

    @property
    def scheme_name(self) -> str:
        return f"{self.mark}-{self.gumbel_watermark}"

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
        """On a head it returns the winner if no hidden token could beat it, as `multinomial` does."""
        context = None
        if randomness.draw == 0:  # after a rewind the key would choose the same token again
            context = self.context(
                np.asarray(ctx.prompt_ids, dtype=np.int64), np.asarray(ctx.output_ids, dtype=np.int64)
            )
        if context is None:
            return multinomial(dist, ctx, randomness)
        return _race(dist, lambda ids: self.uniforms(context, ids))

    def uniforms(self, contexts: Ids, ids: Ids) -> NDArray[np.float64]:
        """The numbers of these tokens, as float64[n] strictly inside (0, 1).

        Args:
            contexts: int64[1 or n, context_width], the ids before them; -1 where there is none.
            ids: int64[n], the tokens.
        """
        (key,) = self.secret
        return self._form.uniforms(key, contexts, ids)

    def context(self, prompt: Ids, output: Ids) -> Ids | None:
        """The tokens that determine the noise of the next one, as int64[1, context_width], -1 where there is none.

        None where it is drawn without the key.
        """
        rows = self._contexts(prompt, output)
        if rows is None:
            return None
        history = self._form.history if self.history is None else self.history
        earlier, current = rows[:-1], rows[-1]
        if self.gumbel_watermark == "vllm":
            earlier = earlier[-history:]
        elif len(earlier) >= history and len(np.unique(earlier, axis=0)) >= history:
            return None
        if len(earlier) and (earlier == current).all(axis=1).any():
            return None
        return rows[-1:]

    def _contexts(self, prompt: Ids, output: Ids) -> Ids | None:
        """The contexts so far in which one may be found again, the present one last; None for an ordinary draw."""
        width = self.context_width
        if self.start == "ordinary":
            ids = output if self._form.reads_prompt else np.concatenate([prompt, output])
            return None if len(output) < width else windows(ids[:width], ids[width:], width)
        before = np.full(width, _NONE)
        if self._form.reads_prompt:
            if not len(prompt) and not len(output):
                return None
            before = np.concatenate([before, prompt])[-width:]
        return windows(before, output, width)

    def detect(self, ids: Iterable[int], prompt_ids: Iterable[int] = ()) -> Detection:
        """Look for the mark in a text.

        Args:
            ids: the tokens of the text.
            prompt_ids: those of its prompt, if they are known; they are never scored. Without them, SGLang's form with
                start='marked' leaves out the first tokens.

        Returns:
            How many tokens count, one for each different context, and their sum of ``-ln(1 - u)``: Gamma(n, 1) in a
            text without the mark.
        """
        output, prompt = as_ids(ids), as_ids(prompt_ids)
        width = self.context_width
        if self.start == "ordinary" or (self._form.reads_prompt and not len(prompt)):
            rows = windows(output[:width], output[width:], width) if len(output) >= width else None
            return self._scored(output[width:], rows)
        return self._scored(output, self._contexts(prompt, output))

    def _scored(self, tokens: Ids, rows: Ids | None) -> Detection:
        """The tokens after each different context; ``rows`` has one more, which no token follows."""
        if rows is None or not len(tokens):
            return Detection(0, 0.0, 0.0)
        first = np.sort(np.unique(rows[:-1], axis=0, return_index=True)[1])
        if self._form.reads_prompt:
            first = first[: self.history or self._form.history]
        total = float((-np.log1p(-self.uniforms(rows[first], tokens[first]))).sum())
        return Detection(len(first), total, log_gamma_tail(total, len(first)))

    @property
    def _form(self) -> _Form:
        return _FORMS[self.gumbel_watermark]


def _race(dist: Distribution, uniforms: Callable[[Ids], NDArray[np.float64]]) -> Choice:
    """The largest score plus Gumbel noise; of equals the lowest id."""
    row, hidden = dist.row, dist.hidden
    ids = np.sort(row.support())
    perturbed = row.scores_of(ids) - row.max_score + _gumbel(uniforms(ids))
    first = int(perturbed.argmax())
    best, token = float(perturbed[first]), int(ids[first])
    second, runner_up = -math.inf, None
    if len(ids) > 1:
        perturbed[first] = -math.inf
        follower = int(perturbed.argmax())
        second, runner_up = float(perturbed[follower]), int(ids[follower])
    if hidden is not None:
        if row.vocab_size is None:
            raise Undisclosed(ALL, "a draw in which hidden tokens take part")
        possible = np.arange(row.vocab_size) if hidden.allowed is None else hidden.allowed.nonzero()[0]
        missing = np.setdiff1d(possible, row.ids if row.ids is not None else ids)
        reach = hidden.max_score - row.max_score + _gumbel(uniforms(missing))
        if (reach >= best).any():
            winners = tuple(missing[reach >= best].tolist())
            raise Undisclosed(
                Disclosure(max(len(row), hidden.disclosed), winners), "a draw that hidden tokens could win"
            )
        if reach.max(initial=-math.inf) >= second:  # a hidden token may be second
            second, runner_up = float(reach.max()), None
    return Choice(
        token_id=token,
        logprob=dist.logprob(token) if dist.knows_normalizer else None,
        score=best,
        margin=best - second,
        runner_up=runner_up,
    )


def _gumbel(uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    noise: NDArray[np.float64] = -np.log(-np.log(uniforms))
    return noise
