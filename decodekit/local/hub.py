"""Models of the Hugging Face hub, on this machine or fetched to it.

A copy in the hub's cache on this machine is used. Nothing is downloaded unless the caller allows it, and then with a
progress bar on a terminal only. huggingface_hub does the work; its own variables (``HF_HOME``, ``HF_ENDPOINT``,
``HF_TOKEN``, ``HF_HUB_OFFLINE``) hold.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from decodekit.errors import ModelNotFound
from decodekit.local.hub_errors import gguf_files_of, refused
from decodekit.local.hub_library import bar_on_a_terminal, forbidding, library, logged, without_secrets
from decodekit.local.hub_names import HubName
from decodekit.log import get_logger

__all__ = ["TOKENIZER_FILES", "hub_commit", "hub_file", "hub_folder"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARTS = [
    "*.json",
    "*.safetensors",
    "*.model",
    "*.txt",
    "*.jinja",
]  # no code
_NOT = ["*/*", "consolidated*.safetensors"]  # the same weights once more, in another form
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_READ = ("config.json", "generation_config.json", "*token*", "vocab*", "merges.txt", "*.model", "*chat_template*")
_ENDS = "generation_config.json"  # names further tokens that end a text
_TOKENIZER = "tokenizer.json"
TOKENIZER_FILES = (_TOKENIZER, "tokenizer.model", "vocab.json", "tokenizer_config.json")


def hub_file(name: HubName, *, allow_downloads: bool) -> Path:
    """The file on this machine.

    Args:
        name: what is wanted; it names a file.
        allow_downloads: whether it may be fetched. If so, the hub is asked whether a branch has moved.

    Raises:
        ModelNotFound: it is not in the cache and may not be fetched, or the hub does not give it.
        ConfigError: huggingface_hub is not installed.
    """
    hub = library()
    if not allow_downloads or forbidding(hub):
        return _cached(hub, name, name.file, allow_downloads)
    try:
        with logged():
            return Path(hub.hf_hub_download(name.repo, name.file, revision=name.revision))
    except Exception as error:  # its own errors, those of its HTTP client, and OSError
        raise refused(hub, name, error) from None  # the text of the cause may hold a password


def hub_folder(name: HubName, *, allow_downloads: bool) -> Path:
    """A folder with the configuration, the tokenizer and the safetensors of a repository.

    Arguments and errors are those of `hub_file`. A copy that is known to lack a part is refused.
    """
    hub = library()
    if not allow_downloads or forbidding(hub):
        folder = _cached(hub, name, "config.json", allow_downloads).parent
        _require_whole(hub, name, folder, allow_downloads)
        return folder
    try:
        with logged():
            found = hub.snapshot_download(
                name.repo,
                revision=name.revision,
                allow_patterns=_PARTS,
                ignore_patterns=_NOT,
                tqdm_class=bar_on_a_terminal(hub),
            )
    except Exception as error:  # as above
        raise refused(hub, name, error) from None
    return _with_a_model(hub, name, Path(found))


def hub_commit(path: Path) -> dict[str, str]:
    """``{"hub commit": ...}`` of a file or a folder in the hub's cache; empty for others."""
    for folder in (path, *path.parents):
        if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name):
            return {"hub commit": folder.name}
    return {}


def _cached(hub: Any, name: HubName, file: str, allow_downloads: bool) -> Path:
    try:
        found = hub.try_to_load_from_cache(name.repo, file, revision=name.revision)
    except Exception as error:  # not a valid name on the hub
        raise refused(hub, name, error) from None
    if isinstance(found, str):
        return Path(found)
    raise ModelNotFound(f"{name} is not in the hub's cache on this machine, and {_way(hub, name, allow_downloads)}")


def _way(hub: Any, name: HubName, allow_downloads: bool, what: str = "") -> str:
    """Why the hub is not asked, and what would change it."""
    what = what or name.file or "its configuration, tokenizer and safetensors"
    where = without_secrets(hub, f"{hub.constants.ENDPOINT}/{name.repo}")
    if not allow_downloads:
        return f"downloads are off; allow_downloads=True would download {what} from {where}"
    return f"the variable {forbidding(hub)} forbids to ask the hub; without it, {what} would be downloaded from {where}"


def _require_whole(hub: Any, name: HubName, folder: Path, allow_downloads: bool) -> None:
    """Refuse a copy that lacks a part; warn where it may lack one.

    Another program may have fetched a part only, or a download was cut off. What a repository has is known where
    huggingface_hub has stored its list of files.
    """
    listed = _listed(hub, name)
    missing = [each for each in [*_weights(folder), *(listed or ())] if not (folder / each).is_file()]
    if missing:
        several = _shown(missing[0]) + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        raise ModelNotFound(
            f"the copy of {name} in the hub's cache on this machine has no {several} ({folder}), and "
            f"{_way(hub, name, allow_downloads, 'what is missing')}"
        )
    if listed is None:
        unknown = [each for each in (_ENDS, _TOKENIZER) if _is_unknown(hub, name, folder, each)]
        if unknown:
            get_logger().warning(
                "the copy in the hub's cache may lack a part; allow_downloads=True fetches it, where there is one",
                model=str(name),
                missing=unknown,
            )


def _listed(hub: Any, name: HubName) -> list[str] | None:
    """What the repository has of all that is read beside the weights; None where this is not known on this machine."""
    try:
        tree = hub.get_cached_repo_tree(name.repo, revision=name.revision)
    except Exception:  # no list, a damaged one, or a version of huggingface_hub that keeps none
        return None
    return sorted(
        each.path for each in tree if any(fnmatch(each.path, form) for form in _READ) and "/" not in each.path
    )


def _is_unknown(hub: Any, name: HubName, folder: Path, file: str) -> bool:
    """Whether a file is not there, and no request has shown that the repository has none."""
    if (folder / file).is_file() or (file == _TOKENIZER and any((folder / each).is_file() for each in TOKENIZER_FILES)):
        return False
    return hub.try_to_load_from_cache(name.repo, file, revision=name.revision) is None


def _weights(folder: Path) -> list[str]:
    """The files of weights that transformers would load, there or not."""
    if (folder / _WEIGHTS).is_file() or not (folder / _INDEX).is_file():
        return [_WEIGHTS]
    try:
        return sorted(set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []  # transformers says what is wrong with the index


def _shown(file: str) -> str:
    return f"{file} (or {_INDEX} and the parts in it)" if file == _WEIGHTS else file


def _with_a_model(hub: Any, name: HubName, folder: Path) -> Path:
    """The folder of a whole copy, or the error of a repository that holds no model for torch."""
    lacks = [each for each in ("config.json", *_weights(folder)) if not (folder / each).is_file()]
    if not lacks:
        return folder
    files = gguf_files_of(hub, name)
    revision = f"@{name.revision}" if name.revision else ""
    way = f"; it has GGUF files, such as hf:{name.repo}/{files[0]}{revision}" if files else ""
    raise ModelNotFound(f"{name} holds no model that can be used: the repository has no {_shown(lacks[0])}{way}")
