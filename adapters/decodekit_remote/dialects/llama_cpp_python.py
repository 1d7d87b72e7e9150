"""llama-cpp-python's server: text in, and lists keyed by text with undecodable bytes left out.

Recorded from 0.3.36. Raw values; a list longer than the vocabulary is cut. " " is the text of the space, and also of a
space with half an emoji, so such keys are equal: the entry has the place of the first and the value of the last. Its
``echo`` gives every score to the token after it when the model adds no BOS, and is not used.

``logit_bias`` changes the choice but no value. It prevents tokens that would end the text, says how likely a named
token is, and makes an answer begin with given tokens. A grammar of ids does the last thing too; a grammar that the
server cannot read, or that no token fits, ends its process, so it is sent only to versions that are known to read it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Ask, Capabilities, Chosen, Dialect, Reply, Request, ServerInfo, prompts_of
from decodekit_remote.dialects.completions import models_of, plain_body, read_choices, read_event, without_logprobs
from decodekit_remote.reading import integers

__all__ = ["LlamaCppPythonDialect"]

_READS_IDS = (0, 3, 36)  # the first version whose grammars are known to take ids
_STEP = 1000.0  # nats between the raised logits of an answer's first tokens
_FILLER = "."
_ONCE = 1e6  # a penalty that leaves nothing of a raised logit once its token was chosen


class LlamaCppPythonDialect(Dialect):
    """python -m llama_cpp.server."""

    name = "llama_cpp_python"
    capabilities = Capabilities(
        most_top=100_000,
        stage="raw",
        draft=True,
        stream=True,
        forces=True,
        distinct_keys=True,
        biases=True,
        lossy="ignore",
        reads_markup=True,  # `special` in Llama.create_completion
        longest_text=32,  # bytes of the buffer that each token is written to: a longer one is lost
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        body = plain_body(question, prompts_of(question)) | {"top_k": 1, "repeat_penalty": 1.0}
        bias = dict.fromkeys(question.unwanted, -100.0) | dict(question.bias)
        if question.once:  # the server goes on until a character is complete
            body["repeat_penalty"] = _ONCE
        if question.force is not None:
            bias[question.force] = _STEP
        if question.begin:
            body["max_tokens"] = len(question.begin) + question.tokens
            if question.by_grammar:
                body["grammar"] = _grammar(question)
            else:
                body["repeat_penalty"] = _ONCE
                bias |= {token: _STEP * (place + 1) for place, token in enumerate(reversed(question.begin))}
        if bias:
            body["logit_bias"] = {str(token): value for token, value in bias.items()}
        return "/v1/completions", without_logprobs(body) if question.top == 0 else body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        replies = read_choices(data, str, self.name, 0)
        if question.begin:
            replies = [_after_begin(reply, data, question) for reply in replies]
        if question.force is not None:
            replies = [_named(reply, question.force) for reply in replies]
        return replies

    def event(self, data: Any, seen: int) -> Reply:
        return read_event(data, str, self.name)

    def chosen(self, data: Any, question: Request) -> Chosen:
        (choice,) = data["choices"]
        return Chosen(str(choice["text"]), int(data["usage"]["completion_tokens"]))

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Recognised by a route to count tokens, which only this server has."""
        listed = models_of(await ask("/v1/models"), model)
        if listed is None or "count" not in await ask("/extras/tokenize/count", {"input": "."}):
            return None
        (*_, filler) = integers((await ask("/extras/tokenize", {"input": _FILLER}))["tokens"])
        reads = await _version(ask) >= _READS_IDS
        engine = str(listed.get("owned_by") or "")
        return ServerInfo(model=str(listed["id"]), tokenizes=True, filler=filler, engine=engine, id_grammar=reads)

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        return "/extras/tokenize", {"input": text}


async def _version(ask: Ask) -> tuple[int, ...]:
    """The server's version, as the description of its routes has it; empty where it has none."""
    try:
        text = (await ask("/openapi.json"))["info"]["version"]
    except (ProviderError, LookupError, TypeError):
        return ()
    return tuple(map(int, re.findall(r"\d+", str(text))[:3]))


def _grammar(question: Request) -> str:
    """These tokens, and then any but one, whose only purpose is that the rule is not empty."""
    begin = " ".join(f"<[{token}]>" for token in question.begin)
    raised = dict(question.bias)
    other = next(token for token in (*question.unwanted, *range(len(raised) + 1)) if token not in raised)
    return f"root ::= {begin} (!<[{other}]>)*"


def _named(reply: Reply, forced: int) -> Reply:
    """With the id of the token that was forced in place of its text."""
    if not reply.positions or reply.positions[0].chosen != _FILLER:
        return reply
    return replace(reply, positions=[replace(reply.positions[0], chosen=forced), *reply.positions[1:]])


def _after_begin(reply: Reply, data: Any, question: Request) -> Reply:
    """The lists after the tokens with which the answer had to begin, which are part of the prefix."""
    begin, count = len(question.begin), data["usage"]["completion_tokens"]
    if len(reply.positions) != count or count < begin:
        raise ProviderError(
            f"llama_cpp_python: an answer that had to begin with {begin} tokens has {count}, and lists for "
            f"{len(reply.positions)}"
        )
    return replace(
        reply,
        positions=reply.positions[begin:],
        begun=[position.chosen for position in reply.positions[:begin]],
        prompt_tokens=None if reply.prompt_tokens is None else reply.prompt_tokens + begin,
    )
