"""How a model of the hub is written: ``hf:org/repo/file.gguf@revision``, or ``hf:org/repo@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from decodekit.errors import ModelNotFound

__all__ = ["HubName", "hub_name"]

_NAME = re.compile(r"hf:([\w.-]+(?:/[\w.-]+)?)(?:/([^\0\r\n]*?[^\0\r\n@]))??(?:@([^\s@]+))?")
_GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of the hub, or a file in it.

    Args:
        repo: ``org/name``.
        file: its path in the repository; empty for the whole repository.
        revision: a branch, a tag or a commit; None for the main branch.
    """

    repo: str
    file: str = ""
    revision: str | None = None

    def __str__(self) -> str:
        what = f"{self.file} of {self.repo}" if self.file else self.repo
        return f"{what} at revision {self.revision or 'main'}"


def hub_name(text: str) -> HubName | None:
    """What a name that begins with ``hf:`` names; None for another name.

    The last ``@`` begins a revision, unless what is behind it ends in ``.gguf``: then it is part of the file's name.

    Raises:
        ModelNotFound: it is no such name.
    """
    if not text.startswith("hf:"):
        return None
    found = _NAME.fullmatch(text)
    repo, file, revision = found.groups() if found is not None else ("", None, None)
    if found is None or any(part in ("", ".", "..") for part in (file or "file").split("/")):
        raise ModelNotFound(f"{text!r} names no model of the hub: write hf:org/repo/file.gguf, or hf:org/repo@revision")
    if revision and revision.lower().endswith(_GGUF):
        if file:
            return HubName(repo, f"{file}@{revision}")
        branch, _, path = revision.partition("/")
        meant = f"hf:{repo}/{path or branch}" + (f"@{branch}" if path else "")
        raise ModelNotFound(f"{text!r}: a revision is written last, behind the file: {meant}")
    return HubName(repo, file or "", revision)
