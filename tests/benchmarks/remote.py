"""The remote adapter against one request per token and against a bare client, on real servers.

DECODEKIT_LLAMA_SERVER and DECODEKIT_VLLM are the addresses of running servers, each with SmolLM2; a part without its
server is left out. `far` makes a server far away.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator

import httpx

import decodekit
from decodekit import Prefix, Session
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.real import CHAINS, PROMPTS

from .far import far
from .timing import Ratio, paired

TRIP = 0.05  # seconds
TOKENS = 32
CHAIN = "T=0.7 top_p=0.9"
MANY = 32
TWENTY = [decodekit.processor("top_k", top_k=20), decodekit.processor("temperature", temperature=0.7)]


def measure() -> Iterator[Ratio]:
    llama, vllm = (os.environ.get(f"DECODEKIT_{name}", "") for name in ("LLAMA_SERVER", "VLLM"))
    if llama.startswith("http"):
        with far(llama, TRIP) as url:
            for draft in ("stream", "auto", 4):
                yield paired(
                    f"llama-server, 50 ms away, {CHAIN}, draft={draft}", "one request per token",
                    generating(url, draft), generating(url, 1), rounds=4, goal=2.0,
                )  # fmt: skip
        yield from processor_time(llama)
    if vllm:
        yield paired(
            f"vLLM, {MANY} sequences at once", "one after another",
            together(vllm), one_by_one(vllm), rounds=3, goal=4.0,
        )  # fmt: skip


def generating(url: str, draft: int | str) -> Callable[[], object]:
    """Some tokens of each of three prompts, each time with other noise."""
    adapter = RemoteAdapter(base_url=url, draft=draft, concurrency=1)  # type: ignore[arg-type]
    session = Session(adapter, decodekit.Chain(CHAINS[CHAIN][1]))
    turn = iter(range(10**9))

    def run() -> object:
        seed = next(turn)
        return [session.generate(text, max_tokens=TOKENS, seed=seed) for text in PROMPTS[:3]]

    return run


def together(url: str) -> Callable[[], object]:
    adapter = RemoteAdapter(base_url=url, draft=4, top=20, concurrency=MANY)
    session, turn = Session(adapter, decodekit.Chain(TWENTY)), iter(range(10**9))
    return lambda: session.generate_many(_texts(next(turn)), max_tokens=16, seed=3)


def one_by_one(url: str) -> Callable[[], object]:
    adapter = RemoteAdapter(base_url=url, draft=4, top=20, concurrency=1)
    session, turn = Session(adapter, decodekit.Chain(TWENTY)), iter(range(10**9))

    def run() -> object:
        texts = _texts(next(turn))
        return [session.generate(text, max_tokens=16, seed=3, stream=i) for i, text in enumerate(texts)]

    return run


def _texts(turn: int) -> list[str]:
    """Other texts at every turn, so that no answer is left from the last."""
    return [f"({turn}.{n}) {text}" for n in range(MANY // len(PROMPTS)) for text in PROMPTS]


def processor_time(url: str, rounds: int = 10) -> Iterator[Ratio]:
    """This process' own time with lists of 20, against httpx and json for the same bodies."""
    session = Session(RemoteAdapter(base_url=url), decodekit.Chain(CHAINS[CHAIN][1]), seed=7)
    start = Prefix(session.adapter.tokenizer.encode(PROMPTS[1]))  # type: ignore[union-attr]
    path = [start]
    for step in session.stream(start, max_tokens=64):
        path.append(path[-1].extend([step.token_id]))
    for draft in (1, 4):
        pairs = [asyncio.run(_both(url, path, draft)) for _ in range(rounds)]
        ratios = sorted(bare / own for own, bare in pairs)
        yield Ratio(
            f"processor time for {len(path)} tokens, top 20, draft={draft}", "bare httpx and json.loads",
            statistics.median(own for own, _ in pairs), statistics.median(bare for _, bare in pairs),
            ratios[1], statistics.median(ratios), ratios[-2], 1 / 1.5,
        )  # fmt: skip


async def _both(url: str, path: list[Prefix], draft: int) -> tuple[float, float]:
    asked: list[tuple[str, bytes]] = []

    async def noted(request: httpx.Request) -> None:
        asked.append((request.url.path, request.content))

    def client() -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, event_hooks={"request": [noted]})

    adapter = RemoteAdapter(base_url=url, draft=draft, top=20, client=client)
    await adapter.apredict([path[0]])  # opens the connection
    asked.clear()
    begun = time.process_time()
    for prefix in path[1:]:
        await adapter.apredict([prefix])
    own = time.process_time() - begun
    await adapter.aclose()
    bodies = [(where, json.loads(content)) for where, content in asked]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as bare:
        await bare.get("/v1/models")
        begun = time.process_time()
        for where, body in bodies:
            json.loads((await bare.post(where, json=body)).content)
        theirs = time.process_time() - begun
    return own, theirs
