"""The old ``/v1/completions`` of OpenAI and compatible servers: lists keyed by text, five tokens or a few more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit_remote.dialect import Ask, Capabilities, Dialect, Drawn, Reply, Request, ServerInfo, Token, prompts_of
from decodekit_remote.dialects.completions import (
    COUNTED,
    first_choice,
    models_of,
    plain_body,
    read_choices,
    read_event,
    without_logprobs,
)
from decodekit_remote.dialects.drawn_events import drawn_choice

__all__ = ["OpenAICompletionsDialect", "text_key"]


class OpenAICompletionsDialect(Dialect):
    """Completions of OpenAI: text in, texts out; how the values were processed is not documented."""

    name = "openai_completions"
    capabilities = Capabilities(most_top=5, draft=True, stream=True, distinct_keys=True, draws=True)

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        return "/v1/completions", plain_body(question, prompts_of(question))

    def reply(self, data: Any, question: Request) -> list[Reply]:
        return read_choices(data, text_key, self.name, 0)

    def event(self, data: Any, seen: int) -> Reply:
        return read_event(data, text_key, self.name)

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        path, body = self.request(question)
        return path, {**(body if question.top else without_logprobs(body)), **COUNTED, **settings}

    def drawn(self, data: Any) -> Drawn:
        return drawn_choice(data, first_choice(data), text_key, self.name)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))


def text_key(key: str) -> Token:
    r"""A key. OpenAI writes a token that is not text as ``bytes:\xe2\x80``, which is exact."""
    if key.startswith("bytes:\\x"):
        return bytes.fromhex(key[6:].replace("\\x", ""))
    return key
