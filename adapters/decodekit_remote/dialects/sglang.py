"""SGLang's ``/generate``: ids in and out, logprobs of requested ids. Written from its sources, not recorded.

Values are taken after temperature, and temperature 0 is run as top-k 1 at temperature 1, so greedy values are raw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Ask, Capabilities, Dialect, Position, Reply, Request, ServerInfo, prompts_of
from decodekit_remote.dialects.completions import no_logprobs

__all__ = ["SGLangDialect"]

_OFF: Mapping[str, Any] = {  # else those of --preferred-sampling-params, some of which change the values
    "top_k": -1,
    "top_p": 1.0,
    "min_p": 0.0,
    "min_new_tokens": 0,
    "logit_bias": None,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}


class SGLangDialect(Dialect):
    """SGLang's own API."""

    name = "sglang"
    capabilities = Capabilities(
        ids_in=True, ids_out=True, most_top=1000, named_ids=1000, stage="raw", batch=True, draft=True, usual_top=100
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        prompts = prompts_of(question)
        kind = "text" if isinstance(prompts[0], str) else "input_ids"
        sampling: dict[str, Any] = {"max_new_tokens": question.tokens, "ignore_eos": True, **_OFF}
        sampling |= {"temperature": question.temperature} if question.temperature else {"temperature": 1.0, "top_k": 1}
        body: dict[str, Any] = {
            kind: prompts[0] if len(prompts) == 1 else prompts,
            "sampling_params": sampling,
            "return_logprob": True,
            "top_logprobs_num": question.top,
            "logprob_start_len": -1,
            "stream": False,
        }
        if question.named:
            body["token_ids_logprob"] = list(question.named)
        return "/generate", body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        return [self._one(each, question) for each in (data if isinstance(data, list) else [data])]

    def _one(self, data: Any, question: Request) -> Reply:
        meta = data["meta_info"]
        chosen, tops = meta.get("output_token_logprobs"), meta.get("output_top_logprobs")
        if not chosen or not tops:
            raise no_logprobs(self.name)
        if len(chosen) != len(tops):
            raise ProviderError(f"sglang: {len(chosen)} tokens came with {len(tops)} lists")
        named = meta.get("output_token_ids_logprobs") or [()] * len(tops)
        positions = []
        for (_, token, _), top, more in zip(chosen, tops, named, strict=True):
            listed = {each[1]: each[0] for each in [*more, *(top or ())] if each[0] is not None}
            positions.append(Position(token, list(listed), list(listed.values())))
        return Reply(positions, prompt_tokens=meta.get("prompt_tokens"))

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by a route that only SGLang has."""
        meta = await ask("/get_model_info")
        return ServerInfo(model=str(meta["model_path"]), tokenizes=True) if "model_path" in meta else None

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        return "/tokenize", {"prompt": text, "add_special_tokens": False}
