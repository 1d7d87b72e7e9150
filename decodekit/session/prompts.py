"""A prompt in any of its forms: text, token ids, chat messages, or a prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from decodekit.errors import ParameterError, brief, message_of
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.text.base import prompt_ids
from decodekit.text.tokenizer import Message
from decodekit.text.tool_call import ToolCall
from decodekit.text.utf8 import utf8

__all__ = ["Given", "Prompt", "are_conversations", "as_given", "as_prefix", "count_tokens"]

Prompt = str | Sequence[int] | Sequence[Message] | Prefix
Given = str | list[dict[str, Any]] | None


def as_prefix(adapter: Adapter | AsyncAdapter, prompt: Prompt, index: int = 0) -> Prefix:
    """A prompt in any of its forms as token ids, checked against the vocabulary.

    Raises:
        ParameterError: an empty prompt, an id outside the vocabulary, text or messages without a tokenizer, or
            something that is not a prompt.
    """
    where = f"prompt {index}"
    given: object = prompt
    if isinstance(given, bytes | bytearray) or not isinstance(given, str | Prefix | Sequence | np.ndarray):
        alone = "; a message stands in a list: [message]" if isinstance(given, Mapping) else ""
        forms = "text, a list of token ids, a list of messages or a Prefix"
        raise ParameterError(f"{where}: a prompt is {forms}, not {brief(prompt)}{alone}")
    first = given[0] if isinstance(given, Sequence) and not isinstance(given, str | Prefix) and len(given) else None
    if isinstance(first, str | Sequence | Prefix):
        what = "texts" if isinstance(first, str) else "lists"
        raise ParameterError(f"{where} is a list of {what}; several prompts are for generate_many")
    tokenizer = adapter.tokenizer
    if isinstance(prompt, Prefix):
        prefix = prompt
    elif isinstance(prompt, str) or (len(prompt) and isinstance(prompt[0], Mapping)):
        if tokenizer is None:
            raise ParameterError(f"{where}: this adapter has no tokenizer; give token ids")
        if isinstance(prompt, str):
            utf8(prompt, where)
            prefix = Prefix(prompt_ids(tokenizer, prompt))
        else:
            with _named(where):
                prefix = Prefix(tokenizer.encode_messages(_with_calls(prompt)))
    else:
        with _named(where):
            prefix = Prefix(prompt)  # type: ignore[arg-type]
    if len(prefix) == 0 and tokenizer is not None and tokenizer.bos_id is not None:
        prefix = Prefix([tokenizer.bos_id])
    if len(prefix) == 0:
        raise ParameterError(
            f"{where} is empty, and this model has no begin-of-text token to start from; give it a token"
        )
    size = adapter.info.vocab_size
    largest = int(prefix.since(0).max())
    if size is not None and largest >= size:
        raise ParameterError(f"{where}: token id {largest} lies outside the vocabulary of {size} tokens")
    return prefix


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Say which prompt a wrong one is."""
    try:
        yield
    except ParameterError as error:
        raise ParameterError(f"{where}: {message_of(error)}") from None


def count_tokens(adapter: Adapter | AsyncAdapter, prompt: Prompt) -> int:
    """How many tokens `generate` makes of a prompt; 0 for an empty text of a model without a begin-of-text token.

    Raises:
        ParameterError: as `as_prefix`; or the tokens are not known, because the server takes texts and no tokenizer is
            named.
    """
    tokenizer = adapter.tokenizer
    if isinstance(prompt, str) and not prompt and tokenizer is not None and tokenizer.bos_id is None:
        return 0
    if getattr(tokenizer, "whole_texts", False):
        raise ParameterError("this server takes texts, and its tokens are not known; name its tokenizer= to count them")
    return len(as_prefix(adapter, prompt))


def are_conversations(prompts: object) -> bool:
    """Whether these prompts, in a list, are all messages. Of an iterator that is not known before it is read."""
    return (
        isinstance(prompts, Sequence)
        and bool(prompts)
        and all(
            isinstance(prompt, Sequence) and len(prompt) > 0 and isinstance(prompt[0], Mapping) for prompt in prompts
        )
    )


def as_given(adapter: Adapter | AsyncAdapter, prompts: Sequence[Prompt]) -> list[Given] | None:
    """The prompts as given, for the record, if the tokenizer makes its own ids; None for all other tokenizers.

    Such a tokenizer has a method ``relearn``. It makes the ids, because the server takes texts or messages.
    """
    if not hasattr(adapter.tokenizer, "relearn"):
        return None
    return [_as_data(prompt) for prompt in prompts]


def _as_data(prompt: Prompt) -> Given:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Prefix) or len(prompt) == 0 or not isinstance(prompt[0], Mapping):
        return None
    return [dict(message) for message in _with_calls(prompt) if isinstance(message, Mapping)]


def _with_calls(messages: Sequence[Any]) -> list[Any]:
    """The messages with each `ToolCall` of their ``tool_calls`` as the part of a message that it is."""
    return [_written(message) if isinstance(message, Mapping) else message for message in messages]


def _written(message: Mapping[str, Any]) -> Mapping[str, Any]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple) or not any(isinstance(call, ToolCall) for call in calls):
        return message
    return {**message, "tool_calls": [call.as_message_part() if isinstance(call, ToolCall) else call for call in calls]}
