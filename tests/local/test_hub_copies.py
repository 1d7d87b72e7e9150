"""A copy of a model of the hub that is damaged, or lacks a part, is refused with the way out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import ModelNotFound
from decodekit.local.fingerprint import file_fingerprint
from decodekit.local.hub import hub_folder
from decodekit.local.hub_names import HubName
from tests import families
from tests.local.hub_calls import run
from tests.local.hub_server import COMMIT, hub

pytest.importorskip("huggingface_hub")

MODEL = HubName("org/model")
ALLOWED: dict[str, Any] = {"allow_downloads": True}


def files() -> dict[str, Path]:
    return {path.name: path for path in families.folder("tiktoken").iterdir() if path.is_file()}


def fetched(home: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> Path:
    """The folder of a copy in the hub's cache, which is then the cache of this process."""
    with hub({"org/model": files()}, **how) as (endpoint, _):
        (folder,) = run([("hf:org/model", ALLOWED)], endpoint, home)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    return Path(folder)


def test_a_gguf_file_that_is_not_what_the_hub_announced_is_refused_each_time(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    model = families.gguf_file(next(iter(families.GGUFS)))
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    calls = [("hf:org/small/model.gguf", {"n_threads": 1, **more}) for more in (ALLOWED, {})]
    with hub({"org/small": {"model.gguf": model}}, damaged=["model.gguf"]) as (endpoint, _):
        refused, again = run(calls, endpoint, tmp_path)
    assert f"model.gguf is damaged: the hub announced sha256:{sha256}, and the file has sha256:" in refused
    assert again == refused
    blob = Path(refused.partition("Remove ")[2].partition(" and open")[0])
    assert blob.name == sha256
    blob.unlink()
    with hub({"org/small": {"model.gguf": model}}) as (endpoint, _):
        assert run(calls[:1], endpoint, tmp_path)[0][2] == f"sha256:{sha256}"


def test_a_repository_of_transformers_with_a_damaged_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    in_git = [each for each in files() if each != "model.safetensors"]
    folder = fetched(tmp_path, monkeypatch, by_git=in_git)
    decodekit.open("hf:org/model").close()
    for file, kind in (("model.safetensors", "sha256:"), ("tokenizer.json", "git blob ")):
        blob, data = (folder / file).resolve(), (folder / file).read_bytes()
        blob.write_bytes(data[:-1] + b" ")
        announced = rf"/{file} is damaged: the hub announced {kind}{blob.name}, and the file has {kind}"
        with pytest.raises(ModelNotFound, match=announced):
            decodekit.open("hf:org/model")
        blob.write_bytes(data)


def test_what_is_compared_is_what_the_hub_announced_and_nothing_else(tmp_path: Path) -> None:
    data = b"some weights"
    blobs = tmp_path / "models--org--model" / "blobs"
    shared = tmp_path / "blobs" / "ab" / ("ab" * 32)  # a store that repositories share, by digests of another kind
    for folder in (blobs, shared.parent):
        folder.mkdir(parents=True)
    shared.write_bytes(data)
    sha256, sha1 = hashlib.sha256(data).hexdigest(), hashlib.sha1(data).hexdigest()
    for name, sound in ((sha256, True), (sha1, True), ("0" * 32, True), ("0" * 64, False), ("0" * 40, False)):
        (blobs / name).symlink_to(os.path.relpath(shared, blobs))
        link = tmp_path / name
        link.symlink_to(blobs / name)
        for path in (link, blobs / name):
            if sound:
                assert file_fingerprint(path) == f"sha256:{sha256}"
            else:
                with pytest.raises(ModelNotFound, match=f"is damaged: .*Remove {blobs / name} and open"):
                    file_fingerprint(path)


def test_a_copy_that_is_known_to_lack_a_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetched(tmp_path, monkeypatch)
    assert hub_folder(MODEL, allow_downloads=False) == folder
    for removed, named in (
        (["generation_config.json"], "generation_config.json ("),
        (["tokenizer.json", "generation_config.json"], "generation_config.json and 1 more ("),
        (["model.safetensors"], "model.safetensors (or "),
    ):
        kept = {folder / file: (folder / file).readlink() for file in removed}
        for path in kept:
            path.unlink()
        with pytest.raises(ModelNotFound) as caught:
            hub_folder(MODEL, allow_downloads=False)
        assert f"the copy of {MODEL} in the hub's cache on this machine has no {named}" in str(caught.value)
        assert "downloads are off; allow_downloads=True would download what is missing" in str(caught.value)
        for path, target in kept.items():
            path.symlink_to(target)


def test_where_the_list_of_files_is_unknown_the_index_of_the_weights_counts_and_the_rest_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged_events: list[Any]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--org--model"
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
    (folder / "1.safetensors").touch()
    with pytest.raises(ModelNotFound, match=r"has no 2\.safetensors \("):
        hub_folder(MODEL, allow_downloads=False)
    (folder / "2.safetensors").touch()
    for known, missing in (
        ([], ["generation_config.json", "tokenizer.json"]),
        (["generation_config.json"], ["tokenizer.json"]),
    ):
        for each in known:  # how the hub's library notes that a repository has no such file
            (repository / ".no_exist" / COMMIT).mkdir(parents=True)
            (repository / ".no_exist" / COMMIT / each).touch()
        logged_events.clear()
        assert hub_folder(MODEL, allow_downloads=False) == folder
        assert [(event["log_level"], event["missing"]) for event in logged_events] == [("warning", missing)]


def test_a_repository_without_safetensors_names_its_gguf_files(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    with hub({"org/a": {"config.json": config, "q 4.gguf": config}, "org/b": {"q.bin": config}}) as (endpoint, _):
        with_files, without = run([("hf:org/a@main", ALLOWED), ("hf:org/b", ALLOWED)], endpoint, tmp_path)
    assert with_files == (
        "org/a at revision main holds no model that can be used: the repository has no model.safetensors (or "
        "model.safetensors.index.json and the parts in it); it has GGUF files, such as hf:org/a/q 4.gguf@main"
    )
    assert without == "org/b at revision main holds no model that can be used: the repository has no config.json"
