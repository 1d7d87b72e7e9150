"""The key goes to its server, and nowhere else."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

import decodekit
from decodekit import Session
from decodekit.errors import ConfigError, ParameterError, ProviderError
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.faults import KEY, PREFIX, always, asked, remote, sending
from tests.adapters.remote.servers import respond, serving


def test_a_key_is_in_no_error_log_trace_repr_or_url(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    monkeypatch.setenv("TABLE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    with serving("vllm") as server:
        adapter = remote(server, api_key_env="TABLE_KEY", top=257)
        with Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session:
            session.generate(PREFIX, max_tokens=3, trace=tmp_path / "trace.jsonl", level="full")
        assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
        seen += [
            (tmp_path / "trace.jsonl").read_text(),
            repr(adapter),
            str(adapter.info),
            str(vars(adapter._transport)),
        ]
        seen += [path for path, _, _ in server.requests]
        for status in (400, 401, 429, 500, 302):
            told = respond(status, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "retry-after-ms: 1")
            server.fault = always(sending(told))
            (answer,) = asked(remote(server, api_key_env="TABLE_KEY", attempts=2))
            seen += ["".join(traceback.format_exception(answer)), repr(answer), str(answer)]
            assert "[key]" in str(answer)
        server.fault = always(sending(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + KEY.encode()))
        seen.append(str(asked(remote(server, api_key_env="TABLE_KEY"))))
    seen += [record.getMessage() + str(vars(record)) for record in caplog.records]
    assert caplog.records and all(KEY not in text for text in seen)


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
