"""``/v1/messages`` of Anthropic: a conversation in, text out. There are no logprobs, so only texts are recorded.

Source: Anthropic's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from decodekit.errors import ParameterError, ProviderError
from decodekit_remote.dialect import Ask, Capabilities, Counts, Dialect, Drawn, Reply, Request, ServerInfo
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import calls_a_tool, counts_in, ending_of, refuses, text_in
from decodekit_remote.dialects.only_drawn import content_of, conversation_of, only, text_of

__all__ = ["AnthropicMessagesDialect"]

_LARGEST_TEMPERATURE = 1.0
_ABOVE = ("system", "developer")  # one field there, not messages


class AnthropicMessagesDialect(Dialect):
    """Messages."""

    name = "anthropic_messages"
    capabilities = Capabilities(
        conversations=True,
        draws=True,
        draws_only="gives no logprobs, so it shows no distribution",
        takes=("temperature", "top_p"),
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
        talk = [each for each in conversation.messages if each["role"] not in _ABOVE]
        body: dict[str, Any] = {
            "messages": [{"role": each["role"], "content": content_of(each, self.name)} for each in talk],
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
        return "/v1/messages", body if question.model is None else {**body, "model": question.model}

    def drawn(self, data: Any) -> Drawn:
        """A piece of text is recorded as one token, of which nothing is known but its text."""
        kind = data["type"]
        if kind == "message":  # of a server that does not stream
            text = "".join(text_in(block["text"]) for block in data["content"] if block["type"] == "text")
            faults = [fault for fault in map(self._fault_of, data["content"]) if fault is not None]
            end = self._end(data, data)
            return end._replace(text=text, fault=next(iter(faults), end.fault))
        if kind == "message_start":
            return self._end({}, data["message"])
        if kind == "content_block_start":
            return Drawn((), fault=self._fault_of(data["content_block"]))
        if kind == "content_block_delta" and data["delta"]["type"] == "text_delta":
            return Drawn((), text=text_in(data["delta"]["text"]), part=(int(data.get("index", 0)),))
        if kind == "message_delta":
            return self._end(data["delta"], data)
        return Drawn((), idle=kind == "ping")

    def _fault_of(self, block: Any) -> ProviderError | None:
        if block["type"] in ("text", "thinking", "redacted_thinking"):
            return None
        return calls_a_tool(self.name, str(block["type"])[:40])

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
