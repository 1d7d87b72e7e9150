"""Options of the short door that are objects of Python; and no message of it repeats a password."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import decodekit
from decodekit import ConfigError, DecodekitError, ParameterError, Session, Trace
from decodekit.cli.app import app
from decodekit.plugin import registry
from decodekit.testing import BytesTokenizer, NGramAdapter
from tests import families
from tests.adapters.remote.servers import TableServer

KEY = "hunter2"


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(headers={"x-mine": KEY})


class Transport(httpx.AsyncHTTPTransport):
    """One that holds a secret, and would show it."""

    def __repr__(self) -> str:
        return KEY


@dataclass
class Vault:
    """A secret that a serialiser of data classes would write out."""

    key: str = KEY


@pytest.fixture
def vaulted() -> Iterator[str]:
    decodekit.register_adapter("vaulted")(_vaulted)
    yield "vaulted:"
    registry.GROUPS["adapters"].registered.pop("vaulted")


def _vaulted(*, holds: object = None) -> NGramAdapter:
    assert holds is None or (isinstance(holds, dict) and isinstance(holds["in"][0], Vault))
    return NGramAdapter("abab")


def _asked(door: Callable[[], Any]) -> Any:
    """The result of the session behind a door; one of `aopen` is a session of tasks."""

    async def main(session: Any) -> Any:
        async with session:
            return await session.generate("the cat", max_tokens=1)

    session = door()
    if isinstance(session, decodekit.AsyncSession):
        return asyncio.run(main(session))
    with session:
        return session.generate("the cat", max_tokens=1)


def test_a_client_of_the_users_goes_through_every_door_and_is_named_in_the_record() -> None:
    server = TableServer("llama_server")
    config = {"adapter": {"type": "remote", "base_url": server.url, "client": client, "draft": 1}, "chain": "greedy"}
    doors: list[Callable[[], Any]] = [
        lambda: decodekit.open(server.url, "greedy", client=client, draft=1),
        lambda: decodekit.aopen(server.url, "greedy", client=client, draft=1),
        lambda: decodekit.open(config),
        lambda: Session.from_config(config),
        lambda: decodekit.AsyncSession.from_config(config),
    ]
    for door in doors:
        trace = _asked(door).trace
        assert server.requests[-1][1]["x-mine"] == KEY
        recorded = Trace.from_bytes(trace.to_bytes()).header.config
        assert recorded is not None
        assert recorded["adapter"]["client"] == {"python_object": f"function {__name__}.client"}
        assert KEY.encode() not in trace.to_bytes()


def test_a_record_names_the_kind_of_an_object_and_nothing_that_it_holds(vaulted: str) -> None:
    server = TableServer("llama_server")
    with decodekit.open(server.url, "greedy", transport=Transport, draft=1) as session:
        carried = session.generate("the cat", max_tokens=1).trace
    with decodekit.open(vaulted, holds={"in": [Vault()], "at": Path("a/b")}) as session:
        held = session.generate("a", max_tokens=1).trace
    for trace, key, value in (
        (carried, "transport", {"python_object": f"class {__name__}.Transport"}),
        (held, "holds", {"in": [{"python_object": f"object of {__name__}.Vault"}], "at": "a/b"}),
    ):
        assert KEY.encode() not in trace.to_bytes()
        config = Trace.from_bytes(trace.to_bytes()).header.config
        assert config is not None and config["adapter"][key] == value
        with pytest.raises(
            ConfigError, match=rf"{key} was a Python object \((class|object of) .*give it again: .*{key}=..."
        ):
            decodekit.open(config)
    assert config is not None
    with decodekit.open(config, holds={"in": [Vault()]}) as session:
        assert session.generate("a", max_tokens=1).token_ids


def test_a_guesser_of_the_configuration_may_hold_a_model(vaulted: str) -> None:
    config = {"adapter": {"type": "vaulted"}, "guesser": {"name": "draft", "draft": NGramAdapter("abab")}}
    with decodekit.open(config, seed=1) as session:
        header = session.generate("a", max_tokens=4).trace.header
    assert header.config is not None
    named = {"python_object": "object of decodekit.testing.adapters.NGramAdapter"}
    assert header.config["guesser"] == {"name": "draft", "draft": named}
    with pytest.raises(ConfigError, match=r"give it again: decodekit.open\(config, guesser=...\)"):
        decodekit.open(header.config)
    with decodekit.open(header.config, guesser="prompt_lookup") as session:
        assert session.generate("a", max_tokens=4).token_ids


def test_a_path_may_be_an_object() -> None:
    from decodekit.local.model_files import find_model

    with decodekit.open("llamacpp:", model=find_model("smollm2"), n_ctx=32, n_threads=1) as session:
        assert session.config is not None and session.config["adapter"]["model"].endswith(".gguf")
    folder = families.folder("tiktoken")
    with Session.from_config({"adapter": {"type": "torch", "model": Path(folder)}}) as session:
        assert session.adapter.info.model == str(folder)


def test_a_run_whose_record_names_an_object_is_not_resumed_without_it(vaulted: str, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with decodekit.open(vaulted, holds={"in": [Vault()]}, seed=1) as session:
        session.generate("a", max_tokens=2, trace=file)
    resumed = CliRunner().invoke(app, ["resume", str(file), "--as-recorded", "--max-tokens", "4"])
    assert "holds was a Python object" in str(resumed.exception)
    unnamed = CliRunner().invoke(app, ["resume", str(file), "--max-tokens", "4"])
    assert "--adapter vaulted, and with Python objects as holds" in str(unnamed.exception)


def test_a_tokenizer_is_an_object_or_a_path() -> None:
    server = TableServer("llama_server")
    with decodekit.open(server.url, tokenizer=BytesTokenizer()) as session:
        assert json.loads(json.dumps(session.config))["adapter"]["tokenizer"] == {
            "python_object": "object of decodekit.testing.tokenizers.BytesTokenizer"
        }
    with pytest.raises(ConfigError, match=r"tokenizer: 5 is no Tokenizer, and neither a name nor the path of a model"):
        decodekit.open(server.url, tokenizer=5).generate("the cat")
    with pytest.raises(DecodekitError, match=r"nowhere\.gguf"):
        decodekit.open(server.url, tokenizer=Path("nowhere.gguf")).generate("the cat")


def test_a_model_that_is_an_option_is_not_looked_for_in_the_name() -> None:
    torch = pytest.importorskip("torch")

    def echo(ids: Any) -> Any:
        return 4.0 * torch.eye(10)[ids]

    with decodekit.open("torch:", "greedy", model=echo) as session:
        assert session.generate([3], max_tokens=1).token_ids == (3,)
    server = TableServer("llama_server")
    with decodekit.open("remote:", "greedy", base_url=server.url, draft=1) as session:
        assert session.generate("the cat", max_tokens=1).token_ids
    for what, option in (("smollm2", "model"), ("torch:a/b", "model"), (server.url, "base_url")):
        with pytest.raises(ParameterError, match=f"names '{option}' twice: in its first argument, and as an option"):
            decodekit.open(what, **{option: "x"})


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        (
            "https://huggingface.co/a/b?token=hunter2",
            "'https://huggingface.co/a/b?token=[hidden]' is a page of the hub",
        ),
        ("http:/user:hunter2@h", "'http:/[hidden]@h': a server is named by its URL: 'http://[hidden]@h'"),
        ("//user:hunter2@h", "'//[hidden]@h': there is no such file"),
        ("//hunter2@h", "'//[hidden]@h': there is no such file"),
        ("remote:user:hunter2@h:80", "'remote' takes a URL"),
        ("user:hunter2@h:80", "'[hidden]@h:80': no adapter is named 'user'"),
        ("llamacpp:https://user:hunter2@h/m.gguf", "model 'https://[hidden]@h/m.gguf' does not exist"),
        ("torch:user:hunter2@h", "named '[hidden]@h'"),
        ("ftp://user:hunter2@h/app.toml", "cannot read ftp:/[hidden]@h/app.toml"),
        ("hf:user:hunter2@h/m.gguf", "'hf:[hidden]@h/m.gguf' names no model of the hub"),
        ("hf:a/b/c.gguf?token=hunter2", "c.gguf?token=[hidden]"),
        ("http://user:hunter2@h", "no user, password, query or fragment"),
        ("hf.co/a/b/blob/main/c%20d.gguf?key=hunter2", "its model is named 'hf:a/b/c d.gguf'"),
    ],
)
def test_what_is_refused_is_shown_without_its_secret(what: str, shown: str) -> None:
    with pytest.raises(DecodekitError) as caught:
        decodekit.open(what).generate("x")
    assert shown in str(caught.value) and KEY not in "".join(traceback.format_exception(caught.value)[1:])
