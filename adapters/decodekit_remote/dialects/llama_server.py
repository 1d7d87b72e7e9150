"""llama-server's own ``/completion``: ids in and out, raw values, as many tokens as requested.

Recorded from llama.cpp b11434. Its values are the softmax of the logits whatever temperature, bias or grammar is set,
so a token can be forced without changing them. It sends no list for a token that ends inside a UTF-8 character, and
logprob 0 with an empty list for a token from speculative decoding. ``id_slot`` is not sent: the server takes the free
slot whose cache shares most with the prompt, and a question for a fixed slot would wait until that one is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from decodekit.errors import ProviderError
from decodekit.text.tokenizer import Message
from decodekit_remote.dialect import Ask, Capabilities, Dialect, Position, Reply, Request, ServerInfo, prompts_of

__all__ = ["LlamaServerDialect"]

_ALL = 10_000_000  # n_probs is clamped to the vocabulary
_FORCE = 1000.0


class LlamaServerDialect(Dialect):
    """llama-server (llama.cpp)."""

    name = "llama_server"
    capabilities = Capabilities(
        ids_in=True,
        ids_out=True,
        bytes_out=True,
        most_top=100_000,
        whole_vocabulary=True,
        usual_top=1000,
        stage="raw",
        batch=True,
        draft=True,
        stream=True,
        forces=True,
    )

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """``temperature`` 0 is greedy; ``ignore_eos`` lets a draft continue, and changes no value."""
        prompts = prompts_of(question)
        body: dict[str, Any] = {
            "prompt": prompts[0] if len(prompts) == 1 else prompts,
            "n_predict": question.tokens,
            "n_probs": _ALL if question.everything else question.top,
            "temperature": question.temperature or 0.0,
            "samplers": ["temperature"],
            "repeat_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "ignore_eos": True,
            "cache_prompt": True,
            "return_tokens": True,
            "stream": question.stream,
        }
        if question.force is not None:
            body["logit_bias"] = [[question.force, _FORCE]]
        if question.model is not None:
            body["model"] = question.model
        return "/completion", body

    def reply(self, data: Any, question: Request) -> list[Reply]:
        """One object for one prompt, a list for several."""
        bodies = data if isinstance(data, list) else [data]
        if len(bodies) > 1:
            bodies = sorted(bodies, key=lambda body: int(body.get("index", 0)))
        return [self._one(body) for body in bodies]

    def _one(self, body: Any) -> Reply:
        if body.get("timings", {}).get("draft_n"):
            raise ProviderError(
                "llama-server uses speculative decoding: its own drafts have logprob 0. Start it without a draft"
            )
        listed = body.get("completion_probabilities") or []
        tokens = body.get("tokens") or [entry["id"] for entry in listed]
        positions = []
        for token, entry in zip(tokens, listed, strict=False):
            position = _position(entry)
            if position is None or position.chosen != token:
                break
            positions.append(position)
        return Reply(
            positions,
            cut=len(positions) < len(tokens),
            model=str(body.get("model", "")),
            prompt_tokens=body.get("tokens_evaluated"),
        )

    def event(self, data: Any, seen: int) -> Reply:
        """``tokens_predicted`` counts the tokens that came without a list as well."""
        if data["stop"]:
            self._one(data)
            return Reply([], model=str(data.get("model", "")))
        listed = data.get("completion_probabilities") or []
        positions: Sequence[Position | None] = [_position(entry) for entry in listed]
        if data["tokens_predicted"] != seen + len(positions) or None in positions:
            return Reply([], finished=False, cut=True)
        return Reply([position for position in positions if position is not None], finished=False)

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """Properties, the vocabulary's size, and a token to force; slots with speculative decoding are refused."""
        props = await ask("/props")
        if not isinstance(props, dict) or "default_generation_settings" not in props:
            return None
        settings = props["default_generation_settings"]
        if settings.get("params", {}).get("speculative.types", "none") != "none":
            raise ProviderError(
                "llama-server uses speculative decoding, and reports no values for its drafts; start it without"
            )
        listed = (await ask("/v1/models"))["data"]
        chosen = next((entry for entry in listed if entry["id"] == model), listed[0])
        dot = (await ask("/tokenize", {"content": ".", "add_special": False}))["tokens"]
        eos = (await ask("/tokenize", {"content": props.get("eos_token", ""), "add_special": False}))["tokens"]
        begun = (await ask("/tokenize", {"content": ".", "add_special": True}))["tokens"]
        return ServerInfo(
            model=str(chosen["id"]),
            build=str(props.get("build_info", "")),
            vocab_size=chosen["meta"]["n_vocab"],
            context_length=settings["n_ctx"],
            eos_ids=frozenset(eos) if len(eos) == 1 else frozenset(),
            bos_id=begun[0] if len(begun) == len(dot) + 1 else None,
            filler=dot[0] if len(dot) == 1 else None,
            tokenizes=True,
            places=props.get("total_slots"),
        )

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        """Markup such as ``<|im_start|>`` is one token there by default."""
        return "/tokenize", {"content": text, "add_special": False, "parse_special": special, "with_pieces": True}

    def conversing(self, messages: Sequence[Message], model: str | None) -> tuple[str, dict[str, Any]] | None:
        """The text of the model's own template."""
        return "/apply-template", {"messages": [dict(message) for message in messages]}


def _position(entry: Any) -> Position | None:
    """An entry's list; None when it combines several tokens and their texts."""
    top = entry["top_logprobs"]
    if not top:
        raise ProviderError(
            f"llama-server gave token {entry['id']} the logprob {entry['logprob']} and no list: it uses speculative "
            "decoding, or n_probs is off. Start it without a draft model and without speculation"
        )
    tokens, logprobs, pieces = [], [], {}
    for each in top:
        token = each["id"]
        tokens.append(token)
        logprobs.append(each["logprob"])
        pieces[token] = bytes(each["bytes"])
    chosen = entry["id"]
    if chosen in pieces and pieces[chosen] != bytes(entry["bytes"]):
        return None
    return Position(chosen, tokens, logprobs, pieces)
