"""Models of the Hugging Face hub: ``hf:org/repo/file.gguf@revision``, or ``hf:org/repo`` for all of a repository.

A copy in the hub's cache on this machine is used. Nothing is downloaded unless the caller allows it, and then with a
progress bar on a terminal only. huggingface_hub does the work; its own variables (``HF_HOME``, ``HF_ENDPOINT``,
``HF_TOKEN``) hold.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError, ModelNotFound

__all__ = ["HubName", "hub_commit", "hub_file", "hub_folder", "hub_name"]

_NAME = re.compile(r"hf:([\w.-]+(?:/[\w.-]+)?)(?:/([^@\s]+))?(?:@([\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARTS = [
    "*.json",
    "*.safetensors",
    "*.model",
    "*.txt",
    "*.jinja",
]  # no code
_NOT = ["*/*", "consolidated*.safetensors"]  # the same weights once more, in another form


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

    Raises:
        ModelNotFound: it is no such name.
    """
    if not text.startswith("hf:"):
        return None
    found = _NAME.fullmatch(text)
    if found is None:
        raise ModelNotFound(f"{text!r} names no model of the hub: write hf:org/repo/file.gguf, or hf:org/repo@revision")
    repo, file, revision = found.groups()
    if revision and revision.lower().endswith(".gguf"):
        branch, _, path = revision.partition("/")
        meant = f"hf:{repo}/{path or branch}" + (f"@{branch}" if path else "")
        raise ModelNotFound(f"{text!r}: a revision is written last, behind the file: {meant}")
    return HubName(repo, file or "", revision)


def hub_file(name: HubName, *, allow_downloads: bool) -> Path:
    """The file on this machine.

    Args:
        name: what is wanted; it names a file.
        allow_downloads: whether it may be fetched. If so, the hub is asked whether a branch has moved.

    Raises:
        ModelNotFound: it is not in the cache and may not be fetched, or the hub does not give it.
        ConfigError: huggingface_hub is not installed.
    """
    hub = _library()
    if not allow_downloads:
        return Path(_cached(hub, name, name.file))
    try:
        return Path(hub.hf_hub_download(name.repo, name.file, revision=name.revision))
    except Exception as error:  # its own errors, those of its HTTP client, and OSError
        raise _failed(name, error) from error


def hub_folder(name: HubName, *, allow_downloads: bool) -> Path:
    """A folder with the configuration, the tokenizer and the safetensors of a repository.

    Arguments and errors are those of `hub_file`; a repository counts as cached when its ``config.json`` is.
    """
    hub = _library()
    if not allow_downloads:
        return Path(_cached(hub, name, "config.json")).parent
    try:
        found = hub.snapshot_download(
            name.repo,
            revision=name.revision,
            allow_patterns=_PARTS,
            ignore_patterns=_NOT,
            tqdm_class=_bar_on_a_terminal(hub),
        )
    except Exception as error:  # as above
        raise _failed(name, error) from error
    return Path(found)


def hub_commit(path: Path) -> dict[str, str]:
    """``{"hub commit": ...}`` of a file or a folder in the hub's cache; empty for others."""
    for folder in (path, *path.parents):
        if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
            return {"hub commit": folder.name}
    return {}


def _cached(hub: Any, name: HubName, file: str) -> str:
    try:
        found = hub.try_to_load_from_cache(name.repo, file, revision=name.revision)
    except Exception as error:  # not a valid name on the hub
        raise _failed(name, error) from error
    if isinstance(found, str):
        return found
    raise ModelNotFound(
        f"{name} is not in the hub's cache on this machine, and downloads are off; allow_downloads=True would download "
        f"{name.file or 'its configuration, tokenizer and safetensors'} from {hub.constants.ENDPOINT}/{name.repo}"
    )


def _bar_on_a_terminal(hub: Any) -> Any:
    """The hub's progress bar, which by itself looks for a terminal for single files only."""
    base: Any = hub.utils.tqdm

    class Bar(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": options.get("disable") or not sys.stderr.isatty()})

    return Bar


def _failed(name: HubName, error: Exception) -> ModelNotFound:
    lines = str(error).strip().splitlines()
    status = getattr(getattr(error, "response", None), "status_code", None)
    access = (
        "; a private or gated model needs a token in HF_TOKEN, of an account that has accepted the model's terms there"
        if status in (401, 403)
        else ""
    )
    return ModelNotFound(
        f"{name} cannot be had from the hub: {type(error).__name__}: {lines[0][:300] if lines else ''}{access}"
    )


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
    except ImportError as error:
        raise ConfigError(f"a model of the hub needs a library: pip install 'decodekit[hub]' ({error})") from error
    return huggingface_hub
