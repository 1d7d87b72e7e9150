"""A server that takes texts: other tokens than were meant are an error, and why a list falls short is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

import decodekit
from decodekit import Distribution, Prefix, Session, Undisclosed
from decodekit.errors import ProviderError
from decodekit.testing import PiecesTokenizer
from decodekit_remote import RemoteAdapter

PIECES = [b" ", b"h", b"i", b"hi", b" hi", b"  hi", b".", b""]
LISTED = {"hi": -1.0, " hi": -1.5, ".": -2.0}


class Texts:
    """python -m llama_cpp.server in small: texts in, lists keyed by text.

    Args:
        ids: what it makes of a text.
        listed: its only list.
        route: whether it has a route to tokenise.
    """

    def __init__(self, ids: Sequence[int], listed: dict[str, float] | None = None, *, route: bool = True) -> None:
        self.ids, self.listed, self.route = list(ids), listed or LISTED, route
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        if request.url.path == "/extras/tokenize":
            return httpx.Response(200 if self.route else 404, json={"tokens": self.ids})
        told = {"tokens": ["hi"], "top_logprobs": [self.listed]}
        choice = {"index": 0, "text": "hi", "finish_reason": "length", "logprobs": told}
        counted = len(self.ids) + json.loads(request.content)["prompt"].count(",")  # which no prompt here has
        return httpx.Response(200, json={"choices": [choice], "usage": {"prompt_tokens": counted}})

    def adapter(self, **params: Any) -> RemoteAdapter:
        params = {"tokenizer": PiecesTokenizer(PIECES), "draft": 1, "top": 3, **params}
        return RemoteAdapter(
            base_url="http://host",
            dialect="llama_cpp_python",
            probe=False,
            transport=httpx.MockTransport(self),
            **params,
        )


def ask(adapter: RemoteAdapter, *ids: Sequence[int]) -> list[Any]:
    async def asked() -> list[Any]:
        return [(await adapter.apredict([Prefix(each)]))[0] for each in ids]

    return asyncio.run(asked())


def test_as_many_tokens_that_are_others_are_found_by_the_servers_own_route() -> None:
    """A vocabulary that puts a space in front: "hi" is " hi" there, one token as well."""
    server = Texts([4])
    (answer,) = ask(server.adapter(), [3])
    assert (
        isinstance(answer, ProviderError) and "1 tokens here, others there" in str(answer) and "'allow'" in str(answer)
    )
    assert server.paths == ["/extras/tokenize"]  # it was not even asked


def test_a_prompt_is_compared_once_and_what_follows_is_counted() -> None:
    server = Texts([3])
    adapter = server.adapter()
    (first,) = ask(adapter, [3])
    assert isinstance(first, Distribution)
    server.ids = [3, 6]
    prefix = Prefix([3]).extend([6])

    async def more() -> Any:
        return (await adapter.apredict([prefix]))[0]

    assert isinstance(asyncio.run(more()), Distribution)
    assert server.paths.count("/extras/tokenize") == 1 and server.paths.count("/v1/completions") == 2


def test_a_prefix_that_its_own_tokenizer_would_cut_otherwise_is_not_sent() -> None:
    server = Texts([3])
    (answer,) = ask(server.adapter(), [1, 2])  # "h" and "i", which the tokenizer has as one
    assert isinstance(answer, ProviderError) and "2 tokens here" in str(answer) and server.paths == []


def test_what_is_allowed_is_noted() -> None:
    """As counted by the server; where that is as many, as counted by the tokenizer."""
    for ids, counted, noted in (([1, 2], [3], 1), ([3], [4, 6], 2), ([1, 2], [3, 6], 1)):
        (answer,) = ask(Texts(counted).adapter(retokenised="allow"), ids)
        assert answer.schedule["retokenised_as"] == noted
    (answer,) = ask(Texts([3]).adapter(retokenised="allow"), [3])
    assert "retokenised_as" not in answer.schedule


def test_a_server_without_the_route_is_judged_by_its_count() -> None:
    adapter = Texts([3], route=False).adapter()
    first, second = ask(adapter, [3], [3, 6])
    assert isinstance(first, Distribution) and isinstance(second, ProviderError)


def test_without_a_tokenizer_tokens_are_counted_from_the_prompt_on() -> None:
    server = Texts([0] * 7)
    adapter = server.adapter(tokenizer=None)
    assert adapter.tokenizer is not None
    start, drawn = adapter.tokenizer.encode("a prompt of seven tokens"), 0

    async def asked() -> list[Any]:
        nonlocal drawn
        (first,) = await adapter.apredict([Prefix(start)])
        drawn = int(first.token_ids[0])
        answers = [first]
        for count in (8, 7):  # one more, or taken together with the last of the prompt
            server.ids = [0] * count
            answers += await adapter.apredict([Prefix(start).extend([drawn] * (9 - count))])
            server.ids = [0] * 7
        return answers

    first, same, other = asyncio.run(asked())
    assert isinstance(first, Distribution) and isinstance(same, Distribution)
    assert isinstance(other, ProviderError) and "9 tokens here" in str(other)


@pytest.mark.parametrize("known", [True, False])
def test_a_list_that_lost_entries_says_why_and_what_helps(known: bool) -> None:
    """The end of a text is '' in such a list, and equal texts are one entry."""
    server = Texts([3], {"hi": -0.5, "": -2.0})
    params = {} if known else {"tokenizer": None, "same_text": "error"}
    chain = decodekit.Chain([decodekit.processor("top_k", top_k=3)])
    with Session(server.adapter(**params), chain, seed=1) as session, pytest.raises(Undisclosed) as caught:
        session.generate("hi", max_tokens=2)
    words = str(caught.value)
    assert "lists tokens by their text" in words and "equal texts are one entry" in words and "llama_server" in words
    assert "showed" not in words  # "needs 3, showed 2" explains nothing
    assert ("on_undisclosed='truncate'" if known else "tokenizer=") in words
