"""Models of the hub by name: fetched only with leave, from a hub on loopback, and pinned by their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import ModelNotFound
from decodekit.local.hub import HubName, hub_name
from decodekit.local.model_files import find_model
from tests import families
from tests.local.hub_server import COMMIT, hub

pytest.importorskip("huggingface_hub")

PROGRAM = """
import json, sys
import decodekit
from decodekit import DecodekitError
from decodekit.local.hub import hub_folder, hub_name

def opened(what, **options):
    with decodekit.open(what, chain="greedy", max_tokens=2, **options) as session:
        info = session.generate("The capital of").trace.header.adapter
        return [info["name"], info["model"], info["model_fingerprint"], info["versions"].get("hub commit")]

def told(what, **options):
    try:
        return opened(what, **options) if "gguf" in what else str(hub_folder(hub_name(what), **options))
    except DecodekitError as error:
        return str(error)

print(json.dumps([told(what, **options) for what, options in json.load(sys.stdin)]))
"""


def run(calls: list[tuple[str, dict[str, Any]]], endpoint: str, home: Path, stderr: int = subprocess.PIPE) -> list[Any]:
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key[:3] != "HF_"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(calls),
        env={**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # no progress bar where there is no terminal
    return list(json.loads(done.stdout))


def test_a_gguf_file_is_fetched_with_leave_only_and_then_used_without(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    model = find_model("smollm2")
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    name, small = "hf:org/small/q4/model.gguf", {"n_ctx": 32, "n_threads": 1}
    allowed = {**small, "allow_downloads": True}
    page = tmp_path / "page.html"
    page.write_text("<html>")
    with hub({"org/small": {"q4/model.gguf": model, "page.gguf": page}}, gated=["org/gated"]) as (endpoint, asked):
        refused, fetched, *others = run(
            [
                (name, small),
                (name, {**allowed, "sha256": sha256}),
                (f"{name}@{COMMIT}", small),
                (name, {**small, "sha256": "0" * 64}),
                ("hf:org/small/other.gguf", allowed),
                (f"{name}@v9", allowed),
                ("hf:org/none/model.gguf", allowed),
                ("hf:org/gated/model.gguf", allowed),
                ("hf:org/small/page.gguf", allowed),
            ],
            endpoint,
            tmp_path,
        )
    assert refused == (
        "q4/model.gguf of org/small at revision main is not in the hub's cache on this machine, and downloads are off; "
        f"allow_downloads=True would download q4/model.gguf from {endpoint}/org/small"
    )
    assert fetched == ["llamacpp", name, f"sha256:{sha256}", COMMIT]
    cached, another, no_file, no_revision, no_repository, gated, no_model = others
    assert "a private or gated model needs a token in HF_TOKEN" in gated
    assert "not a GGUF file: it starts with b'<htm'" in no_model and "to fetch it again" in no_model
    assert Path(no_model.partition("remove ")[2].partition(" to fetch")[0]).read_text() == "<html>"
    assert cached == ["llamacpp", f"{name}@{COMMIT}", f"sha256:{sha256}", COMMIT]
    assert "is not the pinned model: it has sha256:" in another
    assert "other.gguf of org/small at revision main cannot be had from the hub: " in no_file
    assert "at revision v9 cannot be had" in no_revision and "of org/none at" in no_repository
    assert sum(each.startswith("GET") and "model.gguf" in each for each in asked) == 1


def test_a_repository_of_transformers_is_fetched_without_what_holds_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = families.folder("tiktoken")
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    code = tmp_path / "modeling.py"
    code.write_text("raise SystemExit")
    home = tmp_path / "home"
    with hub({"org/model": {**files, "modeling.py": code, "onnx/model.safetensors": code}}) as (endpoint, asked):
        refused, fetched, cached = run(
            [
                ("hf:org/model", {"allow_downloads": False}),
                ("hf:org/model", {"allow_downloads": True}),
                (f"hf:org/model@{COMMIT}", {"allow_downloads": False}),
            ],
            endpoint,
            home,
        )
        own, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        run([("hf:org/model", {"allow_downloads": True})], endpoint, tmp_path / "other", terminal)
        assert b"Fetching" in os.read(own, 10_000)
        os.close(own)
        os.close(terminal)
    assert "allow_downloads=True would download its configuration, tokenizer and safetensors from" in refused
    assert fetched == cached and Path(fetched).name == COMMIT
    assert {path.name for path in Path(fetched).iterdir()} == set(files)
    assert not any("modeling.py" in each or "onnx" in each for each in asked)

    pytest.importorskip("torch")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    with decodekit.open("hf:org/model") as session, decodekit.open(folder) as same:
        info: Any = session.adapter.info
        assert info.model_fingerprint == same.adapter.info.model_fingerprint
        assert info.versions["hub commit"] == COMMIT and "hub commit" not in same.adapter.info.versions
        pin = info.model_fingerprint.removeprefix("sha256:")
        assert session.generate([3, 4], max_tokens=2, seed=1).trace.header.adapter["model"] == "hf:org/model"
    decodekit.open("torch:org/model", sha256=pin).close()
    with pytest.raises(ModelNotFound, match="org/model is not the pinned model: it has sha256:"):
        decodekit.open("torch:org/model", sha256="0" * 64)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:org/repo", HubName("org/repo")),
        ("hf:org/repo@v1.0", HubName("org/repo", "", "v1.0")),
        ("hf:org/repo/a/b.gguf@refs/pr/1", HubName("org/repo", "a/b.gguf", "refs/pr/1")),
        ("hf:gpt2", HubName("gpt2")),
        ("smollm2", None),
        ("org/repo", None),
    ],
)
def test_names_of_the_hub(text: str, name: HubName | None) -> None:
    assert hub_name(text) == name


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("hf:", "names no model of the hub: write hf:org/repo/file.gguf"),
        ("hf:org/repo/file.gguf@", "names no model of the hub"),
        ("llamacpp:hf:org/repo", "names no .gguf file; write hf:org/repo/FILE.gguf, or torch:hf:org/repo"),
        ("org/name", "is named 'hf:org/name', with allow_downloads=True to fetch it"),
    ],
)
def test_what_is_no_such_name_is_told(what: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        decodekit.open(what)
