"""A web server of one model for many users: each request has its own chain and seed, and its text comes as it is made.

    python examples/web/server.py --port 8000
    curl -N localhost:8000/generate -d '{"prompt": "Once upon a time", "chain": {"top_k": 20}, "seed": 7}'

`AsyncSession` asks the model for all users at once. A client that goes away frees its place at once. Ctrl-C or SIGTERM
lets the runs end, for some seconds, and then cancels them. Needs starlette and uvicorn.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import decodekit

MOST_TOKENS, MOST_RUNS, LONGEST = 512, 64, 60.0  # tokens and seconds of a run
OPTIONS = {"prompt", "chain", "seed", "max_tokens", "priority"}
log = structlog.get_logger()


def options_of(body: Any) -> dict[str, Any]:
    """The options of one request, checked: what comes from outside chooses among what is offered here."""
    if not isinstance(body, dict) or not isinstance(body.get("prompt"), str):
        raise ValueError("prompt: a text")
    if unknown := sorted(set(body) - OPTIONS):
        raise ValueError(f"there is no option {unknown[0]!r}; there is {', '.join(sorted(OPTIONS))}")
    tokens, chain = body.get("max_tokens", 64), body.get("chain", {})
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= MOST_TOKENS:
        raise ValueError(f"max_tokens: 1 to {MOST_TOKENS}")
    if not isinstance(chain, dict):
        raise ValueError('chain: processors by name, such as {"top_k": 20, "dry": {"multiplier": 0.8}}')
    parts = [{**(p if isinstance(p, dict) else {name: p}), "name": name} for name, p in chain.items()]
    return {
        "prompt": body["prompt"],
        "chain": decodekit.Chain.from_parts(parts),
        "seed": body.get("seed"),
        "max_tokens": tokens,
        "priority": body.get("priority", 0),
        "level": "none",  # nothing is recorded here
        "deadline": LONGEST,
    }


def event(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


class Events(StreamingResponse):
    """Server-sent events. When the client goes away, their generator is closed now and not by the garbage collector."""

    async def stream_response(self, send: Any) -> None:
        async with contextlib.aclosing(self.body_iterator):
            await super().stream_response(send)


class Server:
    """The routes, and the runs that are under way.

    Args:
        adapter: the model. It is closed when the server stops.
    """

    def __init__(self, adapter: decodekit.Adapter) -> None:
        self.adapter, self.session = adapter, decodekit.AsyncSession(adapter)
        self.runs: set[asyncio.Task[Any]] = set()
        routes = [Route("/generate", self.generate, methods=["POST"]), Route("/health", self.health)]
        self.app = Starlette(routes=routes, lifespan=self.lifespan)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        log.info("started", model=self.adapter.info.model)
        try:
            yield
        finally:
            await asyncio.gather(*self.runs, return_exceptions=True)
            await asyncio.to_thread(self.adapter.close)
            log.info("stopped")

    async def health(self, request: Request) -> Response:
        return JSONResponse({"model": self.adapter.info.model, "runs": len(self.runs)})

    async def generate(self, request: Request) -> Response:
        """Events: ``token`` for each piece of text, then ``end``, or ``error``."""
        if len(self.runs) >= MOST_RUNS:
            return JSONResponse({"error": "too many runs"}, status_code=503, headers={"Retry-After": "1"})
        try:
            steps = self.session.stream(**options_of(await request.json()))
        except (ValueError, TypeError, RecursionError, decodekit.DecodekitError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return Events(self.events(steps), media_type="text/event-stream")

    async def events(self, steps: Any) -> AsyncIterator[str]:
        began, tokens, end, task = time.perf_counter(), 0, "cancelled", asyncio.current_task()
        self.runs.add(task)
        try:
            async with steps:
                async for step in steps:
                    tokens += 1
                    yield event("token", text=step.text)
            end = steps.result.finish_reason
            yield event("end", finish_reason=end, seed=steps.result.seed)
        except decodekit.DecodekitError as error:
            end = "error"
            yield event("error", error=str(error))
        finally:
            self.runs.discard(task)
            log.info("run", tokens=tokens, end=end, seconds=round(time.perf_counter() - began, 3))


def serve(adapter: decodekit.Adapter, port: int, grace: int) -> None:
    """Serve until a signal comes; then let the runs end for so many seconds."""
    first = [structlog.processors.TimeStamper(fmt="iso"), structlog.processors.add_log_level]
    last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*first, *last],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    of_uvicorn = logging.StreamHandler()
    formatter = structlog.stdlib.ProcessorFormatter
    bare = formatter.remove_processors_meta
    of_uvicorn.setFormatter(formatter(foreign_pre_chain=first, processors=[bare, *last]))
    logging.basicConfig(handlers=[of_uvicorn], level=logging.WARNING)
    listening = socket.create_server(("127.0.0.1", port))
    log.info("listening", port=listening.getsockname()[1])
    config = uvicorn.Config(Server(adapter).app, log_config=None, timeout_graceful_shutdown=grace)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after it has shut down
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    serve(decodekit.adapter("llamacpp", model="smollm2"), given.port, grace=10)
