"""The old ``/v1/completions`` of OpenAI and compatible servers: lists keyed by text, five tokens or a few more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ProviderError
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
from decodekit_remote.dialects.content import is_joined
from decodekit_remote.dialects.drawn_events import drawn_choice

__all__ = ["OpenAICompletionsDialect", "text_key"]


class OpenAICompletionsDialect(Dialect):
    """Completions of OpenAI: text in, texts out; how the values were processed is not documented."""

    name = "openai_completions"
    capabilities = Capabilities(most_top=5, draft=True, stream=True, distinct_keys=True, draws=True)

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        return "/v1/completions", plain_body(question, prompts_of(question))

    def reply(self, data: Any, question: Request) -> list[Reply]:
        return read_choices(_in_four_lists(data), text_key, self.name, 0)

    def event(self, data: Any, seen: int) -> Reply:
        event = _in_four_lists(data)
        scored = (first_choice(event) or {}).get("logprobs") or {}
        if None in (scored.get("top_logprobs") or ()):
            raise ProviderError(f"{self.name}: a token that is part of a character came without a list")
        return read_event(event, text_key, self.name)

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        path, body = self.request(question)
        return path, {**(body if question.top else without_logprobs(body)), **COUNTED, **settings}

    def drawn(self, data: Any) -> Drawn:
        return drawn_choice(data, first_choice(data), text_key, self.name)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        return None if listed is None else ServerInfo(model=str(listed["id"]), engine=str(listed.get("owned_by") or ""))


def _in_four_lists(data: Any) -> Any:
    """Choices whose lists have the form of chat answers, as llama-server's have, in the form of completions."""

    def changed(choice: Any) -> Any:
        entries = (choice.get("logprobs") or {}).get("content")
        if entries is None:
            return choice
        tops = [
            None if is_joined(each) else {_key(top): top["logprob"] for top in each["top_logprobs"]} for each in entries
        ]
        return {**choice, "logprobs": {"tokens": [_key(each) for each in entries], "top_logprobs": tops}}

    return {**data, "choices": [changed(choice) for choice in data.get("choices") or ()]}


def _key(entry: Any) -> str:
    """The key of a token, which `text_key` reads: its text, or its bytes where they are no text."""
    written = entry.get("bytes")
    try:
        return bytes(written).decode() if written else str(entry["token"])
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in written)


def text_key(key: str) -> Token:
    r"""A key. OpenAI writes a token that is not text as ``bytes:\xe2\x80``, which is exact."""
    if key.startswith("bytes:\\x"):
        return bytes.fromhex(key[6:].replace("\\x", ""))
    return key
