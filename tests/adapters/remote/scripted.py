"""A server on loopback that answers as it is told, for answers that it draws."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from decodekit_remote import RemoteAdapter

__all__ = ["TALK", "Scripted", "anthropic", "chunk", "entry", "generated", "playing", "responses", "streamed"]

TALK: Any = [{"role": "user", "content": "hi"}]


class Scripted:
    """Answers every POST by ``answer``, and lists one model, ``owner``'s; None for a server that lists none.

    Args:
        answer: from the number and the body of a request to status, content type and the pieces of the body. A piece
            may block; it is given ``gone``, which is set at the end of the test.
    """

    def __init__(
        self, answer: Callable[[int, Any], tuple[int, str, Sequence[Any]]], owner: str | None = "acme"
    ) -> None:
        self.answer, self.owner = answer, owner
        self.asked: list[tuple[str, Any]] = []
        self.gone = threading.Event()
        self.routes: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def respond(self, status: int, kind: str, pieces: Sequence[Any]) -> None:
                self.send_response(status)
                for name, value in {"content-type": kind, **outer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in pieces:
                        self.wfile.write(piece(outer.gone) if callable(piece) else piece)
                        self.wfile.flush()
                except OSError:
                    pass

            def do_GET(self) -> None:
                listed = {"data": [{"id": "m", "owned_by": outer.owner}]}
                there = self.path == "/v1/models" and outer.owner is not None
                self.respond(200 if there else 404, "application/json", [json.dumps(listed if there else {}).encode()])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path in outer.routes:
                    self.respond(200, "application/json", [json.dumps(outer.routes[self.path]).encode()])
                    return
                outer.asked.append((self.path, body))
                self.respond(*outer.answer(len(outer.asked), body))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=lambda: self._server.serve_forever(0.01), daemon=True).start()

    def adapter(self, dialect: str = "openai_chat", **params: Any) -> RemoteAdapter:
        given = {"probe": False, "deadline": 20.0, "attempts": 2, **params}
        return RemoteAdapter(base_url=self.url, dialect=dialect, **given)

    def close(self) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def playing(answer: Any, **params: Any) -> Iterator[Scripted]:
    """A server that answers so, or always with these events."""
    told = answer if callable(answer) else lambda *_: streamed(answer)
    server = Scripted(told, **params)
    try:
        yield server
    finally:
        server.close()


def streamed(events: Any, *, done: bool = True) -> tuple[int, str, list[Any]]:
    """Server-sent events; bytes and functions are sent as they are, texts as data."""
    pieces = [
        each if isinstance(each, bytes) or callable(each)
        else f"data: {each if isinstance(each, str) else json.dumps(each)}\n\n".encode()
        for each in events
    ]  # fmt: skip
    return 200, "text/event-stream", [*pieces, b"data: [DONE]\n\n" if done else b""]


def entry(token: str, logprob: float | None = -0.5, **more: Any) -> Any:
    """One token of a chat's list, with itself as its alternatives."""
    own = {"token": token, "logprob": logprob, "bytes": list(token.encode()), **more}
    return {**own, "top_logprobs": [own]}


def chunk(text: str | None = None, entries: Any = None, ends: str | None = None, **delta: Any) -> Any:
    """One event of a chat."""
    listed = None if entries is None else {"content": entries}
    added = ({} if text is None else {"content": text}) | delta
    return {"model": "m", "choices": [{"index": 0, "delta": added, "finish_reason": ends, "logprobs": listed}]}


def responses(*deltas: tuple[str, Any], end: Any = None) -> list[Any]:
    """The events of ``/v1/responses``."""
    texts = [{"type": "response.output_text.delta", "delta": text, "logprobs": listed} for text, listed in deltas]
    return [*texts, end or {"type": "response.completed", "response": {"status": "completed", "model": "m"}}]


def anthropic(*texts: str, reason: str = "end_turn") -> list[Any]:
    """The events of ``/v1/messages``: 9 tokens in, 12 out."""
    return [
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9}}},
        *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": each}} for each in texts],
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 12}},
        {"type": "message_stop"},
    ]


def generated(server: Scripted, dialect: str = "openai_chat", prompt: Any = TALK, **options: Any) -> Any:
    """The result of one run in which this server draws."""
    from decodekit import Session

    chain, params = options.pop("chain", "provider"), options.pop("adapter", {})
    with Session(server.adapter(dialect, **params), chain, seed=1) as session:
        return session.generate(prompt, **{"max_tokens": 16, **options})
