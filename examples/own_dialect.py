"""A dialect for a custom server: here one with three tokens that always gives the same answer."""

import asyncio

import httpx

import decodekit
from decodekit_remote import Capabilities, Dialect, Position, RemoteAdapter, Reply, ServerInfo


def answer(request: httpx.Request) -> httpx.Response:
    """What the server would answer: the two most likely of three tokens."""
    return httpx.Response(200, json={"most_likely": [[2, -0.1], [0, -3.0]]})


class Mine(Dialect):
    name = "mine"
    capabilities = Capabilities(ids_in=True, ids_out=True, most_top=2, usual_top=2, stage="raw")

    def request(self, question):
        return "/next", {"ids": list(question.prompts[0]), "top": question.top}

    def reply(self, data, question):
        ids, logprobs = zip(*data["most_likely"], strict=True)
        return [Reply([Position(ids[0], ids, logprobs)])]

    async def greet(self, ask, model):
        return ServerInfo(model="three tokens", vocab_size=3)


transport = httpx.MockTransport(answer)  # leave it out to use the network
adapter = RemoteAdapter(base_url="http://mine.example", dialect=Mine(), transport=transport)
with decodekit.Session(adapter, decodekit.Chain([decodekit.processor("top_k", top_k=2)]), seed=7) as session:
    result = session.generate([0, 1], max_tokens=12)
print(result.token_ids, "of", adapter.info.model)
print("not shown:", result.trace.steps[0].raw.tail)
asyncio.run(adapter.aclose())
