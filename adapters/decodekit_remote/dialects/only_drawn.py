"""What the dialects have in common whose answers only the server can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import ParameterError
from decodekit.text.tool_call import ToolCall
from decodekit_remote.dialect import Conversation, Request

__all__ = ["calls_in", "content_of", "conversation_of", "only", "require_answers", "text_of"]

_NOT_OF_THE_LAW = ("seed", "stop")  # a seed is not believed anyway, and a run looks for its stop texts itself
_ROLES = ("system", "developer", "user", "assistant", "tool")
_MORE = {"assistant": "tool_calls", "tool": "tool_call_id"}


def conversation_of(question: Request, name: str) -> Conversation:
    """The conversation of a question; a text is one message of the user.

    Raises:
        ParameterError: token ids, an answer that was begun, or a message with more than its content, calls of tools,
            or what it answers.
    """
    (prompt,) = question.prompts
    conversation = Conversation(({"role": "user", "content": prompt},)) if isinstance(prompt, str) else prompt
    if not isinstance(conversation, Conversation):
        raise ParameterError(f"{name} takes a conversation, not token ids")
    require_answers(conversation, name)
    if conversation.answer_start or conversation.begun:
        raise ParameterError(f"{name}: an answer that was begun cannot be continued; end with a message of the user")
    for at, message in enumerate(conversation.messages):
        if message.get("role") not in _ROLES:
            raise ParameterError(f"{name}: message {at} has the role {message.get('role')!r}; use {', '.join(_ROLES)}")
        role = message["role"]
        known = ("role", "content", *([_MORE[role]] if role in _MORE else ()))
        more = [key for key, value in message.items() if key not in known and value]
        if more:
            raise ParameterError(
                f"{name}: message {at} has {more[0]!r}; of a message of {role!r} only {', '.join(known)} are understood"
            )
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise ParameterError(f"{name}: message {at} has no 'tool_call_id', the id of the call that it answers")
    return conversation


def require_answers(conversation: Conversation, name: str) -> None:
    """Raises `ParameterError` where the last message calls tools: the answers to its calls are missing."""
    last = len(conversation.messages) - 1
    if conversation.begun and conversation.messages[last].get("tool_calls"):
        raise ParameterError(
            f"{name}: message {last} calls tools, and no answer follows; add call.answer(text) of each of its calls"
        )


def calls_in(message: Mapping[str, Any], name: str, at: int) -> list[ToolCall]:
    """The calls of tools in a message of the assistant, in OpenAI's format.

    Raises:
        ParameterError: one is not of this format.
    """
    calls = []
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") if isinstance(call, Mapping) else None
        parts = (
            [call.get("id"), function.get("name"), function.get("arguments")] if isinstance(function, Mapping) else []
        )
        known = [part for part in parts if isinstance(part, str)]
        if len(known) != 3:
            form = "{'id': ..., 'type': 'function', 'function': {'name': ..., 'arguments': a text of JSON}}"
            raise ParameterError(
                f"{name}: message {at}: tool_calls[{number}] is not of the form {form}; result.message has it"
            )
        calls.append(ToolCall(id=known[0], name=known[1], arguments=known[2]))
    return calls


def content_of(message: Mapping[str, Any], name: str, kind: str = "text") -> str | list[dict[str, str]]:
    """The content of a message: a text, or parts with their texts, of this type.

    Raises:
        ParameterError: it has no text, or a part of another type than 'text'.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence) or not content:
        raise ParameterError(f"{name}: a message of {message.get('role')!r} has no text: content is {content!r}")
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            found = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise ParameterError(f"{name}: a part of a message is {found!r}; only parts of type 'text' are understood")
    return [{"type": kind, "text": part["text"]} for part in content]


def text_of(message: Mapping[str, Any], name: str) -> str:
    """The text of a message; of parts, a line each. Raises `ParameterError` as `content_of`."""
    content = content_of(message, name)
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def only(settings: Mapping[str, Any], known: Sequence[str], name: str) -> dict[str, Any]:
    """Those of the settings that the API has. Raises `ParameterError` for another that the law needs."""
    foreign = [key for key in settings if key not in (*known, *_NOT_OF_THE_LAW)]
    if foreign:
        raise ParameterError(
            f"sampler 'provider': {name} has no {foreign[0]!r}; it takes temperature and top_p. Change the chain"
        )
    return {key: value for key, value in settings.items() if key in known}
