"""A bias on chosen tokens."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema, field_validator

from decodekit import Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer import TokenId

__all__ = ["LogitBias"]

_Bias = Annotated[float, Field(ge=-1000, le=1000)]
_KEY = re.compile("[0-9]{1,18}")
_SCHEMA = {
    "type": "object",
    "maxProperties": 100_000,
    "propertyNames": {"pattern": f"^{_KEY.pattern}$"},
    "additionalProperties": {"anyOf": [{"type": "number", "minimum": -1000, "maximum": 1000}, {"const": False}]},
}


class LogitBias(Plugin):
    """Add a bias in nats to the scores of tokens by id; ``false`` bans a token.

    Formula: s_i + bias_i
    Edges: false is minus infinity; a token with probability 0 keeps it, whatever is added.
    Source: the OpenAI API's ``logit_bias``; ``false`` as in llama-server. There is no clipping to [-100, 100].
    Engines: most. llama.cpp adds it before everything else, SGLang after the grammar's mask; vLLM clips it to
    [-100, 100]; transformers has it as ``sequence_bias``.
    Example: logit_bias = {2 = 1.0, 0 = false}
    """

    kind: ClassVar[Kind] = "bias"

    logit_bias: Annotated[dict[TokenId, _Bias | bool], Field(max_length=100_000), WithJsonSchema(_SCHEMA)]

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _numbers_from_text(cls, value: Any) -> Any:
        """TOML and JSON keys are text: '42' is token 42."""
        if not isinstance(value, dict):
            return value
        read = [(int(key) if isinstance(key, str) and _KEY.fullmatch(key) else key, key) for key in value]
        spelling: dict[Any, Any] = {}
        for token, key in read:
            if token in spelling:
                raise ValueError(f"token {token} is named twice, as {spelling[token]!r} and as {key!r}")
            spelling[token] = key
        return {token: value[key] for token, key in read}

    @field_validator("logit_bias")
    @classmethod
    def _no_true(cls, value: dict[int, float | bool]) -> dict[int, float | bool]:
        if True in [bias for bias in value.values() if isinstance(bias, bool)]:
            raise ValueError("a bias is a number, or false to ban the token")
        return value

    @property
    def needs(self) -> Disclosure:
        return Disclosure(None, tuple(self.logit_bias))

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the named tokens are disclosed."""
        values = [-math.inf if bias is False else float(bias) for bias in self.logit_bias.values()]
        return dist.add(list(self.logit_bias), values)
