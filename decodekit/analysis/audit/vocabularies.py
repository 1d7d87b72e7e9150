"""Whether two adapters mean the same by an id."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit.analysis.audit.material import Text
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter

__all__ = ["require_same_tokens"]


def require_same_tokens(one: Adapter, other: Adapter, texts: Sequence[Text]) -> None:
    """Raise `ParameterError` unless both have as many tokens, and those of the texts have the same bytes.

    Where an adapter has no tokenizer, or the size of its vocabulary is unknown, that is not looked at.
    """
    sizes = one.info.vocab_size, other.info.vocab_size
    if None not in sizes and sizes[0] != sizes[1]:
        raise ParameterError(f"against: the vocabularies have {sizes[0]} and {sizes[1]} tokens; no id can be compared")
    ours, theirs = one.tokenizer, other.tokenizer
    if ours is None or theirs is None:
        return
    if getattr(theirs, "whole_texts", False) and not getattr(ours, "whole_texts", False):
        raise ParameterError(
            "against: this server gives tokens as texts, and without their tokenizer no id can be compared; name it in "
            'a configuration: --against other.toml, with tokenizer = "the model or its file" in its [adapter]'
        )
    for token in sorted({token for text in texts for token in (*text.prompt.token_ids, *text.ids)}):
        left, right = ours.token_bytes(token), theirs.token_bytes(token)
        if left != right:
            raise ParameterError(f"against: token {token} is {left!r} here and {right!r} there; no id can be compared")
