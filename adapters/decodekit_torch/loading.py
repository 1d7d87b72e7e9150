"""Load the model that the user names.

Nothing is downloaded unless requested, and no code of a model is run. Weights come from safetensors and GGUF files
only, which hold numbers and no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from decodekit.errors import ConfigError, ModelNotFound, ParameterError
from decodekit.local.fingerprint import file_fingerprint
from decodekit.local.model_files import find_model
from decodekit.log import get_logger
from decodekit_torch.gguf_file import GgufFile

__all__ = [
    "Loaded",
    "free_unused_memory",
    "given",
    "load",
    "module_fingerprint",
    "move",
    "out_of_memory",
    "transformers_library",
]

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and its tokenizer.

    Attributes:
        module: the transformers model, in evaluation mode.
        tokenizer: the transformers tokenizer in its folder; None when there is none.
        fingerprint: a digest of the files.
        eos_ids: ends that the file names and transformers does not read.
        unused: tokens of the file that only fill the vocabulary.
    """

    module: Any
    tokenizer: Any
    fingerprint: str
    eos_ids: tuple[int, ...] = ()
    unused: frozenset[int] = frozenset()


def transformers_library() -> Any:
    """The module ``transformers``, or a `ConfigError` with the pip line."""
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"a model by name or path needs transformers: pip install 'decodekit[torch]' ({error})"
        ) from error
    return transformers


def load(
    model: str,
    *,
    dtype: str,
    device_map: str | None,
    attn_implementation: str | None,
    allow_downloads: bool,
    with_tokenizer: bool,
) -> Loaded:
    """Load a folder, a GGUF file, an installed model package, or a hub id.

    Raises:
        ModelNotFound: there is no such model, it is incomplete, or transformers cannot load it.
        ConfigError: a library is missing.
    """
    transformers = transformers_library()
    where, gguf = _place_of(model, allow_downloads)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": not allow_downloads}
    if gguf is not None:
        options["gguf_file"] = gguf.name
    weights: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    if device_map is not None:
        weights["device_map"] = device_map
    if attn_implementation is not None:
        weights["attn_implementation"] = attn_implementation
    weights["dtype"] = torch.float32 if gguf is not None and dtype == "auto" else _DTYPES.get(dtype, "auto")
    with _quietly(transformers), _explained(model, allow_downloads):
        module, report = transformers.AutoModelForCausalLM.from_pretrained(where, **options, **weights)
        missing = sorted(report["missing_keys"])
        if missing:
            raise ModelNotFound(
                f"model {model!r} is incomplete: {len(missing)} tensors are missing, {missing[0]} among them"
            )
        tokenizer = None
        if with_tokenizer and (gguf is not None or _has_tokenizer(where, allow_downloads)):
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
        ends: tuple[int, ...] = ()
        unused: frozenset[int] = frozenset()
        if gguf is not None and tokenizer is not None:
            from decodekit_torch.tokenizer import as_llama_cpp_reads_it  # its library is installed with transformers

            head = GgufFile(gguf)
            tokenizer = as_llama_cpp_reads_it(tokenizer, head)
            ends, unused = tuple(head.eos_ids), head.unused
        fingerprint = file_fingerprint(gguf) if gguf is not None else _folder_fingerprint(where, allow_downloads)
    return Loaded(module.eval(), tokenizer, fingerprint, ends, unused)


def module_fingerprint(module: torch.nn.Module) -> str:
    """``sha256:`` and a digest over the names, shapes, types and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return "sha256:" + digest.hexdigest()


def given(model: Any, **settings: Any) -> Loaded:
    """A module or function from Python, unchanged."""
    if not callable(model):
        raise ParameterError(f"adapter 'torch': model is a name, a path, a module or a function, not {model!r}")
    for name, value in settings.items():
        if value not in (None, "auto"):
            raise ParameterError(f"adapter 'torch': {name} is for a model given by name; this one is already in memory")
    return Loaded(model, None, module_fingerprint(model) if isinstance(model, torch.nn.Module) else "")


def move(module: Any, device: str) -> None:
    """Move a module to a device, or raise an error that names the device."""
    if not isinstance(module, torch.nn.Module):
        raise ParameterError("adapter 'torch': device is for modules, not for a function")
    try:
        module.to(torch.device(device))
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise ParameterError(f"adapter 'torch': device: {error}") from None


def free_unused_memory() -> None:
    """Give what torch keeps of a GPU's memory, and does not use, back to others."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether this is torch's error for too little memory, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _place_of(model: str, allow_downloads: bool) -> tuple[str, Path | None]:
    """What to pass to transformers, and the GGUF file if it is one."""
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFound(f"folder {model!r} holds no model: there is no config.json in it")
        return str(path), None
    hub = _HUB_ID.fullmatch(model) is not None and not model.endswith(".gguf")
    if hub and "/" in model and not path.exists():
        return model, None
    try:
        file = find_model(model)
    except ModelNotFound:
        if hub and not path.exists() and (allow_downloads or _in_hub_cache(model)):
            return model, None
        raise
    return str(file.parent), file


def _in_hub_cache(model: str) -> bool:
    try:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(model, "config.json"), str)
    except Exception:  # not a valid name on the hub
        return False


def _has_tokenizer(where: str, allow_downloads: bool) -> bool:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
    return any(_file(where, name, allow_downloads) is not None for name in names)


def _folder_fingerprint(where: str, allow_downloads: bool) -> str:
    config = _file(where, "config.json", allow_downloads)
    if config is None:
        return ""
    digest = hashlib.sha256()
    for file in [config, *sorted(config.parent.glob("*.safetensors"))]:
        digest.update(f"{file.name} {file_fingerprint(file)}\n".encode())
    return "sha256:" + digest.hexdigest()


def _file(where: str, name: str, allow_downloads: bool) -> Path | None:
    """A file of a folder or of a model of the hub; None when there is no such file, or it is not on this machine."""
    folder = Path(where)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(where, name, local_files_only=not allow_downloads))
    except Exception:  # its own errors, those of its HTTP client, and OSError
        return None


@contextlib.contextmanager
def _explained(model: str, allow_downloads: bool) -> Iterator[None]:
    """Any exception of a loader becomes one of decodekit's errors."""
    try:
        yield
    except (ModelNotFound, ConfigError):
        raise
    except ImportError as error:
        raise ConfigError(f"model {model!r} needs a library that is missing: {_first_line(error)}") from error
    except MemoryError:
        raise
    except Exception as error:  # loaders raise anything: OSError, ValueError, SafetensorError, KeyError
        if _HUB_ID.fullmatch(model) and "/" in model and not Path(model).exists() and not allow_downloads:
            hint = "; it is not in the cache of the hub, and downloads are off (allow_downloads=True)"
        else:
            hint = ""
        raise ModelNotFound(f"model {model!r} cannot be loaded: {_first_line(error)}{hint}") from error


@contextlib.contextmanager
def _quietly(transformers: Any) -> Iterator[None]:
    """Progress bars and warnings go to the log: a library prints nothing."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    printed = io.StringIO()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(printed):
            yield
    finally:
        logging.set_verbosity(before)
        if printed.getvalue():
            get_logger().debug("transformers printed", text=printed.getvalue()[-2000:])


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:500] if lines else ''}"
