"""Models of the hub by name: fetched only with leave, from a hub on loopback, and pinned by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import pty
import struct
import termios
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import ModelNotFound
from decodekit.local.hub_names import HubName, hub_name
from decodekit.local.model_files import find_model
from tests import families
from tests.local.hub_calls import run
from tests.local.hub_server import COMMIT, hub

pytest.importorskip("huggingface_hub")


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
    assert no_file == (
        "other.gguf of org/small at revision main cannot be had from the hub: org/small has no file 'other.gguf'; "
        "it has 'q4/model.gguf', 'page.gguf'"
    )
    assert no_revision.endswith("from the hub: org/small has no revision v9; it has 'main'")
    assert "there is no repository org/none, or it is not open to you" in no_repository
    assert "needs a token in HF_TOKEN" in no_repository
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
        ("hf:org/repo/a b/c d.gguf", HubName("org/repo", "a b/c d.gguf")),
        ("hf:org/repo/ä@1.gguf", HubName("org/repo", "ä@1.gguf")),
        ("hf:org/repo/a@b@1.gguf@v1", HubName("org/repo", "a@b@1.gguf", "v1")),
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
        ("hf:org/repo/../file.gguf", "names no model of the hub"),
        ("hf:org/repo/a//file.gguf", "names no model of the hub"),
        ("hf:org/repo@v1/a.gguf", "a revision is written last, behind the file: hf:org/repo/a.gguf@v1"),
        ("llamacpp:hf:org/repo", "names no .gguf file; write hf:org/repo/FILE.gguf, or torch:hf:org/repo"),
        ("org/name", "is named 'hf:org/name', with allow_downloads=True to fetch it"),
    ],
)
def test_what_is_no_such_name_is_told(what: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        decodekit.open(what)
