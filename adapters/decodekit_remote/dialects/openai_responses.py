"""``/v1/responses``: a conversation in, an answer that the server draws out, with logprobs where the model gives them.

The newer API of OpenAI. It continues no answer, and has no penalties, bias, stop texts or seed.
Source: OpenAI's API reference, and the event types of openai-python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ParameterError, ProviderError
from decodekit.text.tokenizer import Message
from decodekit.text.tools import Tools
from decodekit_remote.dialect import (
    Ask,
    CallPart,
    Capabilities,
    Conversation,
    Dialect,
    Drawn,
    Reply,
    Request,
    ServerInfo,
)
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import (
    counts_in,
    ending_of,
    listed_entries,
    refuses,
    text_in,
    uses_a_tool,
)
from decodekit_remote.dialects.only_drawn import calls_in, content_of, conversation_of, only

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
        tools=True,
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        raise ParameterError("openai_responses continues no answer; its answers are drawn by the server")

    def reply(self, data: Any, question: Request) -> list[Reply]:
        raise ValueError("this dialect reads only answers that the server drew")

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The fewest tokens that OpenAI's API takes are 16; a run of fewer ends by itself."""
        conversation: Conversation = conversation_of(question, self.name)
        body: dict[str, Any] = {
            "input": [item for at, each in enumerate(conversation.messages) for item in self._written(each, at)],
            "max_output_tokens": max(_FEWEST, question.tokens),
            "include": ["message.output_text.logprobs"],
            "top_logprobs": question.top,
            "store": False,
            "stream": True,
            **only(settings, self.capabilities.takes, self.name),
            **self._tools(question.tools),
        }
        return "/v1/responses", body if question.model is None else {**body, "model": question.model}

    def _tools(self, tools: Tools | None) -> dict[str, Any]:
        """Definitions are flat here, and strict unless they say that they are not."""
        if tools is None:
            return {}
        written = [{"type": "function", "parameters": None, "strict": False, **each} for each in tools.functions]
        choice = tools.choice
        if choice is None:
            return {"tools": written}
        named = {"type": "function", "name": choice[0]} if isinstance(choice, tuple) else choice
        return {"tools": written, "tool_choice": named}

    def _written(self, message: Message, at: int) -> list[dict[str, Any]]:
        """The items of a message: its text, and each of its calls; or the answer to a call.

        llama-server knows a message of the assistant by its type, which OpenAI leaves optional.
        """
        if message["role"] == "tool":
            output = content_of(message, self.name, "input_text")
            return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}]
        items: list[dict[str, Any]] = []
        calls = calls_in(message, self.name, at)
        if message.get("content") or not calls:
            own = message["role"] == "assistant"
            said = content_of(message, self.name, "output_text" if own else "input_text")
            items.append({"role": message["role"], "content": said, **({"type": "message"} if own else {})})
        return items + [
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
            for call in calls
        ]

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
        if kind in ("response.output_item.added", "response.output_item.done"):
            item = data.get("item") or {}
            return Drawn((), fault=self._fault_of(item), calls=self._calls(item, data.get("output_index")))
        if kind == "response.function_call_arguments.delta":
            return Drawn((), calls=[CallPart(int(data.get("output_index", 0)), arguments=text_in(data["delta"]))])
        if kind == "response.refusal.delta":
            raise refuses(self.name, data.get("delta"))
        if "_call" in kind and not kind.startswith("response.function_call_arguments"):
            raise uses_a_tool(self.name, kind[:60])
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
        calls = [call for at, item in enumerate(items) for call in self._calls(item, at)]
        return end._replace(entries=listed, text=text, fault=next(iter(faults), end.fault), calls=calls)

    def _fault_of(self, item: Any) -> ProviderError | None:
        if item.get("type") in ("message", "reasoning", "function_call", None):
            return None
        return uses_a_tool(self.name, str(item["type"])[:40])

    def _calls(self, item: Any, place: int | None) -> list[CallPart]:
        """The call that an item is. Its arguments are whole at its end, and empty at its beginning."""
        if item.get("type") != "function_call":
            return []
        id_, name, whole = (text_in(item.get(key)) for key in ("call_id", "name", "arguments"))
        return [CallPart(int(place or 0), id_, name, instead=whole)]

    def _end(self, answer: Any, status: str) -> Drawn:
        reason = (answer.get("incomplete_details") or {}).get("reason") or status
        ends, fault = ending_of(reason, self.name)
        if status == "failed":
            fault = ProviderError(f"openai_responses: {str((answer.get('error') or {}).get('message'))[:200]}")
        counts = counts_in(answer.get("usage"), "input_tokens", "output_tokens")
        return Drawn((), ends, str(answer.get("model") or ""), counts=counts, fault=fault)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]))
