"""Ollama's ``/api/generate``: raw text in, texts out, twenty tokens at most. Written from its sources, not recorded.

It uses a llama-server, but returns no ids and bytes; tokens that end inside a character come without a list.
"""

from __future__ import annotations

from typing import Any

from decodekit_remote.dialect import Ask, Capabilities, Dialect, Reply, Request, ServerInfo
from decodekit_remote.dialects.content import by_bytes, positions

__all__ = ["OllamaDialect"]


class OllamaDialect(Dialect):
    """Ollama's own API."""

    name = "ollama"
    capabilities = Capabilities(most_top=20, stage="raw", draft=True)

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        (prompt,) = question.prompts
        return "/api/generate", {
            "model": question.model,
            "prompt": prompt,
            "raw": True,
            "stream": False,
            "logprobs": True,
            "top_logprobs": question.top,
            "options": {
                "temperature": question.temperature or 0.0,
                "num_predict": question.tokens,
                "repeat_penalty": 1.0,
            },
        }

    def reply(self, data: Any, question: Request) -> list[Reply]:
        """A list may be missing in the middle without a sign: the texts of the tokens must add up to the whole text."""
        entries = data.get("logprobs")
        if not entries and data.get("done_reason") == "stop" and not data.get("response"):
            return [Reply([], model=str(data.get("model", "")))]
        found = positions(entries, by_bytes, self.name)
        texts = [str(entry["token"]) for entry in entries[: len(found)]]
        whole = "".join(texts) == data["response"]
        return [
            Reply(
                found if whole else found[:1] if data["response"].startswith(tuple(texts[:1])) else [],
                cut=not whole,
                model=str(data.get("model", "")),
                prompt_tokens=data.get("prompt_eval_count"),
            )
        ]

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by the list of its models."""
        listed = (await ask("/api/tags"))["models"]
        names = [entry["name"] for entry in listed]
        return ServerInfo(model=model or names[0]) if names else None
