"""Digests that identify a model file and a vocabulary, computed once and stored in the user's cache directory.

The store only saves time: if the directory cannot be written, or the file in it is damaged, digests are computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from decodekit.errors import ModelNotFound
from decodekit.local.hub_digests import require_as_announced
from decodekit.log import get_logger

__all__ = ["file_fingerprint", "remembered"]

_FILE = "fingerprints.json"
_MOST = 1000  # entries; beyond this the oldest are removed


def file_fingerprint(path: Path) -> str:
    """``sha256:`` and the hexadecimal SHA-256 of a file. Stored until its size or modification time changes.

    Raises:
        ModelNotFound: the file cannot be read, or it lies in the hub's cache and is not what the hub announced.
    """
    try:
        real = path.resolve(strict=True)
        stat = real.stat()
        digest = remembered(f"file {real} {stat.st_size} {stat.st_mtime_ns}", lambda: _sha256(real))
        require_as_announced(path, digest)
    except OSError as error:
        raise ModelNotFound(f"model file {path} cannot be read: {error.strerror}") from error
    return digest


def remembered(key: str, compute: Callable[[], str]) -> str:
    """The digest stored under a key, or a new one, which is then stored."""
    store = _store()
    known = _read(store).get(key)
    if known is not None:
        return known
    digest = compute()
    _write(store, {**_read(store), key: digest})
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _store() -> Path:
    return Path(platformdirs.user_cache_dir("decodekit", appauthor=False)) / _FILE


def _read(store: Path) -> dict[str, str]:
    try:
        data = json.loads(store.read_text(encoding="utf-8"))
        return {k: v for k, v in data.items() if isinstance(v, str) and v.startswith("sha256:") and len(v) == 71}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(store: Path, entries: dict[str, str]) -> None:
    """Write the file whole or not at all: a reader never sees half of it."""
    scratch = None
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=store.parent, prefix=_FILE, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dict(list(entries.items())[-_MOST:]), file, indent=1)
        Path(scratch).replace(store)
    except OSError as error:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)
        get_logger().debug("fingerprint not stored", reason=str(error))
