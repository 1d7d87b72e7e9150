"""Answers of any shape: what a server says at whatever route is read, or it is a typed error."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import httpx
import pytest

from decodekit import ALL, Disclosure, Distribution, Prefix
from decodekit.errors import DecodekitError, ProviderError
from decodekit_remote import RemoteAdapter, ServerInfo
from decodekit_remote.dialects.vllm import VLLMDialect
from decodekit_remote.server_tokenizer import ServerTokenizer
from tests.adapters.remote.servers import TableServer, TalkingTokenizer, serving

ODD: list[Any] = [None, {}, [], "x", "", -1, 0, 0.5, True, 2**70, -(10**400), [[1]], {"a": 1}, "token_id:x", "9" * 5000]
TOKENS = {"llama_server": None, "vllm": None, "openai_chat": TalkingTokenizer()}


def mutated(data: Any, chance: random.Random) -> bytes:
    """The JSON of an answer with one of its parts replaced, doubled or left out."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    data = {"": json.loads(json.dumps(data))}
    walk(data)
    holder, key = chance.choice(places[: 40 if chance.random() < 0.7 else None])
    way = chance.randrange(8)
    if way == 0 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif way == 1 and holder is not data:
        del holder[key]
    else:
        holder[key] = chance.choice(ODD)
    text = json.dumps(data[""]) if "" in data else "null"
    if way == 2:
        text = text.replace("0.", chance.choice(["NaN", "1e999", "-Infinity", '"\\ud800"']), 1)
    return text.encode()


async def use(adapter: RemoteAdapter) -> list[Any]:
    """All that is asked of a server, one way or another. Raises whatever that raises."""
    found: list[Any] = []
    try:
        await adapter.connect()
        prefix = Prefix(b"the cat")
        if adapter.capabilities["conversations"]:
            assert adapter.tokenizer is not None
            prefix = Prefix(adapter.tokenizer.encode_messages([{"role": "user", "content": "the cat"}]))
        found += await adapter.apredict([prefix])
        found += await adapter.apredict([prefix.extend([32]), prefix], Disclosure(3, ids=(5,)))
        found += await adapter.apredict([Prefix(b"the"), Prefix(b"the ")], [ALL, Disclosure(2)])
        if adapter.tokenizer is not None:
            tokenizer = adapter.tokenizer
            found += [tokenizer.encode("a dog"), tokenizer.token_bytes(33), tokenizer.decode([34])]
    finally:
        await adapter.aclose()
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", TOKENS)
def test_a_random_change_of_an_answer_is_read_or_is_a_typed_error(dialect: str, stream: bool) -> None:
    with serving(dialect, context=40) as server:
        server.prefill = "last_message"
        refused = 0
        for seed in range(20 if stream else 40):
            chance = random.Random(f"{dialect} {stream} {seed}")
            at = chance.randrange(1, 14)
            asked = 0

            def answer(request: httpx.Request, at: int = at, chance: random.Random = chance) -> httpx.Response:
                nonlocal asked
                asked += 1
                return _answer(server, request, chance if asked in (at, at + 1, at + 5) else None)

            adapter = RemoteAdapter(
                base_url="http://host",
                transport=httpx.MockTransport(answer),
                dialect=dialect if seed % 3 else "auto",
                tokenizer=TOKENS[dialect],
                draft="stream" if stream else 2,
                prefill="last_message" if dialect == "openai_chat" else "no",
                attempts=1,
            )
            try:
                found = asyncio.run(use(adapter))
            except DecodekitError as error:
                found = [error]
            assert all(isinstance(each, Distribution | DecodekitError | list | bytes | None) for each in found), seed
            errors = [each for each in found if isinstance(each, DecodekitError)]
            refused += len(errors)
            assert not any("could not be asked" in str(error) for error in errors), (seed, errors)  # of no known kind
        assert refused > 5  # the changes reach what is read


def _answer(server: TableServer, request: httpx.Request, chance: random.Random | None) -> httpx.Response:
    path, body = request.url.path, json.loads(request.content) if request.content else None
    try:
        data = server.answer(path, body)
    except LookupError:
        return httpx.Response(404, json={"detail": "Not Found"})
    except (ValueError, TypeError) as error:
        return httpx.Response(400, json={"detail": str(error)})
    if isinstance(data, list) and body.get("stream"):
        events = [json.dumps(each).encode() for each in data]
        if chance is not None:
            at = chance.randrange(len(data))
            events[at] = mutated(data[at], chance)
        text = b"".join(b"data: " + event + b"\n\n" for event in events) + b"data: [DONE]\n\n"
        return httpx.Response(200, content=text, headers={"content-type": "text/event-stream"})
    content = json.dumps(data).encode() if chance is None else mutated(data, chance)
    return httpx.Response(200, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    "answer",
    [{}, None, [], 5, {"tokens": [[1]]}, {"tokens": [1], "token_strs": [5]}, {"tokens": "x"}, {"tokens": [-1]}],
)
def test_a_tokenizer_route_of_another_shape_is_a_typed_error(answer: Any) -> None:
    tokenizer = ServerTokenizer(VLLMDialect(), lambda *_: answer, ServerInfo())
    for ask in (
        lambda: tokenizer.fingerprint,
        lambda: tokenizer.encode("x"),
        lambda: tokenizer.encode_messages([]),
        lambda: tokenizer.token_bytes(7),
    ):
        with pytest.raises(ProviderError, match=r"shape|does not give"):
            ask()


def test_a_token_whose_text_is_no_text_is_a_typed_error() -> None:
    answers = {"/tokenize": {"tokens": [1, 2]}, "/detokenize": {"prompt": "\ud800"}}
    with pytest.raises(ProviderError, match="shape"):
        ServerTokenizer(VLLMDialect(), lambda path, _: answers[path], ServerInfo()).token_bytes(7)


@pytest.mark.parametrize(
    "said", [{"vocab_size": "9"}, {"context_length": 2.5}, {"places": 0}, {"eos_ids": frozenset([-1])}, {"model": 5}]
)
def test_what_a_server_says_of_itself_has_types(said: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        ServerInfo(**said)
