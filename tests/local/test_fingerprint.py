"""Digests of files: computed once, stored, and never a reason to fail."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from decodekit.errors import ModelNotFound
from decodekit.local import fingerprint


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file the digests are remembered in, in a directory of this test."""
    monkeypatch.setattr(fingerprint.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache" / "fingerprints.json"


@pytest.mark.usefixtures("cache")
def test_a_digest_is_computed_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"abc")
    first = fingerprint.file_fingerprint(model)
    assert first == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    known = model.stat()
    model.write_bytes(b"xyz")
    os.utime(model, ns=(known.st_atime_ns, known.st_mtime_ns))  # nothing that can be seen has changed
    assert fingerprint.file_fingerprint(model) == first
    model.write_bytes(b"abcd")
    assert fingerprint.file_fingerprint(model) != first


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"file x": 3}', "\x00"])
def test_a_damaged_memory_is_forgotten(cache: Path, tmp_path: Path, damage: str) -> None:
    cache.parent.mkdir()
    cache.write_text(damage)
    (tmp_path / "model").write_bytes(b"abc")
    assert fingerprint.file_fingerprint(tmp_path / "model").startswith("sha256:ba78")
    assert len(json.loads(cache.read_text())) == 1
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_directory_that_cannot_be_written_costs_only_time(cache: Path, tmp_path: Path) -> None:
    cache.parent.write_text("a file where the directory should be")
    (tmp_path / "model").write_bytes(b"abc")
    assert fingerprint.file_fingerprint(tmp_path / "model").startswith("sha256:ba78")


@pytest.mark.usefixtures("cache")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "missing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ModelNotFound, match=f"{path} cannot be read: {why}"):
            fingerprint.file_fingerprint(path)


def test_a_thousand_digests_are_kept_the_latest_ones(cache: Path) -> None:
    cache.parent.mkdir()
    digest = "sha256:" + "0" * 64
    cache.write_text(json.dumps({f"key {i}": digest for i in range(1000)}))
    computed: list[str] = []

    def compute() -> str:
        computed.append("again")
        return digest

    for key in ("key 0", "a new key", "a new key", "key 0"):
        assert fingerprint.remembered(key, compute) == digest
    assert len(computed) == 2  # the oldest made way for the new one, and was computed again
    assert len(json.loads(cache.read_text())) == 1000
