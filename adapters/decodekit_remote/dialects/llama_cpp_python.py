"""llama-cpp-python's server: text in, and lists keyed by text with undecodable bytes left out.

Recorded from 0.3.36. Raw values; a list longer than the vocabulary is cut. " " is the text of the space, and also of a
space with half an emoji, so such keys are equal and only the last one stays. Its ``echo`` gives every score to the
token after it when the model adds no BOS, and is not used. ``logit_bias`` changes the choice but no value, so it is
used to prevent tokens that would end the text.
"""

from __future__ import annotations

from typing import Any

from decodekit_remote.dialect import Ask, Capabilities, Dialect, Reply, Request, ServerInfo, prompts_of
from decodekit_remote.dialects.completions import models_of, plain_body, read_choices, read_event

__all__ = ["LlamaCppPythonDialect"]


class LlamaCppPythonDialect(Dialect):
    """python -m llama_cpp.server."""

    name = "llama_cpp_python"
    capabilities = Capabilities(
        most_top=100_000, stage="raw", draft=True, stream=True, distinct_keys=True, lossy="ignore"
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        body = plain_body(question, prompts_of(question)) | {"top_k": 1, "repeat_penalty": 1.0}
        if question.unwanted:
            body["logit_bias"] = {str(token): -100 for token in question.unwanted}
        return "/v1/completions", body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        return read_choices(data, str, self.name, 0)

    def event(self, data: Any, seen: int) -> Reply:
        return read_event(data, str, self.name)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by a route to count tokens, which only this server has."""
        listed = models_of(await ask("/v1/models"), model)
        if listed is None or "count" not in await ask("/extras/tokenize/count", {"input": "."}):
            return None
        return ServerInfo(model=str(listed["id"]), tokenizes=True, engine=str(listed.get("owned_by") or ""))

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        return "/extras/tokenize", {"input": text}
