"""``/v1/responses``: a conversation in, an answer that the server draws out, with logprobs where the model gives them.

The newer API of OpenAI. It continues no answer, and has no penalties, bias, stop texts or seed.
Source: OpenAI's API reference, and the event types of openai-python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ParameterError, ProviderError
from decodekit_remote.dialect import Ask, Capabilities, Conversation, Dialect, Drawn, Entry, Reply, Request, ServerInfo
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import ending_of, listed_entries
from decodekit_remote.dialects.only_drawn import conversation_of, only

__all__ = ["OpenAIResponsesDialect"]


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
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        raise ParameterError("openai_responses continues no answer; its answers are drawn by the server")

    def reply(self, data: Any, question: Request) -> list[Reply]:
        raise ValueError("this dialect reads only answers that the server drew")

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        conversation: Conversation = conversation_of(question, self.name)
        body: dict[str, Any] = {
            "input": [dict(message) for message in conversation.messages],
            "max_output_tokens": question.tokens,
            "include": ["message.output_text.logprobs"],
            "top_logprobs": question.top,
            "store": False,
            "stream": True,
            **only(settings, ("temperature", "top_p"), self.name),
        }
        return "/v1/responses", body if question.model is None else {**body, "model": question.model}

    def drawn(self, data: Any) -> Drawn:
        """Events of other types, such as those of reasoning, are passed over."""
        kind = data["type"]
        if kind == "response.output_text.delta":
            listed = data.get("logprobs") or []
            if not listed:
                return Drawn([Entry(data["delta"])] if data["delta"] else ())
            return Drawn(listed_entries(listed, self.name))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            answer = data["response"]
            if kind == "response.failed":
                raise ProviderError(f"openai_responses: {str((answer.get('error') or {}).get('message'))[:200]}")
            reason = (answer.get("incomplete_details") or {}).get("reason")
            return Drawn((), ending_of(reason or "completed", self.name), str(answer.get("model") or ""))
        if kind == "error":
            raise ProviderError(f"openai_responses: {str(data.get('message'))[:200]}")
        if "function_call" in kind:
            raise ProviderError("openai_responses: the model calls a tool, which is not supported here")
        return Drawn(())

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]))
