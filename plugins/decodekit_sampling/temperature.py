"""Temperature: sharper below 1, flatter above."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, PlainSerializer, WithJsonSchema, WrapValidator

from decodekit import Context, Distribution, Plugin
from decodekit.plugin.traits import Kind

__all__ = ["Temperature", "at_temperature"]


def _or_infinite(value: Any, number: Any) -> Any:
    infinite = value == "inf" if isinstance(value, str) else isinstance(value, float) and value == math.inf
    return math.inf if infinite else number(value)


def _as_json(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else "inf"


_Degrees = Annotated[
    float,
    Field(ge=0, le=1000),
    WrapValidator(_or_infinite),
    PlainSerializer(_as_json, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1000}, {"const": "inf"}]}),
]


class Temperature(Plugin):
    """Divide every score by the temperature.

    Formula: s_i / temperature
    Edges: at 0 only the largest score stays, the lowest id among equals: the limit, and what engines mean by greedy. At
    infinity (``inf``, in JSON ``"inf"``) all tokens that have probability are equally likely: the other limit.
    Source: Ackley, Hinton and Sejnowski, 1985; llama.cpp ``llama_sampler_init_temp``.
    Engines: all, at different places: after the truncations in llama.cpp, llama-cpp-python, koboldcpp and mlx-lm,
    before them in transformers, vLLM, SGLang and TGI, at a place of your choice in exllamav3 and text-generation-webui.
    At 0 transformers gives an error; vLLM at 0 and SGLang below 1e-6 are greedy, and vLLM replaces a value between 0
    and 0.01 by 0.01.
    Example: temperature = 0.5
    """

    kind: ClassVar[Kind] = "temperature"
    random: ClassVar[bool] = False

    temperature: _Degrees

    @property
    def argmax_invariant(self) -> bool:
        return self.temperature < math.inf

    @property
    def leaves_one(self) -> bool:
        return self.temperature == 0

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """The reshaped distribution; the bounds of a tail are scaled too. At infinity `Undisclosed` on a tail."""
        return at_temperature(dist, self.temperature)


def at_temperature(dist: Distribution, temperature: float) -> Distribution:
    """The distribution at a temperature from 0 to infinity."""
    if temperature == math.inf:
        return dist.with_scores(np.where(dist.scores > -math.inf, 0.0, -math.inf))
    # Below this the reciprocal overflows against any real gap between scores: it is the limit already.
    return dist.top(1) if temperature < 1e-100 else dist.scaled(1 / temperature)
