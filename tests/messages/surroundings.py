"""What the calls of the table find: names, files in the folder they run in, and what is left out of their messages."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import decodekit
from decodekit import Chain, Disclosure, Session, processor, sampler
from decodekit.cli import main
from decodekit.plugin.registry import GROUPS
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.trace.codec import digest

__all__ = ["names", "told", "write_files"]

TEXT = "the cat sat on the mat, and the dog sat on the log. "
NGRAM = '[adapter]\ntype = "ngram"\n'


class CommandFailed(Exception):
    """What a command wrote to stderr before it ended with an error."""


def command(line: str) -> None:
    """Run a command in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(shlex.split(line))
        except SystemExit as end:
            code = end.code
    if code:
        printed, said = (each.buffer.getvalue().decode().strip() for each in (out, err))  # type: ignore[attr-defined]
        raise CommandFailed((said or printed).replace("\n", "\n    "))


def configured(text: str, *, profile: str | None = None, **environment: str) -> Session:
    """A session of a file with this text, with these variables of the environment."""
    Path("given.toml").write_text(text)
    with patch.dict(os.environ, environment):
        return Session.from_config("given.toml", profile=profile)


async def entered(session: Any) -> None:
    async with session:
        pass


class Doubtful:
    def __call__(self, dist: Any, ctx: Any) -> Any:
        return dist


class StartsOnly(Doubtful):
    def initial(self, ctx: Any) -> int:
        return 0


class Silent(TableAdapter):
    """Forgets to return its answers."""

    def __init__(self) -> None:
        super().__init__({(): [0.0, 1.0, 2.0]}, 3)

    def predict(self, prefixes: Any, disclose: Any = None) -> Any:
        super().predict(prefixes)


class Short(Silent):
    """Answers none of several."""

    def predict(self, prefixes: Any, disclose: Any = None) -> Any:
        return []


class Nameless:
    """Has no info."""

    tokenizer = None

    def predict(self, prefixes: Any, disclose: Any = None) -> Any:
        return []


def forgetful(dist: Any, ctx: Any) -> Any:
    dist.top(3)


def failing(dist: Any, ctx: Any) -> Any:
    return dist.top(ctx.metadata["limit"])


def row(ids: Any) -> Any:
    return np.arange(50, dtype=np.float64) / (1 + len(ids))


def names(smollm2: Session, server: str) -> dict[str, Any]:
    """The names that a call may use: a session of a real model, the URL of a server of conversations, and others."""
    session = Session(NGramAdapter(TEXT), "temperature=0.8", seed=7)
    closed = TableAdapter(row, 50)
    closed.close()
    ours = (Chain, Session, NGramAdapter, TableAdapter, processor, sampler, command, configured, entered)
    wrong = (Doubtful, StartsOnly, Silent, Short, Nameless, forgetful, failing)
    return {
        **{each.__name__: each for each in (*ours, *wrong)},
        "NGRAM": NGRAM,
        "asyncio": asyncio,
        "decodekit": decodekit,
        "np": np,
        "model": NGramAdapter(TEXT),
        "bare": TableAdapter(row, 50),
        "narrow": TableAdapter(row, 50, context_length=4),
        "hidden": TableAdapter(row, 50, most=Disclosure(3)),
        "closed": Session(closed),
        "session": session,
        "smollm2": smollm2,
        "server": server,
        "result": session.generate("the ", max_tokens=3),
    }


def write_files(folder: Path) -> None:
    """The files that a call may name."""
    (folder / "empty").mkdir()
    for name, text in {
        "notes.txt": "dear diary\n",
        "broken.gguf": "dear diary\n",
        "app.json": '{"adapter": {"type": "ngram"}}\n',
        "app.yaml": "adapter:\n  type: ngram\n",
        "app.yaml.jsonl": "adapter:\n  type: ngram\n",
        "nothing.jsonl": "",
        "future.jsonl": '{"kind":"header","content":{"format":"decodekit-trace/99"}}\n',
    }.items():
        (folder / name).write_text(text)
    Session(NGramAdapter(TEXT), seed=7).generate("the ", max_tokens=3, trace=folder / "good.jsonl")
    good = (folder / "good.jsonl").read_bytes()
    lines = good.splitlines(keepends=True)
    (folder / "torn.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    step = json.loads(lines[1])
    step["content"]["token"] = "the"
    step["prev"] = digest(lines[0][:-1])
    (folder / "changed.jsonl").write_bytes(lines[0] + json.dumps(step, separators=(",", ":")).encode() + b"\n")


def told(error: BaseException, folder: Path) -> str:
    """The message, without what differs between machines."""
    text = str(error) if isinstance(error, CommandFailed) else f"{type(error).__name__}: {error}"
    text = text.replace(str(folder) + "/", "").replace(str(folder), "FOLDER")
    text = re.sub(r"\S+/site-packages/", "SITE/", text)
    text = re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORT", text)
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    return re.sub(r"0x[0-9a-f]{6,}", "0x...", text)


@contextlib.contextmanager
def own_plugins() -> Any:
    """An adapter 'ngram' for configurations and commands; all that a call registers is forgotten."""
    groups = [group.registered for group in GROUPS.values()]
    with contextlib.ExitStack() as stack:
        for registered in groups:
            stack.enter_context(patch.dict(registered, clear=True))

        @decodekit.register_adapter("ngram")
        def ngram(*, order: int = 4) -> NGramAdapter:
            return NGramAdapter(TEXT, order=order)

        yield
