"""``/v1/chat/completions``: a conversation in, texts and bytes out, twenty tokens at most.

The API of OpenAI and compatible servers. -9999 means a token outside the twenty. How the values were processed is not
documented; the end of the turn may be missing from the alternatives. An answer can be continued only if the server
supports it (``prefill``); otherwise the server draws the answer, or one token is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ParameterError
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
from decodekit_remote.dialects.completions import (
    COUNTED,
    counts_of,
    first_choice,
    models_of,
    no_logprobs,
    without_logprobs,
)
from decodekit_remote.dialects.content import by_bytes, positions
from decodekit_remote.dialects.drawn_events import arguments_in, drawn_choice, refuses, text_in, uses_a_tool
from decodekit_remote.dialects.only_drawn import require_answers

__all__ = ["OpenAIChatDialect"]


class OpenAIChatDialect(Dialect):
    """Chat completions."""

    name = "openai_chat"
    capabilities = Capabilities(
        bytes_out=True,
        most_top=20,
        draft=True,
        stream=True,
        conversations=True,
        unlisted_below=-9999.0,
        draws=True,
        tools=True,
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """A text prompt is one message of the user."""
        (prompt,) = question.prompts
        conversation = Conversation(({"role": "user", "content": prompt},)) if isinstance(prompt, str) else prompt
        if not isinstance(conversation, Conversation):
            raise ParameterError("openai_chat takes a conversation, not token ids")
        require_answers(conversation, self.name)
        messages: list[dict[str, Any]] = [dict(message) for message in conversation.messages]
        body: dict[str, Any] = {
            "messages": messages,
            "max_tokens": question.tokens,
            "logprobs": True,
            "top_logprobs": question.top,
            "temperature": question.temperature or 0,
            "stream": question.stream,
        }
        if question.model is not None:
            body["model"] = question.model
        if conversation.answer_start and conversation.begun:
            content = messages[-1].get("content")
            if not isinstance(content, str):
                raise ParameterError("openai_chat continues an assistant message only if its content is a string")
            messages[-1]["content"] = content + conversation.answer_start
        elif conversation.answer_start:
            messages.append({"role": "assistant", "content": conversation.answer_start})
        if conversation.answer_start or conversation.begun:
            if question.prefill == "no":
                raise ParameterError(
                    "openai_chat: this server is not known to continue an assistant message; say how "
                    "with prefill='last_message', 'continue_final_message' or 'prefix', or use a completions dialect"
                )
            if question.prefill == "continue_final_message":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            elif question.prefill == "prefix":
                messages[-1]["prefix"] = True
        return "/v1/chat/completions", body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        choice = data["choices"][0]
        entries = (choice.get("logprobs") or {}).get("content")
        ended = choice.get("finish_reason") == "stop" and not choice["message"].get("content")
        found = [] if ended and not entries else positions(entries, by_bytes, self.name)
        return [
            Reply(
                found,
                cut=len(found) < len(entries or ()),
                model=str(data.get("model") or ""),
                build=str(data.get("system_fingerprint") or ""),
                **counts_of(data),
            )
        ]

    def event(self, data: Any, seen: int) -> Reply:
        """The first event may hold only the role, others only the usage, or no choices at all."""
        choice = first_choice(data)
        if choice is None:
            return Reply([], finished=False)
        finished = bool(choice.get("finish_reason"))  # "" stands for null in some proxies
        entries = (choice.get("logprobs") or {}).get("content")
        if not entries and (choice.get("delta") or {}).get("content"):
            raise no_logprobs(self.name)
        found = positions(entries, by_bytes, self.name) if entries else []
        return Reply(
            found,
            finished=finished,
            cut=len(found) < len(entries or ()),
            model=str(data.get("model") or ""),
            build=str(data.get("system_fingerprint") or ""),
            **counts_of(data),
        )

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        path, body = self.request(question)
        tools = question.tools
        if tools is not None:
            body["tools"] = tools.definitions()
            body |= {} if tools.choice is None else {"tool_choice": tools.chosen()}
        return path, {**(body if question.top else without_logprobs(body)), **COUNTED, **settings}

    def drawn(self, data: Any) -> Drawn:
        """A server that does not stream answers with the whole ``message`` in place of a ``delta``; some send both."""
        choice = first_choice(data)
        fault, calls = None, []
        for form in ("delta", "message") if choice is not None else ():
            said = choice.get(form) or {}
            if said.get("function_call") and not said.get("tool_calls"):
                fault = fault or uses_a_tool(self.name, "function_call")
            if said.get("refusal"):
                fault = fault or refuses(self.name, said["refusal"])
            calls += [self._part(each, at, form == "message") for at, each in enumerate(said.get("tool_calls") or ())]
        return drawn_choice(data, choice, str, self.name, fault)._replace(calls=calls)

    def _part(self, call: Any, at: int, whole: bool) -> CallPart:
        """A piece of a call, in a list with others; a whole message has no ``index``."""
        if call.get("type") not in ("function", None, ""):
            raise uses_a_tool(self.name, str(call["type"])[:40])
        place, function = None if whole else call.get("index"), call.get("function") or {}
        id_, name = str(call.get("id") or ""), text_in(function.get("name"))
        piece, part = arguments_in(function.get("arguments")), CallPart(at if place is None else int(place), id_, name)
        return part._replace(instead=piece, whole=True) if whole else part._replace(arguments=piece)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))
