"""The messages of a conversation: checked, and as the plain data that a chat template may see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import ParameterError, brief
from decodekit.text.marked import LAST, MESSAGE, Marked, joined
from decodekit.text.tokenizer import Message
from decodekit.text.utf8 import utf8

__all__ = ["checked_messages", "has_parts", "join_parts", "mark_last", "messages", "require_text"]

_DEEPEST = 100
_ROLE = re.compile(r"[\w .-]{0,64}")
_REASONING = ("reasoning_content", "thinking", "reasoning")


def messages(user: str, *, system: str | None = None) -> list[Message]:
    """A conversation that begins, as a prompt: ``session.generate(messages("What is rain?", system="Be brief."))``.

    Args:
        user: the user's message.
        system: the system message before it; none when None.

    Raises:
        ParameterError: one of them is no text.
    """
    given: dict[str, object] = {"system": system, "user": user}
    for role, text in given.items():
        if not isinstance(text, str) and not (text is None and role == "system"):
            raise ParameterError(f"messages: {role} is a text, not {text!r}; write a longer conversation as a list")
    return [{"role": role, "content": text} for role, text in given.items() if text is not None]


def checked_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as plain data whose texts are marked as such."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ParameterError(f"messages are a list of dicts with role and content, not {brief(messages)}")
    if not messages:
        raise ParameterError("messages is empty; give at least one message")
    checked = []
    for number, message in enumerate(messages):
        where = f"message {number}"
        if not isinstance(message, Mapping):
            raise ParameterError(f"{where} must be a dict with role and content, not {brief(message)}")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            raise ParameterError(f"{where} needs a 'role', such as 'user'; it has {role!r}")
        if content is None and not message.get("tool_calls"):  # templates fail at it, or write None
            raise ParameterError(f"{where} needs a 'content': a string or a list of parts; only 'tool_calls' need none")
        if not (content is None or isinstance(content, str | list | tuple)):
            raise ParameterError(f"{where} needs a 'content': a string or a list of parts, not {content!r}")
        given: Mapping[str, Any] = message
        data = {key: _data(value, where, 1) for key, value in given.items() if value is not None}
        if _ROLE.fullmatch(role):
            data["role"] = str.__str__(role)  # templates write it into their control tokens
        reasoning = next((data[key] for key in _REASONING if key in data), None)
        if reasoning is not None:  # models know it by several names
            data = {"thinking": reasoning, **data, "reasoning_content": reasoning}
        checked.append(data)
    return checked


def _data(value: Any, where: str, depth: int) -> Any:
    """A value as a template may see it: nothing but plain data, with marked texts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        utf8(value, where)
        return Marked(str.__str__(value), bytes([MESSAGE]) * len(value)) if value else ""
    if depth > _DEEPEST:
        raise ParameterError(f"{where} holds data in more than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {_data(key, where, depth + 1): _data(each, where, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_data(each, where, depth + 1) for each in value]
    raise ParameterError(f"{where} holds a {type(value).__name__}; a chat template sees plain data only")


def has_parts(messages: Sequence[Message]) -> bool:
    """Whether the content of a message is a list of parts, as OpenAI's API has it."""
    return any(isinstance(message.get("content"), list | tuple) for message in messages)


def require_text(messages: Any) -> None:
    """Refuse content that a model of texts does not see.

    Raises:
        ParameterError: a part is not ``{"type": "text", "text": ...}``.
    """
    for number, message in enumerate(messages if isinstance(messages, list | tuple) else ()):
        content = message.get("content") if isinstance(message, Mapping) else None
        for at, part in enumerate(content if isinstance(content, list | tuple) else ()):
            kind = part.get("type") if isinstance(part, Mapping) else part
            if kind != "text" or not isinstance(part.get("text"), str):
                what = "has no string 'text'" if kind == "text" else f"is of type {kind!r}"
                raise ParameterError(
                    f"message {number}: part {at} of its content {what}; this model reads parts "
                    "{'type': 'text', 'text': ...} only"
                )


def join_parts(messages: list[dict[str, Any]]) -> None:
    """Make one text of the texts in each content, a line each: for a template that reads a string there.

    vLLM and llama.cpp's server join them so too.
    """
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content):
            message["content"] = joined("\n", [part["text"] for part in content])


def mark_last(messages: list[dict[str, Any]]) -> None:
    """Mark the text that is to be continued: that of the last message, or of its last part that has one."""
    message = messages[-1]
    parts = message.get("content")
    holder, key = message, "content"
    if isinstance(parts, list):
        holder = next((part for part in reversed(parts) if isinstance(part, dict) and part.get("text")), {})
        key = "text"
    text = holder.get(key)
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(
            "the last message is the assistant's and has no text to continue; remove it, or add a message after it"
        )
    holder[key] = Marked(text, bytes([LAST]) * len(text))
