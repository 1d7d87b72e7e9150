"""Load the model that the user names.

Nothing is downloaded unless requested, and no code of a model is run. Weights come from safetensors and GGUF files
only, which hold numbers and no code.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from decodekit.errors import ConfigError, ModelNotFound, ParameterError
from decodekit.local.fingerprint import file_fingerprint
from decodekit.local.hub import TOKENIZER_FILES, hub_commit, hub_folder
from decodekit.local.hub_digests import is_of_the_hub
from decodekit.local.hub_names import HubName, hub_name
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
        versions: the commit of a model of the hub.
    """

    module: Any
    tokenizer: Any
    fingerprint: str
    eos_ids: tuple[int, ...] = ()
    unused: frozenset[int] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)


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
    sha256: str | None = None,
) -> Loaded:
    """Load a folder, a GGUF file, an installed model package, or a model of the hub.

    Raises:
        ModelNotFound: there is no such model, it is incomplete or not the pinned one, or transformers cannot load it.
        ConfigError: a library is missing.
    """
    transformers = transformers_library()
    where, gguf = _place_of(model, allow_downloads)
    fingerprint = file_fingerprint(gguf) if gguf is not None else _folder_fingerprint(where)
    _require_pinned(model, fingerprint, sha256)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    if gguf is not None:
        options["gguf_file"] = gguf.name
    weights: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    if device_map is not None:
        weights["device_map"] = device_map
    if attn_implementation is not None:
        weights["attn_implementation"] = attn_implementation
    weights["dtype"] = torch.float32 if gguf is not None and dtype == "auto" else _DTYPES.get(dtype, "auto")
    with _quietly(transformers), _explained(model):
        module, report = transformers.AutoModelForCausalLM.from_pretrained(where, **options, **weights)
        missing = sorted(report["missing_keys"])
        if missing:
            raise ModelNotFound(
                f"model {model!r} is incomplete: {len(missing)} tensors are missing, {missing[0]} among them"
            )
        tokenizer = None
        if with_tokenizer and (gguf is not None or _has_tokenizer(where)):
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
        ends: tuple[int, ...] = ()
        unused: frozenset[int] = frozenset()
        if gguf is not None and tokenizer is not None:
            from decodekit_torch.tokenizer import as_llama_cpp_reads_it  # its library is installed with transformers

            head = GgufFile(gguf)
            tokenizer = as_llama_cpp_reads_it(tokenizer, head)
            ends, unused = tuple(head.eos_ids), head.unused
    return Loaded(module.eval(), tokenizer, fingerprint, ends, unused, hub_commit(gguf or where))


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
    except (RuntimeError, AssertionError) as error:  # the second: this torch was built without CUDA
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


def _place_of(model: str, allow_downloads: bool) -> tuple[Path, Path | None]:
    """The folder to pass to transformers, and the GGUF file if it is one."""
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelNotFound(
                f"folder {model!r} holds no model: there is no config.json in it. A model is a folder that "
                "transformers wrote with save_pretrained, or a .gguf file"
            )
        return path, None
    on_hub = hub_name(model)
    if on_hub is None and "/" in model and _is_hub_id(path):
        on_hub = HubName(model)
    if on_hub is None or on_hub.file:
        try:
            file = find_model(model, allow_downloads=allow_downloads)
        except ModelNotFound as missing:
            if on_hub is not None or not _is_hub_id(path):
                raise
            try:  # a name without an organisation, such as gpt2
                return hub_folder(HubName(model), allow_downloads=allow_downloads), None
            except ModelNotFound as refused:
                raise ModelNotFound(f"{missing}. As a model of the hub: {refused}") from None
        return file.parent, file
    return hub_folder(on_hub, allow_downloads=allow_downloads), None


def _is_hub_id(path: Path) -> bool:
    return _HUB_ID.fullmatch(str(path)) is not None and path.suffix != ".gguf" and not path.exists()


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def _folder_fingerprint(folder: Path) -> str:
    """The digest over the configuration and the weights. The other files are only compared with the hub's digests."""
    digest = hashlib.sha256()
    for file in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        digest.update(f"{file.name} {file_fingerprint(file)}\n".encode())
    for file in folder.iterdir():
        if is_of_the_hub(file):
            file_fingerprint(file)  # which compares it
    return "sha256:" + digest.hexdigest()


def _require_pinned(model: str, fingerprint: str, sha256: str | None) -> None:
    if sha256 is not None and fingerprint != f"sha256:{sha256.lower()}":
        raise ModelNotFound(f"{model} is not the pinned model: it has {fingerprint}, not sha256:{sha256.lower()}")


@contextlib.contextmanager
def _explained(model: str) -> Iterator[None]:
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
        raise ModelNotFound(f"model {model!r} cannot be loaded: {_first_line(error)}") from error


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
