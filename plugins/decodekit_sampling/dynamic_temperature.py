"""Dynamic temperature: low where the model is sure, high where it is not."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import Context, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.temperature import at_temperature

__all__ = ["DynamicTemperature"]

_UNDERFLOW = 745.2  # this many nats below the largest score, a probability is 0 in float64


class DynamicTemperature(Plugin):
    """Divide every score by a temperature that depends on the entropy: low where the model is sure, high where it is
    not.

    It lies between ``low = max(0, dynamic_temperature - spread)`` and ``high = max(0, dynamic_temperature + spread)``;
    H is the entropy in nats, n the number of tokens that have probability. A negative spread reverses this: high where
    the model is sure.

    Formula: s_i / (low + (high - low) * (H / log(n)) ** exponent)
    Edges: a spread of 0 is plain temperature; a single token stays as it is. Where low or high is 0 and the other
    tokens have less probability than a float64 can hold, only the most likely token stays: the limit, as for
    temperature 0.
    Source: llama.cpp ``llama_sampler_init_temp_ext``; Zhu et al. 2023 (arXiv 2309.02772) for the idea.
    Engines: llama.cpp, koboldcpp, exllamav2, text-generation-webui and aphrodite; where they take a minimum and a
    maximum temperature, give half the sum as ``dynamic_temperature`` and half the difference as ``spread``. In
    llama.cpp and koboldcpp n counts masked tokens too, which lowers the temperature.
    Example: dynamic_temperature = 1.0, spread = 0.8
    """

    kind: ClassVar[Kind] = "reshaping"
    random: ClassVar[bool] = False

    argmax_invariant: ClassVar[bool] = True

    dynamic_temperature: Annotated[float, Field(ge=0, le=1000)]
    spread: Annotated[float, Field(ge=-1000, le=1000)] = 0.0
    exponent: Annotated[float, Field(ge=0, le=100)] = 1.0

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head that states its entropy and how many tokens have probability; `Undisclosed` otherwise."""
        if self.spread == 0:
            return at_temperature(dist, self.dynamic_temperature)
        if dist.support_size == 1:
            return dist
        share = min(1.0, dist.entropy / math.log(dist.support_size))
        low, high = (max(0.0, self.dynamic_temperature + spread) for spread in (-self.spread, self.spread))
        temperature = low + (high - low) * share**self.exponent
        dist.require_top(2)
        first, second = dist.ranked(2)[1]
        if min(low, high) == 0 and first - second > _UNDERFLOW * temperature:
            return dist.top(1)  # an entropy this close to 0 is too imprecise to scale the other scores
        return at_temperature(dist, temperature)
