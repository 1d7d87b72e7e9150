"""``/v1/messages`` of Anthropic: a conversation in, text out. There are no logprobs, so only texts are recorded.

Source: Anthropic's API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from decodekit.errors import ParameterError, ProviderError
from decodekit_remote.dialect import Ask, Capabilities, Dialect, Drawn, Entry, Reply, Request, ServerInfo
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import ending_of
from decodekit_remote.dialects.only_drawn import conversation_of, only

__all__ = ["AnthropicMessagesDialect"]

_LARGEST_TEMPERATURE = 1.0


class AnthropicMessagesDialect(Dialect):
    """Messages."""

    name = "anthropic_messages"
    capabilities = Capabilities(
        conversations=True, draws=True, draws_only="gives no logprobs, so it shows no distribution"
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
        given = only(settings, ("temperature", "top_p", "stop"), self.name)
        if given.get("temperature", 1.0) > _LARGEST_TEMPERATURE:
            raise ParameterError("sampler 'provider': anthropic_messages takes a temperature from 0 to 1")
        body: dict[str, Any] = {
            "messages": [dict(each) for each in conversation.messages if each.get("role") != "system"],
            "max_tokens": question.tokens,
            "stream": True,
            **{name: given[name] for name in ("temperature", "top_p") if given.get(name, 1.0) != 1.0},
        }
        system = [str(each["content"]) for each in conversation.messages if each.get("role") == "system"]
        if system:
            body["system"] = "\n\n".join(system)
        if "stop" in given:
            body["stop_sequences"] = given["stop"]
        return "/v1/messages", body if question.model is None else {**body, "model": question.model}

    def drawn(self, data: Any) -> Drawn:
        """A piece of text is recorded as one token, of which nothing is known but its text."""
        kind = data["type"]
        if kind == "content_block_start" and data["content_block"]["type"] == "tool_use":
            raise ProviderError("anthropic_messages: the model calls a tool, which is not supported here")
        if kind == "content_block_delta" and data["delta"]["type"] == "text_delta":
            return Drawn([Entry(data["delta"]["text"])])
        if kind == "message_delta":
            return Drawn((), ending_of(data["delta"].get("stop_reason"), self.name))
        return Drawn(())

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]))
