"""Text Generation Inference's ``/generate``: text in, ids out, five tokens at most.

Written from its documentation, not recorded.

Values are those after penalties and warpers; none is requested here, and the probe finds out whether the values are
raw.
"""

from __future__ import annotations

from typing import Any

from decodekit_remote.dialect import Ask, Capabilities, Dialect, Position, Reply, Request, ServerInfo
from decodekit_remote.dialects.completions import no_logprobs

__all__ = ["TGIDialect"]


class TGIDialect(Dialect):
    """TGI's own API."""

    name = "tgi"
    capabilities = Capabilities(ids_out=True, most_top=5, draft=True)

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """Without ``do_sample`` it is greedy, and a temperature is not accepted."""
        (prompt,) = question.prompts
        settings: dict[str, Any] = {"max_new_tokens": question.tokens, "details": True, "top_n_tokens": question.top}
        if question.temperature:
            settings |= {"temperature": question.temperature, "do_sample": True}
        return "/generate", {"inputs": prompt, "parameters": settings}

    def reply(self, data: Any, question: Request) -> list[Reply]:
        answer = data["details"]
        if not answer.get("tokens") or not answer.get("top_tokens"):
            raise no_logprobs(self.name)
        positions = []
        for token, top in zip(answer["tokens"], answer["top_tokens"], strict=True):
            pieces = {} if token["special"] else {token["id"]: token["text"].encode()}
            pieces |= {each["id"]: each["text"].encode() for each in top if not each["special"]}
            ids, logprobs = [each["id"] for each in top], [each["logprob"] for each in top]
            positions.append(Position(token["id"], ids, logprobs, pieces))
        return [Reply(positions)]

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by the fields of its information."""
        answer = await ask("/info")
        if "max_concurrent_requests" not in answer or "model_id" not in answer:
            return None
        longest = answer.get("max_input_tokens") or answer.get("max_input_length")
        return ServerInfo(model=str(answer["model_id"]), build=str(answer.get("sha", "")), context_length=longest)
