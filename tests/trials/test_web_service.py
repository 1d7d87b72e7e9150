"""The web server of examples/web, driven by a real HTTP client: each user gets what the call gives alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("httpx")

import httpx

import decodekit
from decodekit import Chain, Session, processor
from decodekit.testing import NGramAdapter
from tests.session.conftest import TEXT

SERVER = Path(__file__).parents[2] / "examples" / "web" / "server.py"
SLOW = "the log"  # a prompt for which the model of the tests takes longer
STARTED = f"""
import sys, time
sys.path.insert(0, {str(SERVER.parent)!r})
import server
from decodekit.testing import NGramAdapter

class Model(NGramAdapter):
    def predict(self, prefixes, disclose):
        if any(prefix.token_ids[:7] == tuple({SLOW.encode()!r}) for prefix in prefixes):
            time.sleep(0.004)
        return super().predict(prefixes, disclose)

server.serve(Model({TEXT!r}), 0, int(sys.argv[1]))
"""
REAL = f"""
import sys
sys.path.insert(0, {str(SERVER.parent)!r})
import decodekit, server
server.MOST_RUNS = 5
server.serve(decodekit.adapter("llamacpp", model="smollm2", n_threads=1), 0, 30)
"""


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{self.logged('listening')['port']}"
        self.logged("started")

    def logged(self, name: str) -> dict[str, Any]:
        """The next line of its log with this name."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == name:
                return said
        raise AssertionError(f"it ended and never said {name}")

    def stop(self) -> str:
        """Ctrl-C; what else it logs."""
        self.process.send_signal(signal.SIGINT)
        _, rest = self.process.communicate(timeout=60)
        return rest


@contextmanager
def serving(*command: str) -> Iterator[Running]:
    process = subprocess.Popen([sys.executable, "-W", "error", *command], stderr=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()


async def events_of(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


async def text_of(client: Any, body: dict[str, Any]) -> tuple[str, str]:
    """The text that one user gets, and how it ended."""
    async with client.stream("POST", "/generate", json=body) as response:
        assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
        text = ""
        async for name, data in events_of(response.aiter_lines()):
            if name == "token":
                text += data["text"]
            else:
                return text, data.get("finish_reason", name)
    raise AssertionError("the stream ended without an end")


def users(count: int, prompts: list[str], tokens: int) -> list[dict[str, Any]]:
    chains: list[dict[str, Any]] = [{"top_k": 5}, {"temperature": 1.3}, {"top_p": 0.9, "temperature": 0.7}, {}]
    return [
        {
            "prompt": prompts[i % len(prompts)],
            "chain": chains[i % 4] | ({"min_p": {"min_p": 0.02}} if i % 3 else {}),
            "seed": i,
            "max_tokens": tokens + i % 7,
        }
        for i in range(count)
    ]


def alone(session: Session, body: dict[str, Any]) -> str:
    links = [processor(name, **(p if isinstance(p, dict) else {name: p})) for name, p in body["chain"].items()]
    own = {"chain": Chain(links), "seed": body["seed"], "max_tokens": body["max_tokens"]}
    return session.generate(body["prompt"], **own).text


def test_32_users_at_once_get_what_each_gets_alone_and_errors_are_their_own() -> None:
    bodies = users(32, ["the ", "and ", "dry "], 20)
    wrong = [{"prompt": 1}, {"prompt": "a", "chain": {"top_k": -1}}, {"prompt": "a", "colour": 1}, {"prompt": ""}, []]

    async def main(url: str) -> tuple[list[Any], list[Any]]:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            posted = (client.post("/generate", json=body) for body in wrong)
            found = await asyncio.gather(*(text_of(client, body) for body in bodies), *posted)
            assert (await client.get("/health")).json()["runs"] == 0
            return found[: len(bodies)], found[len(bodies) :]

    with serving("-c", STARTED, "5") as server:
        texts, refused = asyncio.run(main(server.url))
        rest = server.stop()
        assert server.process.returncode == 0
    session = Session(NGramAdapter(TEXT))
    assert [text for text, _ in texts] == [alone(session, body) for body in bodies]
    assert {end for _, end in texts} <= {"length", "stop"}
    assert [response.status_code for response in refused[:3]] == [400] * 3 and refused[4].status_code == 400
    assert "top_k" in refused[1].json()["error"] and "colour" in refused[2].json()["error"]
    assert "event: error" in refused[3].text  # an empty prompt is an error of the model
    said = [json.loads(line) for line in rest.splitlines()]
    assert said[-1]["event"] == "stopped"
    assert sum(line["event"] == "run" for line in said) == 33


def test_a_user_who_goes_away_frees_the_place() -> None:
    async def main(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            body = {"prompt": SLOW, "max_tokens": 512}
            async with client.stream("POST", "/generate", json=body) as response:
                async for _ in events_of(response.aiter_lines()):
                    assert (await client.get("/health")).json()["runs"] == 1
                    break

    with serving("-c", STARTED, "5") as server:
        asyncio.run(main(server.url))
        run = server.logged("run")
        assert run["end"] == "cancelled" and run["tokens"] < 512


@pytest.mark.parametrize(("grace", "cancelled"), [(30, False), (0, True)])
def test_a_signal_lets_runs_end_and_cancels_those_that_take_too_long(grace: int, cancelled: bool) -> None:
    async def main(server: Running) -> str:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
            body = {"prompt": SLOW, "max_tokens": 200, "seed": 1, "chain": {"top_k": 3}}
            async with client.stream("POST", "/generate", json=body) as response:
                seen = ""
                try:
                    async for name, data in events_of(response.aiter_lines()):
                        if not seen:
                            server.process.send_signal(signal.SIGINT)
                        seen = data.get("finish_reason", name)
                except httpx.RemoteProtocolError:
                    return "cancelled"
                return seen

    with serving("-c", STARTED, str(grace)) as server:
        last = asyncio.run(main(server))
        assert last in ("cancelled", "token") if cancelled else last in ("length", "stop")
        assert (server.logged("run")["end"] == "cancelled") == cancelled
        server.logged("stopped")
        assert server.process.wait(60) == 0


@pytest.mark.real_model
def test_the_real_model_serves_as_many_as_there_is_room_for_and_each_gets_what_it_gets_alone() -> None:
    """All places taken: the next user is told so. Four go away: their places are free, and others notice nothing."""
    pytest.importorskip("llama_cpp")
    bodies = users(4, ["Once upon a time", "The sea"], 8)
    long = {"prompt": "In the year 1969", "max_tokens": 512, "chain": {"top_k": 2}}

    async def main(url: str) -> list[Any]:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

            async def begun(stack: contextlib.AsyncExitStack) -> Any:
                response = await stack.enter_async_context(client.stream("POST", "/generate", json=long))
                events = events_of(response.aiter_lines())
                await anext(events)
                return events

            async with contextlib.AsyncExitStack() as one:
                stays = [await begun(one)]
                async with contextlib.AsyncExitStack() as others:
                    stays += [await begun(others) for _ in range(4)]
                    refused = await client.post("/generate", json=bodies[0])
                    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                    assert refused.json() == {"error": "too many runs"}
                while (await client.get("/health")).json()["runs"] > 1:
                    await asyncio.sleep(0)
                return await asyncio.gather(*(text_of(client, body) for body in bodies))

    with serving("-c", REAL) as server:
        texts = asyncio.run(main(server.url))
        ends = [server.logged("run")["end"] for _ in range(9)]
        assert '"stopped"' in server.stop()
    assert sorted(ends) == [*["cancelled"] * 5, *["length"] * 4]
    with decodekit.open("smollm2", n_threads=1) as session:
        assert [text for text, _ in texts] == [alone(session, body) for body in bodies]


def test_it_is_one_short_file() -> None:
    assert len(SERVER.read_text().splitlines()) < 150
