"""The short door: a model named in one text, and a session over it.

with decodekit.open("smollm2", chain="temperature=0.8 top_p=0.95") as session:
    print(session.generate("The capital of France is").text)
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from decodekit.chain import Chain
from decodekit.errors import ConfigError, ModelNotFound, ParameterError, brief, did_you_mean
from decodekit.local.hub import hub_name
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.plugin import parameter_model, registry
from decodekit.session.async_session import AsyncSession
from decodekit.session.base import BaseSession
from decodekit.session.guessing import guesser_of
from decodekit.session.options import meant
from decodekit.session.session import Session
from decodekit.types import PathLike

__all__ = ["aopen", "open_session"]

GivenChain = Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None
AnySession = TypeVar("AnySession", Session, AsyncSession)

_SCHEME = re.compile(r"([A-Za-z][\w.-]+):(.*)", re.DOTALL)
_HALF_A_URL = re.compile(r"(https?):/*([\w\[].*)")
_ADDRESS = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[\da-fA-F:]+\]):\d+(?:/.*)?")
_FORMS = (
    "the name of a model package ('smollm2'), a .gguf file, the folder of a transformers model, "
    "an adapter and its model ('torch:PATH', 'llamacpp:PATH'), a model of the hub ('hf:org/repo/file.gguf'), "
    "the URL of a server, a .toml file, or an adapter"
)


def open_session(
    what: PathLike | Mapping[str, Any] | Adapter | AsyncAdapter, chain: GivenChain = None, **options: Any
) -> Session:
    """A session over the model that a text names.

    Args:
        what: one of these:

            * the name of an installed model package, such as ``"smollm2"``, or a ``.gguf`` file: llama.cpp
            * the folder of a transformers model: torch
            * ``"hf:org/repo/file.gguf@revision"``, a file of the Hugging Face hub: llama.cpp; ``"hf:org/repo"``: torch.
              It is downloaded only with ``allow_downloads=True``
            * ``"torch:..."``, ``"llamacpp:..."``: an adapter by its name, and the model as that adapter takes it;
              ``"name:"`` is an adapter that needs none
            * ``"http://127.0.0.1:8080"``: a server that returns logprobs
            * a ``.toml`` configuration, or the same as a mapping
            * an adapter, which the session does not close
        chain: a `Chain`, a list of processors, one of them, a sampler, or a text such as
            ``"top_k=40 temperature=0.8"``, in place of a configuration's.
        options: those of `Session` (``seed``, ``max_tokens``, ``top_logprobs``, ``on_undisclosed``, ``metadata``,
            ``guesser``, ``stop``, ``stop_ids``, ``ban``, ``deadline``) and of the adapter (``n_ctx``, ``device``,
            ``api_key_env`` and others), in place of a configuration's; and ``profile``, which names one of a
            configuration's ``[profiles.NAME]``.

    Returns:
        A session that closes the adapter it made: use it as a context manager.

    Raises:
        ConfigError: ``what`` is none of these; `ParameterError`: an option that neither has, or a wrong value.
        ModelNotFound: there is no such model.
    """
    return _opened(Session, what, chain, options)


def aopen(
    what: PathLike | Mapping[str, Any] | Adapter | AsyncAdapter, chain: GivenChain = None, **options: Any
) -> AsyncSession:
    """As `open`, for ``async with``: a session for tasks of an event loop. Loading a local model blocks."""
    return _opened(AsyncSession, what, chain, options)


def _opened(kind: type[AnySession], what: object, chain: GivenChain, options: dict[str, Any]) -> AnySession:
    own = {key: options.pop(key) for key in _session_options() if key in options}
    made = None if chain is None else Chain.of(chain)  # what is wrong with it is said before a model is loaded
    if _is_adapter(what):
        if options:
            name = next(iter(options))
            raise ParameterError(
                f"the adapter is made already, and a session has no option {name!r}"
                f"{meant(name, options, _session_options())}"
            )
        return kind(what, made, **own)  # type: ignore[arg-type]
    data = _configuration(what, options)
    from decodekit.config import check_session_part  # not needed to import decodekit

    own["guesser"] = guesser_of(own["guesser"]) if "guesser" in own else None
    in_config = {key: own.pop(key) for key in list(own) if key not in ("metadata", "guesser")}
    check_session_part(in_config, "decodekit.open")
    data["adapter"] = _with_parameters(data["adapter"], options)
    data["session"] = {**data.get("session", {}), **in_config}
    if made is not None:
        data = {key: value for key, value in data.items() if key not in ("chain", "sampler")}
    opened = kind.from_config(data)
    if made is not None and opened.config is not None:
        opened.chain = made
        opened.config |= _written(made)
    opened.metadata = own.get("metadata")
    opened.guesser = own["guesser"] or opened.guesser
    return opened


def _configuration(what: object, options: dict[str, Any]) -> dict[str, Any]:
    """The configuration that ``what`` names, or is; its ``profile`` is taken from the options.

    Raises:
        ConfigError: it is none.
    """
    from decodekit.config import load_config  # not needed to import decodekit

    if isinstance(what, Mapping):
        return load_config(what, profile=options.pop("profile", None)).as_data()
    if not isinstance(what, str | os.PathLike):
        raise ConfigError(f"decodekit.open takes {_FORMS}; {brief(what)} is none of these")
    name = os.fspath(what)
    if not name.strip():
        raise ConfigError(f"decodekit.open takes {_FORMS}; an empty text names nothing")
    scheme = _SCHEME.fullmatch(name)
    if name.startswith(("http://", "https://")):
        return {"adapter": {"type": "remote", "base_url": name}}
    on_hub = hub_name(name)
    if on_hub is not None:
        return {"adapter": {"type": "llamacpp" if on_hub.file else "torch", "model": name}}
    if scheme is not None and registry.is_adapter(scheme[1]):
        if not scheme[2]:
            if "model" in _parameters(scheme[1]):
                raise ConfigError(f"{name!r} names no model; write it behind the colon, such as '{scheme[1]}:PATH'")
            return {"adapter": {"type": scheme[1]}}
        takes_url = "base_url" in _parameters(scheme[1]) and scheme[2].startswith(("http://", "https://"))
        return {"adapter": {"type": scheme[1], "base_url" if takes_url else "model": scheme[2]}}
    path = Path(name).expanduser()
    url = _url_meant(name)
    if url and not path.exists():
        raise ConfigError(f"{name!r}: a server is named by its URL: decodekit.open({url!r})")
    if path.suffix in (".json", ".yaml", ".yml"):
        raise ConfigError(f"{name!r}: a configuration is a .toml file, or a dict with the same tables")
    if path.suffix == ".toml":
        return load_config(path, profile=options.pop("profile", None)).as_data()
    if path.is_dir():
        return {"adapter": {"type": "torch", "model": str(path)}}
    if scheme is not None and len(scheme[1]) > 1 and not path.exists():
        known = did_you_mean(scheme[1], [info.name for info in registry.plugins() if info.group == "adapters"])
        forms = "" if known.endswith("?") else f". decodekit.open takes {_FORMS}"
        raise ConfigError(f"{name!r}: no adapter is named {scheme[1]!r}{known}{forms}")
    if "/" in name and path.suffix != ".gguf" and not path.exists():
        raise ModelNotFound(
            f"{name!r}: there is no such file or folder. A model of the Hugging Face hub is opened with "
            f"decodekit.open('hf:{name}', allow_downloads=True)"
        )
    if registry.is_adapter(name) and not path.exists():
        raise ConfigError(f"{name!r} is an adapter: '{name}:MODEL' names a model of it, and '{name}:' asks it for none")
    return {"adapter": {"type": "llamacpp", "model": name}}


def _url_meant(name: str) -> str:
    """The URL of a server that is named without its slashes or without http; empty where none is."""
    half = _HALF_A_URL.fullmatch(name)
    if half is not None:
        return f"{half[1]}://{half[2]}"
    return f"http://{name}" if _ADDRESS.fullmatch(name) else ""


def _with_parameters(part: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The adapter's table with these parameters. Raises `ParameterError` for one that neither has."""
    known = _parameters(part["type"])
    unknown = [key for key in options if key not in known]
    if unknown:
        name = unknown[0]
        hint = "; it selects a part of a .toml configuration, and none is given here" if name == "profile" else ""
        raise ParameterError(
            f"the adapter {part['type']!r} and a session have no option {name!r}"
            f"{hint or meant(name, options, [*known, *_session_options()])}"
        )
    return {**part, **options}


def _parameters(adapter: str) -> list[str]:
    return list(parameter_model(registry.load("adapters", adapter)[0]).model_fields)


def _session_options() -> list[str]:
    parameters = inspect.signature(BaseSession.__init__).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


def _written(chain: Chain) -> dict[str, Any]:
    """A chain as a configuration lists it."""
    described = chain.describe()
    processors = [{"name": part["name"], **part["params"]} for part in described["processors"]]
    return {"chain": processors, "sampler": {"name": described["sampler"]["name"], **described["sampler"]["params"]}}


def _is_adapter(what: object) -> bool:
    return callable(getattr(what, "predict", None)) or callable(getattr(what, "apredict", None))
