"""Answers that call tools, as the three dialects stream them and as they give them whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.adapters.remote.scripted import anthropic, chunk, responses, streamed

__all__ = ["BONN", "CITY", "DIALECTS", "NOW", "ROME", "WEATHER", "said", "streamed_calls", "whole_calls"]

CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": CITY}}
DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages")

ROME: Any = ("c1", "weather", ('{"ci', 'ty": "Ro', 'me"}'))
BONN: Any = ("c2", "weather", ('{"city": "Bonn"}',))
NOW: Any = {"type": "function", "function": {"name": "now"}}

Call = tuple[str, str, Sequence[str]]
"""The id, the name, and the pieces of the arguments."""

_REASONS = {"openai_chat": "tool_calls", "openai_responses": "completed", "anthropic_messages": "tool_use"}
_ENDED = {"openai_chat": 1, "openai_responses": 1, "anthropic_messages": 2}  # how many events are the end
_CUT = {"openai_chat": "length", "openai_responses": "max_output_tokens", "anthropic_messages": "max_tokens"}


def streamed_calls(
    dialect: str, *calls: Call, text: str = "", cut: bool = False, end: str | None = None, broken: bool = False
) -> Any:
    """A stream with a text and calls.

    Args:
        dialect: whose.
        calls: the calls.
        text: before them.
        cut: it ends because of max_tokens.
        end: the reason of its end, in the API's word; that of calls, or of ``cut``, when None.
        broken: it has no end.
    """
    reason = end or (_CUT if cut else _REASONS)[dialect]
    events = {"openai_chat": _chat, "openai_responses": _responses, "anthropic_messages": _anthropic}[dialect](
        calls, text, reason
    )
    return streamed(events[: -_ENDED[dialect]] if broken else events, done=dialect == "openai_chat" and not broken)


def _chat(calls: Sequence[Call], text: str, reason: str) -> list[Any]:
    events = [chunk(text)] if text else []
    for at, (id_, name, pieces) in enumerate(calls):
        events.append(_added(index=at, id=id_, type="function", function={"name": name, "arguments": ""}))
        events += [_added(index=at, function={"arguments": piece}) for piece in pieces]
    return [*events, chunk(None, None, reason)]


def _added(**call: Any) -> Any:
    return chunk(None, None, None, content=None, tool_calls=[call])


def _responses(calls: Sequence[Call], text: str, reason: str) -> list[Any]:
    events: list[Any] = [{"type": "response.created", "response": {"status": "in_progress"}}]
    if text:
        place = {"output_index": 0, "content_index": 0}
        events.append({"type": "response.output_text.delta", "delta": text, "logprobs": [], **place})
    for at, (id_, name, pieces) in enumerate(calls, start=1):
        item = {"type": "function_call", "id": f"fc_{at}", "call_id": id_, "name": name, "arguments": ""}
        whole, kind = "".join(pieces), "response.function_call_arguments"
        events.append({"type": "response.output_item.added", "output_index": at, "item": item})
        events += [{"type": f"{kind}.delta", "output_index": at, "delta": piece} for piece in pieces]
        events.append({"type": f"{kind}.done", "output_index": at, "arguments": whole})
        done = {"output_index": at, "item": item | {"arguments": whole}}
        events.append({"type": "response.output_item.done", **done})
    status = "completed" if reason == "completed" else "incomplete"
    answer = {"status": status, "model": "m", "incomplete_details": {"reason": reason} if reason != status else None}
    return [*events, {"type": f"response.{status}", "response": answer}]


def _anthropic(calls: Sequence[Call], text: str, reason: str) -> list[Any]:
    events: list[Any] = [{"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9}}}]
    if text:
        events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        events.append(_delta(0, type="text_delta", text=text))
        events.append({"type": "content_block_stop", "index": 0})
    for at, (id_, name, pieces) in enumerate(calls, start=1):
        block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        events.append({"type": "content_block_start", "index": at, "content_block": block})
        events += [_delta(at, type="input_json_delta", partial_json=piece) for piece in ("", *pieces)]
        events.append({"type": "content_block_stop", "index": at})
    end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 12}}
    return [*events, end, {"type": "message_stop"}]


def _delta(at: int, **delta: Any) -> Any:
    return {"type": "content_block_delta", "index": at, "delta": delta}


def whole_calls(dialect: str, *calls: Call, text: str = "") -> Any:
    """The same in one piece, of a server that does not stream."""
    if dialect == "openai_chat":
        made = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": "".join(pieces)}}
            for id_, name, pieces in calls
        ]
        message = {"role": "assistant", "content": text or None, "tool_calls": made}
        data: Any = {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    elif dialect == "openai_responses":
        output: list[Any] = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
        for id_, name, pieces in calls:
            output.append({"type": "function_call", "call_id": id_, "name": name, "arguments": "".join(pieces)})
        data = {"object": "response", "status": "completed", "model": "m", "output": output}
    else:
        content: list[Any] = [{"type": "text", "text": text}] if text else []
        for id_, name, pieces in calls:
            given = json.loads("".join(pieces) or "{}")
            content.append({"type": "tool_use", "id": id_, "name": name, "input": given})
        data = {"type": "message", "model": "m", "stop_reason": "tool_use", "content": content}
    return 200, "application/json", [json.dumps(data).encode()]


def said(dialect: str, text: str) -> Any:
    """An answer without a call."""
    if dialect == "openai_chat":
        return streamed([chunk(text), chunk(None, None, "stop")])
    return streamed(responses((text, [])) if dialect == "openai_responses" else anthropic(text), done=False)
