"""vLLM's ``/v1/completions``: ids in and out, raw values unless the server was started with another setting.

Recorded from vLLM 0.32. ``logprobs: -1`` lists the whole vocabulary where ``--max-logprobs -1`` allows it; minus
infinity is clamped to -9999; a chosen token outside the list is added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import AdapterError
from decodekit.text.tokenizer import Message
from decodekit_remote.dialect import Ask, Capabilities, Dialect, Reply, Request, ServerInfo, prompts_of
from decodekit_remote.dialects.completions import models_of, plain_body, read_choices, read_event

__all__ = ["VLLMDialect"]

_OFF: Mapping[str, Any] = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Else the model's own settings or the operator's, which a server with processed values applies to them."""


class VLLMDialect(Dialect):
    """vLLM, with ids."""

    name = "vllm"
    capabilities = Capabilities(
        ids_in=True,
        ids_out=True,
        most_top=20,
        whole_vocabulary=None,
        impossible=-9999.0,
        named_ids=128,
        stage="raw",
        echo=True,
        batch=True,
        draft=True,
        stream=True,
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """Keys are ids: with texts as keys, tokens of the same text would become one entry."""
        body = plain_body(question, prompts_of(question))
        body |= {"return_tokens_as_token_ids": True, "return_token_ids": True, "ignore_eos": True, **_OFF}
        if question.everything:
            body["logprobs"] = -1
        if question.named:
            body["logprob_token_ids"] = list(question.named)
        if question.echo:
            body["echo"] = True
        return "/v1/completions", body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        """With ``echo`` the prompt's lists come first, none for its first token."""
        return read_choices(data, _id, self.name, -1 if question.echo else 0)

    def event(self, data: Any, seen: int) -> Reply:
        return read_event(data, _id, self.name)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        listed = models_of(await ask("/v1/models"), model)
        if listed is None or listed.get("owned_by") != "vllm":
            return None
        version = (await ask("/version")).get("version", "")
        return ServerInfo(
            model=str(listed["id"]),
            build=f"vllm-{version}",
            context_length=listed.get("max_model_len"),
            eos_ids=await _eos_ids(ask, str(listed["id"])),
            tokenizes=True,
        )

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        body = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
        return "/tokenize", body | ({"model": model} if model else {})

    def conversing(self, messages: Sequence[Message], model: str | None) -> tuple[str, dict[str, Any]] | None:
        begun = bool(messages) and messages[-1].get("role") == "assistant"  # then it goes on with that message
        body: dict[str, Any] = {
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": not begun,
            "continue_final_message": begun,
        }
        return "/tokenize", body | ({"model": model} if model else {})


async def _eos_ids(ask: Ask, model: str) -> frozenset[int]:
    """The ids that end a text: vLLM has no route for them, but a grammar of one dot allows only the end after it."""
    body = {"model": model, "prompt": ".", "max_tokens": 4, "temperature": 0, "return_token_ids": True}
    try:
        (choice,) = (await ask("/v1/completions", body | {"structured_outputs": {"choice": ["."]}}))["choices"]
    except AdapterError:  # a server without grammars
        return frozenset()
    ended = choice["finish_reason"] == "stop" and len(choice.get("token_ids") or ()) == 2
    return frozenset(choice["token_ids"][1:]) if ended else frozenset()


def _id(key: str) -> int:
    name, _, number = key.partition(":")
    if name != "token_id":
        raise ValueError(f"the key {key[:40]!r} is not token_id:N")
    return int(number)
