"""Why the hub did not give a model, in one sentence, and what can be done."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from json import JSONDecodeError
from typing import Any

from decodekit.errors import ModelNotFound
from decodekit.local.hub_library import logged, without_secrets
from decodekit.local.hub_names import HubName

__all__ = ["gguf_files_of", "refused"]

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota of this kind
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_MOST = 12  # names in a message
_ACCESS = "a private or gated model needs a token in HF_TOKEN, of an account that has accepted the model's terms there"
_LONGEST = 600  # characters of a message of huggingface_hub


def refused(hub: Any, name: HubName, error: Exception) -> ModelNotFound:
    """The error to raise for one of huggingface_hub, of its HTTP client, or of the file system."""
    why = without_secrets(hub, _reason(hub, name, error))
    return ModelNotFound(f"{name} cannot be had from the hub: {why}")


def gguf_files_of(hub: Any, name: HubName) -> list[str]:
    """The GGUF files of a repository; none where the hub does not say."""
    files = _asked(lambda: hub.list_repo_files(name.repo, revision=name.revision))
    return [each for each in files if each.endswith(".gguf")]


def _reason(hub: Any, name: HubName, error: Exception) -> str:
    known = hub.errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, known.LocalEntryNotFoundError):
        return _no_answer(hub, error.__cause__ or error) + ", and there is no whole copy in the cache"
    if isinstance(error, JSONDecodeError):  # a proxy's page
        return _no_answer(hub, error)
    if isinstance(error, known.GatedRepoError):
        return f"{_in_one_line(error)}; {_ACCESS}"
    if isinstance(error, known.RepositoryNotFoundError):
        return f"there is no repository {name.repo}, or it is not open to you; {_ACCESS}"
    if isinstance(error, known.RevisionNotFoundError):
        names = _asked(lambda: _revisions(hub.list_repo_refs(name.repo)))
        return f"{name.repo} has no revision {name.revision}{_listed(hub, name, names)}"
    if isinstance(error, known.EntryNotFoundError):
        names = gguf_files_of(hub, name)
        return f"{name.repo} has no file {name.file!r}{_listed(hub, name, names)}"
    if status in (401, 403):
        return f"{_in_one_line(error)}; {_ACCESS}"
    if isinstance(error, OSError) and error.errno in (*_FULL, *_CLOSED):
        return _disk(hub, error)
    return _in_one_line(error)


def _listed(hub: Any, name: HubName, names: list[str]) -> str:
    """What there is, those that resemble the wanted first; empty where the hub does not say."""
    wanted = name.file.removesuffix(".gguf") if name.file else name.revision or ""
    names = sorted(names, key=lambda each: -SequenceMatcher(None, wanted, each.removesuffix(".gguf")).ratio())
    more = f", and {len(names) - _MOST} more: {hub.constants.ENDPOINT}/{name.repo}" if len(names) > _MOST else ""
    return f"; it has {', '.join(map(repr, names[:_MOST]))}{more}" if names else ""


def _no_answer(hub: Any, error: BaseException) -> str:
    return f"{hub.constants.ENDPOINT} does not answer as a hub does ({_in_one_line(error)})"


def _disk(hub: Any, error: OSError) -> str:
    way = "free some space there" if error.errno in _FULL else "make it writable"
    return f"{error.strerror}: it is kept in {hub.constants.HF_HUB_CACHE}; {way}, or name another folder in HF_HOME" + (
        f" ({error.filename})" if error.filename else ""
    )


def _revisions(refs: Any) -> Iterable[str]:
    return [each.name for each in (*refs.branches, *refs.tags)]


def _asked(names: Callable[[], Iterable[str]]) -> list[str]:
    """Names to show in a message; none where the hub refuses this question too."""
    try:
        with logged():
            return sorted(names())
    except Exception:  # as for every question to the hub
        return []


def _in_one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST]}"
