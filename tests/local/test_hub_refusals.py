"""Why the hub did not give a model is told with the cause and the way out, and without a secret."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import ModelNotFound
from decodekit.local.hub_errors import refused
from decodekit.local.hub_library import library, logged
from decodekit.local.hub_names import HubName
from tests.local.hub_calls import run
from tests.local.hub_server import hub

pytest.importorskip("huggingface_hub")

ALLOWED: dict[str, Any] = {"allow_downloads": True}


def test_a_password_and_a_token_are_in_no_message(tmp_path: Path) -> None:
    calls = [
        ("hf:org/gated/a.gguf", {}),
        *(("hf:org/" + each, ALLOWED) for each in ("gated/a.gguf", "page/a.gguf", "page")),
    ]
    with hub({}, gated=["org/gated"], pages=["org/page"]) as (endpoint, _):
        named = endpoint.replace("://", "://user:hunter2@")
        told = run(calls, named, tmp_path, HF_TOKEN="hf_0123456789")
    off, gated, file, folder = told
    assert off.endswith(f"would download a.gguf from {endpoint}/org/gated")
    assert "gated for Basic [user]; a private or gated model needs a token in HF_TOKEN" in gated
    for page in (file, folder):
        assert f"{endpoint} does not answer as a hub does (" in page
    assert not any(secret in text for text in told for secret in ("hunter2", "hf_0123456789"))


def test_a_variable_that_forbids_to_ask_is_named(tmp_path: Path) -> None:
    calls = [("hf:org/small/a.gguf", ALLOWED), ("hf:org/small", ALLOWED)]
    with hub({}) as (endpoint, asked):
        for text in run(calls, endpoint, tmp_path, TRANSFORMERS_OFFLINE="yes"):
            assert "the variable TRANSFORMERS_OFFLINE=yes forbids to ask the hub; without it, " in text
            assert f"would be downloaded from {endpoint}/org/small" in text
    assert not asked


def test_a_name_without_an_organisation_tells_what_the_hub_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelNotFound, match=r"package named 'nobodys'.*\. As a model of the hub: nobodys at .*are off; allow"
    ):
        decodekit.open("torch:nobodys")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match=r"As a model of the hub: nobodys at .* HF_HUB_OFFLINE=1 forbids to ask"):
        decodekit.open("torch:nobodys", allow_downloads=True)


@pytest.mark.parametrize(
    ("number", "way"), [(errno.ENOSPC, "free some space there"), (errno.EACCES, "make it writable")]
)
def test_an_error_of_the_disk_names_the_folder_and_its_variable(number: int, way: str) -> None:
    hubs = library()
    text = str(refused(hubs, HubName("org/a", "b.gguf"), OSError(number, os.strerror(number))))
    assert f"{os.strerror(number)}: it is kept in {hubs.constants.HF_HUB_CACHE}; {way}, or name another" in text


def test_what_the_library_of_the_hub_prints_goes_to_the_log_without_secrets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, logged_events: list[Any]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    library()
    theirs = logging.getLogger("huggingface_hub.utils._http")
    with logged(), logged():
        theirs.warning("GET https://user:pass@cdn/x?signature=1 with hf_0123456789")
    assert [(event["event"], event["text"]) for event in logged_events] == [
        ("huggingface_hub says", "GET https://cdn/x with [token]")
    ]
    assert not caplog.records
    theirs.warning("another program's own call")
    assert [record.message for record in caplog.records] == ["another program's own call"]
