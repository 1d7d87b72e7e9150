"""A file of the hub's cache is what the hub announced, or it is refused.

huggingface_hub compares sizes. It names a file in its cache by the digest that the hub announced: the SHA-256 of a
large file, and git's blob id of a small one (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). Where
the file system has no symbolic links, nothing keeps this name, and nothing can be compared.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from decodekit.errors import ModelNotFound

__all__ = ["is_of_the_hub", "require_as_announced"]

_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_MOST_LINKS = 8
_LARGEST = 64 * 2**20  # bytes of a file that is read for its blob id; the hub keeps larger ones under their SHA-256


def is_of_the_hub(path: Path) -> bool:
    """Whether a file lies in the hub's cache, with the digest that the hub announced."""
    return _blob(path) is not None


def require_as_announced(path: Path, fingerprint: str) -> None:
    """Refuse a file of the hub's cache that is another than the hub announced.

    Args:
        path: a file; outside the hub's cache, or with a name that is no digest, it is not compared.
        fingerprint: ``sha256:`` and its digest. A blob id is computed here, which reads the file.

    Raises:
        ModelNotFound: the digests differ.
        OSError: the file cannot be read.
    """
    blob = _blob(path)
    if blob is None:
        return
    announced, found = "", [""]
    if _SHA256.fullmatch(blob.name):
        announced, found = f"sha256:{blob.name}", [fingerprint]
    elif _SHA1.fullmatch(blob.name) and path.stat().st_size <= _LARGEST:
        announced, found = f"git blob {blob.name}", [f"git blob {each}" for each in _blob_ids(path.read_bytes())]
    if announced not in found:
        raise ModelNotFound(
            f"{path} is damaged: the hub announced {announced}, and the file has {found[0]}. Remove "
            f"{blob.parent.resolve() / blob.name} and open the model with allow_downloads=True to fetch it again"
        )


def _blob_ids(data: bytes) -> list[str]:
    """The SHA-1 of git, and that of the content alone, which some mirrors announce."""
    texts = (b"blob %d\0" % len(data) + data, data)
    return [hashlib.sha1(text, usedforsecurity=False).hexdigest() for text in texts]


def _blob(path: Path) -> Path | None:
    """The file's place in the cache of one repository, named by what was announced.

    Not the end of the chain of links: a store that repositories share has names of another kind.
    """
    for _ in range(_MOST_LINKS):
        if path.parent.name == "blobs" and path.parent.parent.name.startswith("models--"):
            return path
        if not path.is_symlink():
            return None
        target = path.parent / path.readlink()
        path = target.parent.resolve() / target.name
    return None
