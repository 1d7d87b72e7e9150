"""A draft: a smaller model with the same tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import decodekit
from decodekit import Adapter, ConfigError, Context, Disclosure, Distribution, ParameterError, Prefix, Tokenizer
from decodekit.model.asking import ask

__all__ = ["Draft"]


class Draft:
    """Guess what a smaller model would write: its most likely token, one after the other.

    No more tokens are computed than are asked for. The draft may be of any backend; each of its tokens must have the
    bytes of the same token of the model.

    Args:
        draft: an `Adapter` in this process, which you close; or a mapping as in a configuration
            (``{"type": "llamacpp", "model": ...}``): it is built here, and `close` closes it.

    Source: speculative decoding (arXiv 2211.17192) with a greedy draft, and without its random acceptance: a draw is a
        function of seed and step here, so a guess is right or wrong.
    Engines: llama.cpp's ``--model-draft``, vLLM's ``speculative_config``, transformers' ``assistant_model``.

    Raises:
        ParameterError: it is no adapter.
        ConfigError: in `check`: the tokens differ.
    """

    def __init__(self, *, draft: Any) -> None:
        self._owned = isinstance(draft, Mapping)
        if self._owned:
            draft = decodekit.adapter(**draft)
        if not callable(getattr(draft, "predict", None)):
            raise ParameterError(f"draft is an adapter in this process, or a mapping with its type, not {draft!r}")
        self._adapter: Adapter = draft
        self._accepted: set[str] = set()  # fingerprints of tokenizers

    def __repr__(self) -> str:
        return f"Draft({type(self._adapter).__name__})"

    def close(self) -> None:
        """Close the draft if it was built here."""
        if self._owned:
            self._adapter.close()

    def check(self, tokenizer: Tokenizer | None) -> None:
        """Refuse a model whose tokens are others."""
        own = self._adapter.tokenizer
        if own is None or tokenizer is None:
            if self._adapter.info.vocab_size is None or (own is None) != (tokenizer is None):
                raise ConfigError("draft: the tokens cannot be compared, because one of the models has no tokenizer")
            return
        if tokenizer.fingerprint in self._accepted:
            return
        if own.fingerprint != tokenizer.fingerprint:
            _compare(own, tokenizer)
        self._accepted.add(tokenizer.fingerprint)

    def guess(self, prefix: Prefix, ctx: Context) -> Iterator[int]:
        """The draft's own continuation, without end; it ends where the draft answers with an error."""
        while True:
            (answer,) = ask(self._adapter, [prefix], Disclosure(top=1))
            if not isinstance(answer, Distribution):
                return
            token_id = answer.mode
            yield token_id
            prefix = prefix.extend((token_id,))


def _compare(draft: Tokenizer, model: Tokenizer) -> None:
    """Raise where a token of the draft has other bytes than the same token of the model."""
    if draft.vocab_size != model.vocab_size:
        raise ConfigError(f"draft: it has {draft.vocab_size} tokens, and the model {model.vocab_size}")
    for token_id in range(model.vocab_size):
        ours, theirs = draft.token_bytes(token_id), model.token_bytes(token_id)
        if ours != theirs:
            raise ConfigError(f"draft: token {token_id} is {ours!r} there, and {theirs!r} in the model")
