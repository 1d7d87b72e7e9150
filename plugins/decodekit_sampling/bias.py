"""A bias on chosen tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, WithJsonSchema, field_validator

from decodekit import Context, Disclosure, Distribution, ParameterError, Plugin, Tokenizer
from decodekit.log import get_logger
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer import TokenId
from decodekit.text.tokenizer_cache import cached_for

__all__ = ["LogitBias"]

_Bias = Annotated[float, Field(ge=-1000, le=1000)]
_Text = Annotated[str, Field(min_length=1, max_length=1000)]
_KEY = re.compile("[0-9]{1,18}")
_NO_TEXT = re.compile("-?[0-9]+")  # an integer is never a text
_SCHEMA = {
    "type": "object",
    "maxProperties": 100_000,
    "propertyNames": {"maxLength": 1000, "pattern": rf"^{_KEY.pattern}$|^(?!{_NO_TEXT.pattern}$)[\s\S]"},
    "additionalProperties": {"anyOf": [{"type": "number", "minimum": -1000, "maximum": 1000}, {"const": False}]},
}


class LogitBias(Plugin):
    """Add a bias in nats to the scores of tokens by id or text; ``false`` bans a token.

    A text stands for the token that the model's tokenizer makes of it, inside a longer text: ``" Paris"`` has a space.
    Markup such as ``<|im_end|>`` is the control token; digits alone are an id. One that is several tokens is refused.

    Formula: s_i + bias_i
    Edges: false is minus infinity; a token with probability 0 keeps it, whatever is added.
    Source: the OpenAI API's ``logit_bias``; ``false`` as in llama-server. There is no clipping to [-100, 100].
    Engines: most. llama.cpp adds it before everything else, SGLang after the grammar's mask; vLLM clips it to
    [-100, 100]; transformers has it as ``sequence_bias``.
    Example: logit_bias = {2 = 1.0, 0 = false}
    """

    kind: ClassVar[Kind] = "bias"

    logit_bias: Annotated[dict[TokenId | _Text, _Bias | bool], Field(max_length=100_000), WithJsonSchema(_SCHEMA)]

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _numbers_from_text(cls, value: Any) -> Any:
        """TOML and JSON keys are text: '42' is token 42."""
        if not isinstance(value, dict):
            return value
        wrong = [key for key in value if isinstance(key, str) and _NO_TEXT.fullmatch(key) and not _KEY.fullmatch(key)]
        if wrong:
            raise ValueError(f"{wrong[0]} is no token id")
        read = [(int(key) if isinstance(key, str) and _KEY.fullmatch(key) else key, key) for key in value]
        spelling: dict[Any, Any] = {}
        for token, key in read:
            if token in spelling:
                raise ValueError(f"token {token} is named twice, as {spelling[token]!r} and as {key!r}")
            spelling[token] = key
        return {token: value[key] for token, key in read}

    @field_validator("logit_bias")
    @classmethod
    def _no_true(cls, value: dict[int | str, float | bool]) -> dict[int | str, float | bool]:
        if True in [bias for bias in value.values() if isinstance(bias, bool)]:
            raise ValueError("a bias is a number, or false to ban the token")
        return value

    @property
    def needs(self) -> Disclosure | Callable[[Context], Disclosure]:
        """The named tokens; those of a text are known when the tokenizer is."""
        if any(isinstance(key, str) for key in self.logit_bias):
            return lambda ctx: Disclosure(None, tuple(self.ids(ctx.tokenizer).values()))
        return Disclosure(None, tuple(self.ids(None).values()))

    def ids(self, tokenizer: Tokenizer | None) -> Mapping[int | str, int]:
        """The id of each token that is named, by its id or text.

        Raises:
            ParameterError: a text without a tokenizer, or one that is not one token; or a token that is named twice.
        """
        if not any(isinstance(key, str) for key in self.logit_bias):
            return {key: key for key in self.logit_bias if isinstance(key, int)}
        return cached_for(tokenizer, (LogitBias, tuple(self.logit_bias)), lambda: self._found(tokenizer))

    def _found(self, tokenizer: Tokenizer | None) -> Mapping[int | str, int]:
        found: dict[int | str, int] = {}
        named: dict[int, int | str] = {}
        for key in self.logit_bias:
            token = key if isinstance(key, int) else _id_of(key, tokenizer)
            if token in named:
                raise ParameterError(f"logit_bias: token {token} is named twice, as {named[token]!r} and as {key!r}")
            named[token], found[key] = key, token
        texts = {key: token for key, token in found.items() if isinstance(key, str)}
        get_logger().debug("logit_bias: the ids of texts", ids=texts)
        return found

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the named tokens are disclosed."""
        values = [-math.inf if bias is False else float(bias) for bias in self.logit_bias.values()]
        return dist.add(list(self.ids(ctx.tokenizer).values()), values)


def _id_of(text: str, tokenizer: Tokenizer | None) -> int:
    """The one token that a text is. Raises `ParameterError` for none, and for several."""
    what = f"logit_bias: the text {text!r}"
    if tokenizer is None:
        raise ParameterError(f"{what} needs a tokenizer, and this adapter has none; give token ids")
    if getattr(tokenizer, "whole_texts", False):
        raise ParameterError(f"{what}: the tokens of this server are not known; name its tokenizer=, or give token ids")
    ids = tokenizer.encode(text, special=True)
    if len(ids) == 1:
        return ids[0]
    pieces = [f"{(tokenizer.token_bytes(i) or b'').decode('utf-8', 'backslashreplace')!r} ({i})" for i in ids]
    raise ParameterError(
        f"{what} is {len(ids)} tokens: {', '.join(pieces) or 'none'}. Name one of them, or bias the text with "
        "sequence_bias"
    )
