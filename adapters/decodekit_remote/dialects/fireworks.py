"""Fireworks' ``/v1/completions``: ids in, an id with every token, five tokens at most.

Written from its documentation, not recorded.
"""

from __future__ import annotations

from typing import Any

from decodekit_remote.dialect import Ask, Capabilities, Dialect, Reply, Request, ServerInfo, prompts_of
from decodekit_remote.dialects.completions import models_of, plain_body
from decodekit_remote.dialects.content import by_id, positions

__all__ = ["FireworksDialect"]


class FireworksDialect(Dialect):
    """Fireworks, with ids."""

    name = "fireworks"
    capabilities = Capabilities(ids_in=True, ids_out=True, bytes_out=True, most_top=5, batch=True, draft=True)

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """``logprob`` is read, not ``sampling_logprob``, which is computed after processing."""
        body = plain_body(question, prompts_of(question))
        return "/v1/completions", body | {"logprobs": True, "top_logprobs": question.top}

    def reply(self, data: Any, question: Request) -> list[Reply]:
        return [
            Reply(
                positions((choice.get("logprobs") or {}).get("content"), by_id, self.name),
                model=str(data.get("model") or ""),
            )
            for choice in sorted(data["choices"], key=lambda choice: int(choice["index"]))
        ]

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by the owner of its models."""
        listed = models_of(await ask("/v1/models"), model)
        if listed is None or listed.get("owned_by") != "fireworks":
            return None
        return ServerInfo(model=str(listed["id"]), context_length=listed.get("context_length"))
