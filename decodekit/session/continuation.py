"""The token ids of a continuation: those that the model would see after the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decodekit.distribution import Distribution
from decodekit.errors import ConfigError, ParameterError, brief
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.session.prompts import Prompt, as_prefix
from decodekit.session.score import Tokenised
from decodekit.text.base import prompt_ids
from decodekit.text.labels import token_label
from decodekit.text.utf8 import utf8

__all__ = ["Continuation", "Tokens", "known_candidates", "prefix_and_tokens", "require_known_token", "tokens_of"]

Continuation = str | Sequence[int]
Tokens = tuple[tuple[int, ...], Tokenised, int | None]
"""The ids of a continuation, where they come from, and how many bytes their text has."""


def tokens_of(
    adapter: Adapter | AsyncAdapter, prompt: Prompt, prefix: Prefix, given: Continuation, where: str = "continuation"
) -> Tokens:
    """The tokens of a continuation.

    A text is tokenised together with a prompt that is text, or as the assistant's answer to one that is a conversation.
    The ids are then those that the model's own tokenizer gives for all of it, with the spaces that some add in front of
    a text and behind added tokens. Where the prompt's own tokens do not stay the first of these, or a chat template
    changes the text, the continuation is tokenised by itself, byte for byte. After ids it is always tokenised so.

    Args:
        adapter: the model.
        prompt: as it was given.
        prefix: its ids.
        given: text or token ids.
        where: its name, for errors.

    Raises:
        ParameterError: it is empty, has an id outside the vocabulary, is text and there is no tokenizer, or is neither.
    """
    tokenizer: Any = adapter.tokenizer
    if isinstance(given, str):
        if tokenizer is None:
            raise ParameterError(f"{where}: this adapter has no tokenizer; give token ids")
        size = len(utf8(given, where))
        ids = _together(tokenizer, prompt, prefix, given)
        tokenised: Tokenised = "apart" if ids is None else "together"
        ids = tokenizer.encode(given) if ids is None else ids
        if ids:
            return tuple(ids), tokenised, size
    else:
        ids = list(_ids(adapter, given, where))
        if ids:
            return tuple(ids), "given", None if tokenizer is None else len(tokenizer.decode(ids))
    raise ParameterError(f"{where} is empty: there is no token to score")


def require_known_token(tokenizer: Any, answer: Distribution, token_id: int) -> None:
    """Refuse to call a text impossible because a server without a tokenizer lists it as no token.

    Args:
        tokenizer: the model's.
        answer: what it shows.
        token_id: the token that is to be scored.

    Raises:
        ParameterError: one id stands for a whole text, and the server's own tokens are all known and it is none.
    """
    if not getattr(tokenizer, "whole_texts", False) or answer.hidden is not None or token_id in tokenizer.eos_ids:
        return
    if answer.token_ids is None or bool(np.isin(token_id, answer.token_ids)):
        return
    raise ParameterError(
        f"{token_label(tokenizer, token_id)} is no single token of this server, and how it splits texts is not known: "
        "name its tokenizer=, or give one token at a time"
    )


def known_candidates(given: Sequence[Continuation]) -> list[Continuation]:
    """Several continuations.

    Raises:
        ParameterError: there is none, or they are not several.
    """
    listed: object = given
    if isinstance(listed, str | bytes) or not isinstance(listed, Sequence) or len(listed) == 0:
        raise ParameterError("candidates is a list of texts, or of lists of token ids, with one at least")
    return list(given)


def _ids(adapter: Adapter | AsyncAdapter, given: Any, where: str) -> tuple[int, ...]:
    if isinstance(given, bytes | bytearray | Mapping | Prefix):
        raise ParameterError(f"{where} is text or a list of token ids, not {brief(given)}")
    try:
        ids = Prefix(given).token_ids
    except (TypeError, ParameterError):
        raise ParameterError(f"{where} is text or a list of token ids, not {brief(given)}") from None
    size = adapter.info.vocab_size
    if size is not None and max(ids, default=0) >= size:
        raise ParameterError(f"{where}: token id {max(ids)} lies outside the vocabulary of {size} tokens")
    return ids


def _together(tokenizer: Any, prompt: Prompt, prefix: Prefix, text: str) -> list[int] | None:
    """The ids of the text in one piece with the prompt; None where the prompt's tokens are not the first of these."""
    given: Any = prompt
    conversation = isinstance(given, Sequence) and len(given) > 0 and isinstance(given[0], Mapping)
    if isinstance(prompt, str):
        whole = prompt_ids(tokenizer, prompt + text)
    elif conversation:
        try:
            whole = tokenizer.encode_messages(_answered(given, text))
        except ConfigError:  # the template refuses it, or drops the text
            return None
    else:
        return None
    start = list(prefix.token_ids)
    ids = whole[len(start) :]
    if not ids or whole[: len(start)] != start:
        return None
    return None if conversation and tokenizer.decode(ids) != text.encode() else ids


def _answered(messages: Sequence[Any], text: str) -> list[Mapping[str, Any]]:
    """The conversation with this text as the assistant's answer, or at the end of the answer that has begun."""
    last = messages[-1]
    if last.get("role") != "assistant":
        return [*messages, {"role": "assistant", "content": text}]
    content = last.get("content")
    return [*messages[:-1], {**last, "content": f"{content}{text}"}] if isinstance(content, str) else list(messages)


def prefix_and_tokens(
    adapter: Adapter | AsyncAdapter, prompt: Prompt, candidates: Sequence[Continuation], *, several: bool
) -> tuple[Prefix, list[Tokens]]:
    """The prompt's prefix and the tokens of each continuation.

    Raises:
        ParameterError: as `as_prefix` and `tokens_of`.
    """
    prefix = as_prefix(adapter, prompt)
    names = [f"candidate {i}" if several else "continuation" for i in range(len(candidates))]
    return prefix, [tokens_of(adapter, prompt, prefix, *each) for each in zip(candidates, names, strict=True)]
