"""``/v1/messages`` of Anthropic: a conversation in, text out. There are no logprobs, so only texts are recorded.

Source: Anthropic's API reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from decodekit.errors import ParameterError, ProviderError
from decodekit.text.tokenizer import Message
from decodekit.text.tools import Tools
from decodekit_remote.dialect import (
    Ask,
    CallPart,
    Capabilities,
    Counts,
    Dialect,
    Drawn,
    Reply,
    Request,
    ServerInfo,
    Whole,
)
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import counts_in, ending_of, refuses, text_in, uses_a_tool
from decodekit_remote.dialects.only_drawn import calls_in, content_of, conversation_of, only, text_of

__all__ = ["AnthropicMessagesDialect"]

_LARGEST_TEMPERATURE = 1.0
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_ABOVE = ("system", "developer")  # one field there, not messages


class AnthropicMessagesDialect(Dialect):
    """Messages."""

    name = "anthropic_messages"
    capabilities = Capabilities(
        conversations=True,
        draws=True,
        draws_only="gives no logprobs, so it shows no distribution",
        takes=("temperature", "top_p"),
        tools=True,
    )
    key_header = "x-api-key"
    headers: ClassVar[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        raise ParameterError("anthropic_messages gives no logprobs; its answers are drawn by the server")

    def reply(self, data: Any, question: Request) -> list[Reply]:
        raise ValueError("this dialect reads only answers that the server drew")

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Settings that change nothing are left out: its newer models refuse to get temperature and top_p together."""
        conversation = conversation_of(question, self.name)
        given = only(settings, (*self.capabilities.takes, "stop"), self.name)
        if given.get("temperature", 1.0) > _LARGEST_TEMPERATURE:
            raise ParameterError("sampler 'provider': anthropic_messages takes a temperature from 0 to 1")
        body: dict[str, Any] = {
            "messages": self._messages(conversation.messages),
            "max_tokens": question.tokens,
            "stream": True,
            **{name: given[name] for name in ("temperature", "top_p") if given.get(name, 1.0) != 1.0},
        }
        system = [text_of(each, self.name) for each in conversation.messages if each["role"] in _ABOVE]
        if system:
            body["system"] = "\n\n".join(system)
        stop = [text for text in given.get("stop", ()) if text.strip()]  # white space alone is refused
        if stop:
            body["stop_sequences"] = stop
        body |= self._tools(question.tools)
        return "/v1/messages", body if question.model is None else {**body, "model": question.model}

    def _tools(self, tools: Tools | None) -> dict[str, Any]:
        if tools is None:
            return {}
        written: list[dict[str, Any]] = []
        for function in tools.functions:
            own = {word: value for word, value in function.items() if word != "parameters"}
            schema = function.get("parameters") or {"type": "object", "properties": {}}
            written.append({**own, "input_schema": schema})
        choice = tools.choice
        if choice is None:
            return {"tools": written}
        if isinstance(choice, tuple):
            return {"tools": written, "tool_choice": {"type": "tool", "name": choice[0]}}
        return {"tools": written, "tool_choice": {"type": _CHOICES[choice]}}

    def _messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The conversation below the system text. Answers of tools that follow one another are one message there.

        A call whose arguments are no JSON object has none there; its answer says what the model wrote.
        """
        written: list[dict[str, Any]] = []
        before, odd = "", dict[str, str]()
        for at, message in enumerate(messages):
            role = message["role"]
            if role in _ABOVE:
                continue
            if role == "tool":
                answer: dict[str, Any] = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
                answer["content"] = content_of(message, self.name)
                if answer["tool_use_id"] in odd:
                    answer["content"] = _with_note(answer["content"], odd[answer["tool_use_id"]])
                if before == "tool":
                    written[-1]["content"].append(answer)
                else:
                    written.append({"role": "user", "content": [answer]})
            else:
                written.append({"role": role, "content": self._content(message, at, odd)})
            before = role
        return written

    def _content(self, message: Message, at: int, odd: dict[str, str]) -> Any:
        """The content of a message: its text, and its calls as parts. ``odd`` gets arguments that are no object."""
        calls = calls_in(message, self.name, at)
        if not calls:
            return content_of(message, self.name)
        parts: list[dict[str, Any]] = []
        if message.get("content"):
            said = content_of(message, self.name)
            texts = [{"type": "text", "text": said}] if isinstance(said, str) else said
            parts += [part for part in texts if part["text"].strip()]  # white space alone is refused
        for call in calls:
            if call.parsed is None:
                odd[call.id] = call.arguments
            parts.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.parsed or {}})
        return parts

    def drawn(self, data: Any) -> Drawn:
        """A piece of text is recorded as one token, of which nothing is known but its text."""
        kind, place = data["type"], int(data.get("index") or 0)
        if kind == "message":  # of a server that does not stream
            return self._message(data, data)
        if kind == "message_start":
            return self._message(data["message"], {}, early=True)
        if kind == "content_block_start":
            return self._block(data["content_block"], place, early=True)
        if kind == "content_block_stop" and data.get("content_block"):
            return self._block(data["content_block"], place)
        if kind == "content_block_delta" and data["delta"]["type"] == "input_json_delta":
            return Drawn((), calls=[CallPart(place, arguments=text_in(data["delta"].get("partial_json")))])
        if kind == "content_block_delta" and data["delta"]["type"] == "text_delta":
            return Drawn((), text=text_in(data["delta"]["text"]), part=(place,))
        if kind == "message_delta":
            return self._end(data["delta"], data)
        if kind == "message_stop" and data.get("message"):
            return self._message(data["message"], data["message"])
        return Drawn((), idle=kind == "ping")

    def _message(self, message: Any, end: Any, *, early: bool = False) -> Drawn:
        """A message: whole, or at its beginning, where it has no content yet, as the API is documented."""
        blocks = [self._block(block, at, early=early) for at, block in enumerate(message.get("content") or ())]
        said = "".join(whole.text for block in blocks for whole in block.wholes)
        calls = [call for block in blocks for call in block.calls]
        about = self._end(end, message)
        fault = next((block.fault for block in blocks if block.fault is not None), about.fault)
        return about._replace(fault=fault, calls=calls, wholes=[Whole(said, early=early)])

    def _block(self, block: Any, place: int, *, early: bool = False) -> Drawn:
        """A block of content: whole, or at its beginning."""
        said = [Whole(text_in(block.get("text")), (place,), early=early)] if block["type"] == "text" else []
        calls = [call._replace(whole=not early) for call in self._calls(block, place)]
        return Drawn((), fault=self._fault_of(block), calls=calls, wholes=said)

    def _fault_of(self, block: Any) -> ProviderError | None:
        if block["type"] in ("text", "thinking", "redacted_thinking", "tool_use"):
            return None
        return uses_a_tool(self.name, str(block["type"])[:40])

    def _calls(self, block: Any, place: int) -> list[CallPart]:
        """The call that a block is. In a stream its input is empty at first, and stays so without arguments."""
        if block["type"] != "tool_use":
            return []
        given = json.dumps(block.get("input") or {}, ensure_ascii=False)
        return [CallPart(place, text_in(block.get("id")), text_in(block.get("name")), instead=given)]

    def _end(self, delta: Any, event: Any) -> Drawn:
        """What an event says of the end of the message, and of its tokens."""
        ends, fault = ending_of(delta.get("stop_reason"), self.name)
        if delta.get("stop_reason") == "refusal":
            fault = refuses(self.name, "stop_reason is refusal")
        counts = counts_in(event.get("usage"), "input_tokens", "output_tokens")
        read, written = (
            counts_in(event.get("usage"), f"cache_{way}_input_tokens").prompt for way in ("read", "creation")
        )
        if counts.prompt is not None:  # the numbers from the cache are not in it
            counts = Counts(counts.prompt + (read or 0) + (written or 0), counts.completion, read)
        return Drawn((), ends, str(event.get("model") or ""), counts=counts, fault=fault)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))


def _with_note(content: str | list[dict[str, str]], arguments: str) -> list[dict[str, str]]:
    """The answer to a call, and what the call was: this API has no place for arguments that are no JSON object."""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    parts = [part for part in parts if part["text"]]  # an empty one is refused
    return [*parts, {"type": "text", "text": f"The arguments were no JSON object: {arguments}"}]
