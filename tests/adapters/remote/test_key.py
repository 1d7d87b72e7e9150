"""The key goes to its server, and nowhere else."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import decodekit
from decodekit import Session
from decodekit.errors import ConfigError, DecodekitError, ParameterError, ProviderError
from decodekit_remote import RemoteAdapter
from decodekit_remote.redaction import Redaction
from tests.adapters.remote.canary import CANARY, ENCODINGS, PLACES, leaks
from tests.adapters.remote.faults import KEY, PREFIX, always, asked, remote, sending
from tests.adapters.remote.servers import respond, serving


def test_a_key_is_sent_and_is_in_no_trace_repr_or_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TABLE_KEY", KEY)
    with serving("vllm") as server:
        adapter = remote(server, api_key_env="TABLE_KEY", top=257)
        with Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session:
            session.generate(PREFIX, max_tokens=3, trace=tmp_path / "trace.jsonl", level="full")
        assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
        seen = [(tmp_path / "trace.jsonl").read_text(), repr(adapter), str(adapter.info), str(vars(adapter))]
        seen += [path for path, _, _ in server.requests]
    assert all(KEY not in text for text in seen)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_key_that_a_server_repeats_is_told_nowhere(
    encoding: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Every encoding at every place, looked for in every sink: errors and what they are chained to, logs, traces."""
    monkeypatch.setenv("TABLE_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    with serving("vllm") as server:
        for number, (place, answer) in enumerate(PLACES.items()):
            server.fault = always(sending(answer(ENCODINGS[encoding](CANARY)), stay=False))
            adapter = remote(server, api_key_env="TABLE_KEY", attempts=2, draft=1, top=1)
            path = tmp_path / f"{number}.jsonl"
            with Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session:
                seen = _sinks(lambda session=session, path=path: session.generate(PREFIX, max_tokens=2, trace=path))
            seen += [path.read_text(), str(adapter.info), str(adapter.capabilities), repr(adapter)]
            for text in seen:
                assert not leaks(text), f"{place}: {text[:500]}"
        assert caplog.records
        for text in (f"{record.getMessage()} {vars(record)}" for record in caplog.records):
            assert not leaks(text), f"a log: {text[:500]}"


def _sinks(work: Callable[[], Any]) -> list[str]:
    """All that an error shows; and the parts of it that a debugger or a log shows."""
    try:
        return [str(work().token_ids)]
    except DecodekitError as error:
        chained: list[BaseException | None] = [error, error.__cause__, error.__context__]
        shown = [text for each in chained if each is not None for text in (str(each), repr(each), str(vars(each)))]
        documents = [str(getattr(each, "doc", "")) for each in chained if each is not None]
        return [*shown, *documents, *map(str, error.args), "".join(traceback.format_exception(error))]


@pytest.mark.parametrize("place", ["/v1/models", "/version", "/tokenize", "/v1/completions"])
def test_the_doctor_shows_no_key(
    place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the server is met: its names, what it says of itself, its tokenizer, the probe."""
    testing = pytest.importorskip("typer.testing")
    from decodekit.cli import app as commands

    monkeypatch.setenv("TABLE_KEY", CANARY)
    with serving("vllm") as server:
        told = json.dumps(CANARY.replace("/", "\\/"))
        for answer in (
            respond(401, {"detail": told}),
            respond(
                200, {"version": told, "tokens": told, "choices": told, "data": [{"id": told, "owned_by": "vllm"}]}
            ),
            respond(200, told),
        ):
            faulty = always(sending(answer))
            server.fault = lambda number, path, faulty=faulty: faulty(number, path) if path == place else None
            arguments = ["--adapter", "remote", "--set", f"base_url={server.url}", "--set", "api_key_env=TABLE_KEY"]
            for more in ([], ["--set", "dialect=vllm"], ["--json"]):
                done = testing.CliRunner().invoke(commands.app, ["doctor", *arguments, *more])
                assert not leaks(done.stdout + done.stderr + repr(done.exception)), done.stdout + done.stderr
    assert not leaks("".join(capfd.readouterr()))


def test_ordinary_words_are_left_as_they_are() -> None:
    words = "http://127.0.0.1:8080/v1 answered 401: é & <b>, 100 % = a=b, %41 \\u0041 canary sk-"
    assert Redaction(SecretStr(CANARY)).text(words) == words and Redaction(None).text(CANARY) == CANARY
    assert not leaks(words) and leaks(f"a {CANARY[3:11]} b") == [CANARY[3:11]]
    assert Redaction(SecretStr("short")).text("a short key") == "a [key] key"


def test_a_key_goes_to_its_own_origin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE_KEY", KEY)
    with serving() as server, serving() as other:
        told = f"HTTP/1.1 307 X\r\nlocation: {other.url}/completion\r\ncontent-length: 0\r\n\r\n".encode()
        server.fault = always(sending(told))
        (answer,) = asked(remote(server, api_key_env="TABLE_KEY"))
        assert isinstance(answer, ProviderError) and other.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "host:80",
        "http://",
        "http://user:pass@host",
        "http://host?key=1",
        "http://host#x",
        "http://h:99999",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_telling_its_secrets(url: str) -> None:
    with pytest.raises(ParameterError, match="base_url") as caught:
        RemoteAdapter(base_url=url, dialect="vllm", probe=False)
    assert "pass" not in str(caught.value).replace("password", "")


def test_keys_come_from_the_environment_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        RemoteAdapter(base_url="http://host", dialect="vllm", probe=False, api_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("SPLIT_KEY", "a\r\nhost: evil")
    with pytest.raises(ParameterError, match="header"):
        RemoteAdapter(base_url="http://host", dialect="vllm", probe=False, api_key_env="SPLIT_KEY")
    with pytest.raises(ParameterError, match="api_key_env") as caught:
        decodekit.adapter("remote", base_url="http://host", api_key_env=KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("encode", "between"),
    [
        (lambda part: list(map(str, part.encode())), " "),
        (lambda part: list(map(str, part.encode())), "-"),
        (list, "-"),
        (list, ", "),
        (lambda part: [f"{ord(each):02x}00" for each in part], " "),
    ],
    ids=["bytes", "bytes and dashes", "letters and dashes", "letters and commas", "UTF-16 in hexadecimal"],
)
def test_lists_with_other_marks_between_are_removed(encode: Callable[[str], list[str]], between: str) -> None:
    text = Redaction(SecretStr(CANARY)).text(f"bad key <{between.join(encode(CANARY))}>")
    parts = [between.join(encode(CANARY[at : at + 8])) for at in range(len(CANARY) - 7)]
    assert "[key]" in text and not any(part in text for part in parts)
