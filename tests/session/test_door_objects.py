"""Options of the short door that are objects of Python; and no message of it repeats a password."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import decodekit
from decodekit import ConfigError, DecodekitError, ParameterError, Session, Trace
from decodekit.testing import BytesTokenizer
from tests.adapters.remote.servers import TableServer


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(headers={"x-mine": "yes"})


def test_a_client_of_the_users_goes_through_every_door_and_is_named_in_the_record() -> None:
    server = TableServer("llama_server")
    config = {"adapter": {"type": "remote", "base_url": server.url, "client": client, "draft": 1}, "chain": "greedy"}
    doors: list[Any] = [
        lambda: decodekit.open(server.url, "greedy", client=client, draft=1),
        lambda: decodekit.open(config),
        lambda: Session.from_config(config),
    ]
    for door in doors:
        with door() as session:
            trace = session.generate("the cat", max_tokens=1).trace
        assert server.requests[-1][1]["x-mine"] == "yes"
        recorded = Trace.from_bytes(trace.to_bytes()).header.config
        assert recorded is not None and recorded["adapter"]["client"] == f"<{__name__}.client>"


def test_a_tokenizer_is_an_object_or_a_path() -> None:
    server = TableServer("llama_server")
    with decodekit.open(server.url, tokenizer=BytesTokenizer()) as session:
        assert json.loads(json.dumps(session.config))["adapter"]["tokenizer"].endswith("BytesTokenizer>")
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
        ("http://user:hunter2@h", "no user, password, query or fragment"),
        ("hf.co/a/b/blob/main/c%20d.gguf?key=hunter2", "its model is named 'hf:a/b/c d.gguf'"),
    ],
)
def test_what_is_refused_is_shown_without_its_secret(what: str, shown: str) -> None:
    with pytest.raises(DecodekitError) as caught:
        decodekit.open(what).generate("x")
    assert shown in str(caught.value) and "hunter2" not in str(caught.value)
