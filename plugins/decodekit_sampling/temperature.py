"""Temperature: sharper below 1, flatter above."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import Context, Distribution, Plugin

__all__ = ["Temperature"]


class Temperature(Plugin):
    """Divide every score by the temperature.

    Formula: s_i / temperature
    Edges: at 0 only the largest score stays, the lowest id among equals: the limit, and what engines mean by greedy.
    Source: Ackley, Hinton and Sejnowski, 1985; llama.cpp ``llama_sampler_init_temp``.
    Engines: all, in other places: after the truncations in llama.cpp, llama-cpp-python, koboldcpp and mlx-lm, before
    them in transformers, vLLM, SGLang and TGI, where you say in ExLlamaV3 and text-generation-webui. At 0 transformers
    raises; vLLM below 1e-5 and SGLang below 1e-6 are greedy.
    Example: temperature = 0.5
    """

    argmax_invariant: ClassVar[bool] = True

    temperature: Annotated[float, Field(ge=0, le=1000)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """The whole distribution, reshaped; the bounds of a tail follow."""
        # Below this the reciprocal overflows against any real gap between scores: it is the limit already.
        return dist.top(1) if self.temperature < 1e-100 else dist.scaled(1 / self.temperature)
