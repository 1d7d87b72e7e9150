"""``/v1/responses``: a conversation in, an answer that the server draws out, with logprobs where the model gives them.

The newer API of OpenAI. It continues no answer, and has no penalties, bias, stop texts or seed.
Source: OpenAI's API reference, and the event types of openai-python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ParameterError, ProviderError
from decodekit.text.tokenizer import Message
from decodekit_remote.dialect import Ask, Capabilities, Conversation, Dialect, Drawn, Reply, Request, ServerInfo
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import (
    calls_a_tool,
    counts_in,
    ending_of,
    listed_entries,
    refuses,
    text_in,
)
from decodekit_remote.dialects.only_drawn import content_of, conversation_of, only

__all__ = ["OpenAIResponsesDialect"]


_FEWEST = 16


class OpenAIResponsesDialect(Dialect):
    """Responses."""

    name = "openai_responses"
    capabilities = Capabilities(
        bytes_out=True,
        most_top=20,
        conversations=True,
        unlisted_below=-9999.0,
        draws=True,
        draws_only="continues no answer",
        takes=("temperature", "top_p"),
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        raise ParameterError("openai_responses continues no answer; its answers are drawn by the server")

    def reply(self, data: Any, question: Request) -> list[Reply]:
        raise ValueError("this dialect reads only answers that the server drew")

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The fewest tokens that OpenAI's API takes are 16; a run of fewer ends by itself."""
        conversation: Conversation = conversation_of(question, self.name)
        body: dict[str, Any] = {
            "input": [self._written(each) for each in conversation.messages],
            "max_output_tokens": max(_FEWEST, question.tokens),
            "include": ["message.output_text.logprobs"],
            "top_logprobs": question.top,
            "store": False,
            "stream": True,
            **only(settings, self.capabilities.takes, self.name),
        }
        return "/v1/responses", body if question.model is None else {**body, "model": question.model}

    def _written(self, message: Message) -> dict[str, Any]:
        kind = "output_text" if message["role"] == "assistant" else "input_text"
        return {"role": message["role"], "content": content_of(message, self.name, kind)}

    def drawn(self, data: Any) -> Drawn:
        """Events of other types, such as those of reasoning, are passed over."""
        kind = data.get("type")
        if kind is None and data.get("object") == "response":
            return self._whole(data)
        if kind == "response.output_text.delta":
            listed = listed_entries(data.get("logprobs") or (), self.name)
            place = data.get("output_index", 0), data.get("content_index", 0)
            return Drawn(listed, text=text_in(data["delta"]), part=tuple(map(int, place)))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return self._end(data["response"], kind.removeprefix("response."))
        if kind == "error":
            raise ProviderError(f"openai_responses: {str(data.get('message'))[:200]}")
        if kind == "response.output_item.added":
            return Drawn((), fault=self._fault_of(data.get("item") or {}))
        if kind == "response.refusal.delta":
            raise refuses(self.name, data.get("delta"))
        if "_call" in kind:
            raise calls_a_tool(self.name)
        return Drawn((), idle=kind == "keepalive")

    def _whole(self, answer: Any) -> Drawn:
        """The answer of a server that does not stream."""
        items = answer.get("output") or []
        faults = [fault for fault in map(self._fault_of, items) if fault is not None]
        written = [part for item in items if item.get("type") == "message" for part in item["content"]]
        parts = [part for part in written if part["type"] == "output_text"]
        faults += [refuses(self.name, part.get("refusal")) for part in written if part["type"] != "output_text"]
        listed = [entry for part in parts for entry in listed_entries(part.get("logprobs") or (), self.name)]
        text = "".join(text_in(part["text"]) for part in parts)
        end = self._end(answer, answer.get("status") or "completed")
        return end._replace(entries=listed, text=text, fault=next(iter(faults), end.fault))

    def _fault_of(self, item: Any) -> ProviderError | None:
        if item.get("type") in ("message", "reasoning", None):
            return None
        return calls_a_tool(self.name, str(item["type"])[:40])

    def _end(self, answer: Any, status: str) -> Drawn:
        reason = (answer.get("incomplete_details") or {}).get("reason") or status
        ends, fault = ending_of(reason, self.name)
        if status == "failed":
            fault = ProviderError(f"openai_responses: {str((answer.get('error') or {}).get('message'))[:200]}")
        counts = counts_in(answer.get("usage"), "input_tokens", "output_tokens")
        return Drawn((), ends, str(answer.get("model") or ""), counts=counts, fault=fault)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))
