"""``/v1/responses``: a conversation in, an answer that the server draws out, with logprobs where the model gives them.

The newer API of OpenAI. It continues no answer, and has no penalties, bias, stop texts or seed.
Source: OpenAI's API reference, and the event types of openai-python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Entry,
    Reply,
    Request,
    ServerInfo,
    Whole,
)
from decodekit_remote.dialects.completions import models_of
from decodekit_remote.dialects.drawn_events import (
    arguments_in,
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
_TEXTS = ("output_text", "text")  # the second of gateways
_REASONING = ("reasoning_text", "summary_text")


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
            return self._end(data, data.get("status") or "completed")
        place = tuple(int(data.get(name, 0)) for name in ("output_index", "content_index"))
        if kind == "response.output_text.delta":
            return Drawn(self._listed(data), text=text_in(data["delta"]), part=place)
        if kind == "response.output_text.done":
            return Drawn((), wholes=[Whole(text_in(data.get("text")), place, self._listed(data))])
        if kind in ("response.content_part.added", "response.content_part.done"):
            return self._parts([(place, data.get("part") or {})], early=kind.endswith("added"))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return self._end(data["response"], kind.removeprefix("response."))
        if kind == "error":
            raise ProviderError(f"openai_responses: {str(data.get('message'))[:200]}")
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._item(data.get("item") or {}, place[0], early=kind.endswith("added"))
        if kind == "response.function_call_arguments.delta":
            return Drawn((), calls=[CallPart(place[0], arguments=text_in(data["delta"]))])
        if kind == "response.function_call_arguments.done" and "output_index" in data:
            return Drawn((), calls=[CallPart(place[0], instead=text_in(data.get("arguments")))])
        if kind in ("response.refusal.delta", "response.refusal.done"):
            raise refuses(self.name, data.get("delta") or data.get("refusal"))
        if "_call" in kind and not kind.startswith("response.function_call_arguments"):
            raise uses_a_tool(self.name, kind[:60])
        return Drawn((), idle=kind == "keepalive")

    def _listed(self, part: Any) -> list[Entry]:
        return listed_entries(part.get("logprobs") or (), self.name)

    def _item(self, item: Any, place: int, *, early: bool = False) -> Drawn:
        """An item of the output, whole or at its beginning. Arguments of a call are empty at its beginning."""
        kind = item.get("type")
        if kind == "message":
            return self._parts([((place, at), part) for at, part in enumerate(item.get("content") or ())], early=early)
        if kind == "function_call":
            id_, name, whole = (
                str(item.get("call_id") or ""),
                text_in(item.get("name")),
                arguments_in(item.get("arguments")),
            )
            return Drawn((), calls=[CallPart(place, id_, name, instead=whole, whole=not early)])
        return Drawn((), fault=None if kind in ("reasoning", None) else uses_a_tool(self.name, str(kind)[:40]))

    def _parts(self, parts: Sequence[tuple[tuple[int, ...], Any]], *, early: bool = False) -> Drawn:
        """Parts of a message."""
        texts = [
            Whole(text_in(part.get("text")), place, self._listed(part), early)
            for place, part in parts
            if part.get("type") in _TEXTS
        ]
        others = [part for _, part in parts if part.get("type") not in (*_TEXTS, *_REASONING, None)]
        return Drawn((), wholes=texts, fault=self._not_read(others[0]) if others else None)

    def _not_read(self, part: Any) -> ProviderError:
        if part["type"] == "refusal":
            return refuses(self.name, part.get("refusal"))
        return ProviderError(f"{self.name}: the answer has a part of type {str(part['type'])[:40]!r}, which is no text")

    def _end(self, answer: Any, status: str) -> Drawn:
        """The complete answer, which has its whole output too. A server that does not stream sends nothing else."""
        reason = (answer.get("incomplete_details") or {}).get("reason") or status
        ends, fault = ending_of(reason, self.name)
        if status == "failed":
            fault = ProviderError(f"openai_responses: {str((answer.get('error') or {}).get('message'))[:200]}")
        counts = counts_in(answer.get("usage"), "input_tokens", "output_tokens")
        items = [self._item(item, at) for at, item in enumerate(answer.get("output") or ())]
        fault = fault or next((item.fault for item in items if item.fault is not None), None)
        texts = [whole for item in items for whole in item.wholes]
        whole = Whole("".join(each.text for each in texts), None, [entry for each in texts for entry in each.entries])
        calls = [call for item in items for call in item.calls]
        model = str(answer.get("model") or "")
        return Drawn((), ends, model, counts=counts, fault=fault, calls=calls, wholes=[whole])

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))
