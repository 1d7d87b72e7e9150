"""The recorded bodies, and a transport that plays them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx

__all__ = ["bodies", "names", "playing"]

_FOLDER = Path(__file__).parent / "bodies"


@cache
def bodies(server: str) -> dict[str, Any]:
    """All recordings of one server, by name."""
    recorded: dict[str, Any] = json.loads((_FOLDER / f"{server}.json").read_text(encoding="utf-8"))
    return recorded


def names() -> list[tuple[str, str]]:
    """Every recording: server and name."""
    return [(path.stem, name) for path in sorted(_FOLDER.glob("*.json")) for name in bodies(path.stem)]


def response(entry: dict[str, Any]) -> httpx.Response:
    """A recording as httpx sees it."""
    text = entry["text"] if "text" in entry else json.dumps(entry["body"])
    return httpx.Response(entry["status"], headers={"content-type": entry["type"]}, stream=_Once(text.encode()))


class _Once(httpx.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> Any:
        yield self._data


def playing(server: str, name: str, *others: str) -> httpx.MockTransport:
    """Plays ``name`` for every question, and of the others each for its own path and method."""
    answers = bodies(server)

    def answer(request: httpx.Request) -> httpx.Response:
        for other in others:
            entry = answers[other]
            if (entry["method"], entry["path"]) == (request.method, request.url.path):
                return response(entry)
        return response(answers[name])

    return httpx.MockTransport(answer)
