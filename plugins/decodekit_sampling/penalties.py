"""Penalties on tokens that occurred before, in the prompt, in the output, or in both."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Context, Disclosure, Distribution, Plugin

__all__ = ["FrequencyPenalty", "PresencePenalty", "RepetitionPenalty"]

Scope = Literal["prompt", "output", "both"]
_Window = Annotated[int, Field(ge=1, le=10_000_000)]


def occurrences(ctx: Context, scope: Scope, window: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct ids of the scope and how often each occurs, both int64[n].

    Args:
        ctx: the ids so far.
        scope: which of them count.
        window: only this many of the most recent; None for all.
    """
    parts = {"prompt": (ctx.prompt_ids,), "output": (ctx.output_ids,), "both": (ctx.prompt_ids, ctx.output_ids)}[scope]
    history = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
    if window is not None:
        history = history[-window:]
    return np.unique(history, return_counts=True)


class _History(Plugin):
    scope: Scope = "both"
    window: _Window | None = None

    def needs(self, ctx: Context) -> Disclosure:
        """The penalised tokens by name; on a head they may lie in the tail."""
        ids, _ = occurrences(ctx, self.scope, self.window)
        return Disclosure(None, tuple(ids.tolist()))


class RepetitionPenalty(_History):
    """Divide positive scores of tokens that occurred by the penalty, multiply negative ones with it.

    The law depends on the backend's own offset, so it needs logits. ``law="logprobs"`` writes another law into the
    chain: every score is a log-probability, hence negative, and is multiplied.

    Formula: s_i / penalty where s_i > 0, s_i * penalty elsewhere, for tokens with c_i > 0
    Edges: 1 changes nothing; below 1 it rewards; a score of 0 stays, and so does a token without probability.
    Source: Keskar et al. 2019 (arXiv 1909.05858); signs as in transformers and llama.cpp.
    Engines: all, over other histories: prompt and output in transformers and vLLM, the output in SGLang and
    llama-cpp-python, the last 64 tokens in llama.cpp's server, the last 20 in mlx-lm; koboldcpp penalises the older
    half of its range less, and ExLlamaV3 lets the penalty decay.
    Example: repetition_penalty = 1.5
    """

    repetition_penalty: Annotated[float, Field(gt=0, le=100)]
    law: Literal["logits", "logprobs"] = "logits"

    @property
    def needs_logits(self) -> bool:
        return self.law == "logits"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        ids, _ = occurrences(ctx, self.scope, self.window)
        if len(ids) == 0 or self.repetition_penalty == 1:
            return dist
        scores = dist.scores_of(ids) if self.law == "logits" else dist.logprobs_of(ids)
        alive = scores > -np.inf
        ids, scores = ids[alive], scores[alive]
        penalised = np.where(scores > 0, scores / self.repetition_penalty, scores * self.repetition_penalty)
        return dist.add(ids, penalised - scores)


class FrequencyPenalty(_History):
    """Subtract the penalty once for every time a token occurred.

    Formula: s_i - penalty * c_i
    Edges: 0 changes nothing; below 0 it rewards.
    Source: the OpenAI API; llama.cpp ``penalties``. The default scope is the output, as in the API.
    Engines: most. vLLM and SGLang count the output; llama.cpp, text-generation-webui and mlx-lm a window that reaches
    into the prompt. TGI has two formulas of its own, one for a single request and one for a batch.
    Example: frequency_penalty = 1.0, scope = "both"
    """

    frequency_penalty: Annotated[float, Field(ge=-100, le=100)]
    scope: Scope = "output"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        ids, counts = occurrences(ctx, self.scope, self.window)
        return dist.add(ids, -self.frequency_penalty * counts) if self.frequency_penalty else dist


class PresencePenalty(_History):
    """Subtract the penalty from every token that occurred, however often.

    Formula: s_i - penalty where c_i > 0
    Edges: 0 changes nothing; below 0 it rewards.
    Source: the OpenAI API; llama.cpp ``penalties``. The default scope is the output, as in the API.
    Engines: most. vLLM and SGLang count the output; llama.cpp, text-generation-webui and mlx-lm a window that reaches
    into the prompt.
    Example: presence_penalty = 1.0, scope = "both"
    """

    presence_penalty: Annotated[float, Field(ge=-100, le=100)]
    scope: Scope = "output"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        ids, _ = occurrences(ctx, self.scope, self.window)
        return dist.add(ids, -self.presence_penalty) if self.presence_penalty else dist
