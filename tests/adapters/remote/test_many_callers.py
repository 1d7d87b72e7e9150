"""One remote adapter, many calls at the same time: from tasks, from threads, and from both."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("httpx")

import httpx

from decodekit import AsyncSession, Chain, Prefix, ProviderError, Session, processor
from decodekit.model.asking import connect
from decodekit.testing import BytesTokenizer, NGramAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TEXT, TableServer, TalkingTokenizer, serving

PROMPTS = ["the cat ", "one day the ", "and the dog saw"]
CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        PROMPTS[i % 3],
        {
            "chain": Chain([processor("top_k", top_k=k), processor("temperature", temperature=t)]),
            "seed": 5,
            "stream": i,
            "max_tokens": 24,
        },
    )
    for i, (k, t) in enumerate((k, t) for k in (2, 5, 20, 30) for t in (0.3, 0.7, 1.0, 1.5))
]


def alone() -> list[tuple[int, ...]]:
    session = Session(NGramAdapter(TEXT, order=4))
    return [session.generate(prompt, **options).token_ids for prompt, options in CALLS]


def remote(server: TableServer, **params: Any) -> RemoteAdapter:
    return RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer(), **params)


async def in_tasks(adapter: RemoteAdapter) -> list[tuple[int, ...]]:
    session = AsyncSession(adapter)
    results = await asyncio.gather(*(session.generate(prompt, **options) for prompt, options in CALLS))
    return [result.token_ids for result in results]


def in_threads(adapter: RemoteAdapter, count: int = 8) -> list[tuple[int, ...]]:
    with Session(adapter) as session, ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda call: session.generate(call[0], **call[1]).token_ids, CALLS))


@pytest.mark.parametrize(("dialect", "draft"), [("llama_server", 1), ("llama_server", "stream"), ("vllm", "auto")])
def test_sixteen_tasks_get_what_each_gets_alone(dialect: str, draft: Any) -> None:
    with serving(dialect) as server:
        adapter = remote(server, draft=draft, top=30)

        async def main() -> list[tuple[int, ...]]:
            try:
                return await in_tasks(adapter)
            finally:
                await adapter.aclose()

        assert asyncio.run(main()) == alone()


@pytest.mark.parametrize("draft", [4, "stream"])
def test_eight_threads_get_what_each_gets_alone(draft: Any) -> None:
    with serving() as server:
        assert in_threads(remote(server, draft=draft, top=30)) == alone()


def test_tasks_of_trio_get_what_each_gets_alone() -> None:
    """The adapter is asked in an asyncio loop in a thread. A task that is cancelled leaves the others alone."""
    trio = pytest.importorskip("trio")
    found: dict[int, tuple[int, ...]] = {}

    async def call(session: AsyncSession, i: int) -> None:
        found[i] = (await session.generate(CALLS[i][0], **CALLS[i][1])).token_ids

    async def main(adapter: RemoteAdapter) -> None:
        async with AsyncSession(adapter) as session:
            session.owns_adapter = True  # as one from a configuration
            async with trio.open_nursery() as nursery:
                for i in range(6):
                    nursery.start_soon(call, session, i)
                with trio.CancelScope() as scope:
                    await session.generate(PROMPTS[0], max_tokens=5000, until=lambda _: scope.cancel())
                assert scope.cancelled_caught

    with serving() as server:
        trio.run(main, RemoteAdapter(base_url=server.url, draft="stream", top=30))
    assert [found[i] for i in range(6)] == alone()[:6]
    assert not any(thread.name == "decodekit-adapter" for thread in threading.enumerate())


def test_tasks_and_threads_may_share_one_adapter() -> None:
    """In two event loops, so in two threads; both meet the server."""
    with serving() as server:
        adapter, found = remote(server, draft="auto", top=30), list[Any]()
        thread = threading.Thread(target=lambda: found.append(in_threads(adapter, 4)))
        thread.start()
        expected = alone()
        assert asyncio.run(in_tasks(adapter)) == expected
        thread.join(60)
        assert found == [expected]


def test_a_stream_that_somebody_waits_for_is_not_closed_for_another_call() -> None:
    """With room for two, two runs of streams that are accepted do not close each other's."""
    with serving(pause=0.002) as server:
        adapter = remote(server, draft="stream", top=30, concurrency=2)
        chain = Chain([processor("top_k", top_k=1)])

        async def main() -> int:
            session = AsyncSession(adapter, chain, seed=1)
            await asyncio.gather(*(session.generate(prompt, max_tokens=40) for prompt in PROMPTS[:2]))
            requests = len(server.asked("/completion"))
            await adapter.aclose()
            return requests

        probes = _probes()
        assert asyncio.run(main()) - probes == 2  # one stream each


def _probes() -> int:
    """How many questions the first contact sends."""
    with serving() as server, Session(remote(server, draft="stream")) as session:
        connect(session.adapter)
        return len(server.asked("/completion"))


def test_a_stream_ends_with_its_last_reader_that_is_cancelled() -> None:
    with serving(pause=0.05) as server:
        adapter = remote(server, draft="stream", top=5)

        async def main() -> list[float]:
            await adapter.connect()
            prefix = Prefix(BytesTokenizer().encode("the cat "))
            calls = [asyncio.ensure_future(adapter.apredict([prefix])) for _ in range(2)]
            while not adapter.measured["streams"]:
                await asyncio.sleep(0)
            counts = []
            for call in calls:
                call.cancel()
                with suppress(asyncio.CancelledError):
                    await call
                counts.append(adapter.measured["streams"])
            await adapter.aclose()
            return counts

        assert asyncio.run(main()) == [1, 0]


def test_no_call_is_given_the_answer_of_a_server_that_another_call_has_caught() -> None:
    """The server ignores prefills of more than 5 characters. Eight calls ask the same at the same time."""
    talk = [{"role": "user", "content": "the cat "}]
    chain = Chain([processor("temperature", temperature=0.3)])
    with serving("openai_chat") as server:
        server.prefill, server.longest_prefill = "last_message", 5
        adapter = RemoteAdapter(
            base_url=server.url, tokenizer=TalkingTokenizer(), draft=1, prefill="last_message", dialect="openai_chat"
        )

        async def main() -> list[Any]:
            session = AsyncSession(adapter, chain, seed=11)
            calls = (session.generate(talk, max_tokens=40) for _ in range(8))
            found = await asyncio.gather(*calls, return_exceptions=True)
            await adapter.aclose()
            return found

        found = asyncio.run(main())
    model = NGramAdapter(TEXT, order=4)
    model.tokenizer = TalkingTokenizer()
    expected = Session(model, chain, seed=11).generate(talk, max_tokens=40).token_ids
    for error in found:
        assert isinstance(error, ProviderError)
        partial = error.partial.token_ids
        assert len(partial) >= 1 and partial == expected[: len(partial)]


def test_a_client_of_the_running_loop_serves_the_servers_tokenizer_too() -> None:
    """A prompt is tokenised in a worker thread, which asks the server in the loop that the client belongs to."""
    with serving() as server:

        async def main() -> tuple[int, ...]:
            async with httpx.AsyncClient(trust_env=False) as client:
                adapter = RemoteAdapter(base_url=server.url, client=client)
                found = await AsyncSession(adapter, seed=11).generate("the cat ", max_tokens=12)
                await adapter.aclose()
                return found.token_ids

        found = asyncio.run(main())
    assert found == Session(NGramAdapter(TEXT, order=4), seed=11).generate("the cat ", max_tokens=12).token_ids
