"""What the name of a model stands for: an adapter and its main parameter; or which form was meant.

A name is read by its form alone, except that a path that exists is what it is. Each form that nearly is one has an
error that shows the form.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from decodekit.errors import ConfigError, ModelNotFound, brief, did_you_mean
from decodekit.local.hub_names import hub_name
from decodekit.plugin import parameter_model, registry
from decodekit.plugin.secrets import HIDDEN

__all__ = ["FORMS", "adapter_named", "is_configuration", "parameters_of", "shown"]

FORMS: Final = (
    "the name of a model package ('smollm2'), a .gguf file, the folder of a transformers model, "
    "an adapter and its model ('torch:PATH', 'llamacpp:PATH'), a model of the hub ('hf:org/repo/file.gguf'), "
    "the URL of a server, a .toml file, or an adapter"
)

_URL = re.compile(r"(https?)://(.*)", re.IGNORECASE | re.DOTALL)
_HALF_A_URL = re.compile(r"(https?)(?::/*|//+)([\w\[].*)", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:localhost|[\w-]+(?:\.[\w-]+)+|\[[\da-fA-F:]+\]):\d+(?:/.*)?")
_ON_HUB = re.compile(
    r"(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)(?:/(?:blob|resolve)/([^/]+)/([^?#]+))?/?.*"
)
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SCHEME = re.compile(r"([A-Za-z][\w.-]*):(.*)", re.DOTALL)
_WITH_OWNER = re.compile(r"([A-Za-z][\w.-]*:[A-Za-z][\w.-]*):(.*)", re.DOTALL)  # dist:adapter:model
_LONGEST = 255  # bytes of a file's name
# A hub's name is no address: hf:model@main.
_USER = re.compile(r"(?<=//)[^/@\s]+@|(?:(?<=/)|^(?!hf:)|(?<=^hf:))[^/@\s:]+:[^/@]*@")
_VALUES = re.compile(r"([?&][^=&\s]*=)[^&\s]+|(?<=\?)[^=&\s]+$")


def shown(name: str) -> str:
    """A name as a message shows it: without the user and the values of an address, or of what is nearly one."""
    return _VALUES.sub(lambda found: f"{found[1] or ''}{HIDDEN}", _USER.sub(f"{HIDDEN}@", name))


def is_configuration(name: str) -> bool:
    """Whether a name is that of a configuration file."""
    return _URL.match(name) is None and Path(name).suffix.lower() == ".toml"


def adapter_named(name: str, given: Collection[str] = ()) -> dict[str, Any]:
    """The table of the adapter that a name stands for: its type and its model.

    Args:
        name: in one of the `FORMS`, but no configuration.
        given: the parameters that are given beside it; a model or a URL among them is not looked for in the name.

    Raises:
        ConfigError: it has none of these forms; the message says which one was meant.
        ModelNotFound: it has the form of a path or of a name on the hub, and there is nothing.
    """
    if not name.strip():
        raise ConfigError(f"decodekit.open takes {FORMS}; an empty text names nothing")
    url = _URL.fullmatch(name)
    if url is not None:
        _refuse_page(name, url[2])
        return {"type": "remote", "base_url": f"{url[1].lower()}://{url[2]}"}
    hub = hub_name(name)
    if hub is not None:
        return {"type": "llamacpp" if hub.file else "torch", "model": name}
    schemes = [found for form in (_SCHEME, _WITH_OWNER) if (found := form.fullmatch(name))]
    for scheme in schemes:
        if registry.is_adapter(scheme[1]):
            return _with_model(scheme[1], scheme[2], given)
    there = _there(name)
    if there is not None and there.is_dir():
        return {"type": "torch", "model": str(there)}
    if there is None:
        _refuse(name, schemes[0][1] if schemes else "")
    elif Path(name).suffix.lower() in (".json", ".yaml", ".yml"):
        raise _no_toml(name)
    return {"type": "llamacpp", "model": name}


def parameters_of(adapter: str) -> list[str]:
    """The names of an adapter's parameters."""
    return list(parameter_model(registry.load("adapters", adapter)[0]).model_fields)


def _with_model(adapter: str, model: str, given: Collection[str] = ()) -> dict[str, Any]:
    """An adapter by its name, and its model as that adapter takes it."""
    fields = parameter_model(registry.load("adapters", adapter)[0]).model_fields
    if not model and any(each in given and each in fields for each in ("model", "base_url")):
        return {"type": adapter}
    if "base_url" in fields and fields["base_url"].is_required():
        if _URL.match(model):
            return {"type": adapter, "base_url": model}
        url = shown(_url_meant(model) or (f"http://{model}" if model else "http://HOST:PORT"))
        raise ConfigError(f"the adapter {adapter!r} takes a URL: '{adapter}:{url}'")
    if "model" not in fields:
        if model:
            raise ConfigError(
                f"the adapter {adapter!r} takes no model; '{adapter}:' opens it, with its parameters as options"
            )
        return {"type": adapter}
    if not model:
        raise ConfigError(f"the adapter {adapter!r} needs a model behind a colon, such as '{adapter}:PATH'")
    return {"type": adapter, "model": model}


def _there(name: str) -> Path | None:
    """The file or folder of this name; None for none, and for a text that no file can be named by."""
    try:
        path = Path(name).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError):  # too long; with a zero byte; a home of nobody
        return None
    return path


def _refuse(name: str, scheme: str) -> None:
    """Raise the error of a name that is no path, where it nearly has another form. A plain word may be a package."""
    _refuse_page(name, name)
    url = _url_meant(name)
    if url:
        raise ConfigError(f"{shown(name)!r}: a server is named by its URL: {shown(url)!r}")
    if "\n" in name or max(len(part.encode(errors="replace")) for part in name.split("/")) > _LONGEST:
        raise ConfigError(
            f"{brief(shown(name))}, a text of {len(name):,} characters, names no model; a prompt belongs into "
            "session.generate(...), and the text of a configuration into a .toml file"
        )
    if registry.is_adapter(name):
        whole = _with_model(name, "")
        raise ConfigError(f"{name!r} is an adapter, and needs a colon: '{whole['type']}:'")
    if Path(name).suffix.lower() in (".json", ".yaml", ".yml"):
        raise _no_toml(name)
    if len(scheme) > 1:
        known = did_you_mean(scheme, [info.name for info in registry.plugins() if info.group == "adapters"])
        forms = "" if known.endswith("?") else f". decodekit.open takes {FORMS}"
        raise ConfigError(f"{shown(name)!r}: no adapter is named {scheme!r}{known}{forms}")
    if "/" in name and not name.lower().endswith(".gguf"):
        on_hub = f". A model of the Hugging Face hub is named 'hf:{name}', with allow_downloads=True to fetch it"
        raise ModelNotFound(
            f"{shown(name)!r}: there is no such file or folder{on_hub if _REPO.fullmatch(name) else ''}"
        )


def _no_toml(name: str) -> ConfigError:
    return ConfigError(f"{shown(name)!r}: a configuration is a .toml file, or a dict with the same tables")


def _url_meant(name: str) -> str:
    """The URL of a server that is named without its slashes or without http; empty where none is."""
    half = _HALF_A_URL.fullmatch(name)
    if half is not None:
        return f"{half[1].lower()}://{half[2]}"
    return f"http://{name}" if _ADDRESS.fullmatch(name) else ""


def _refuse_page(name: str, address: str) -> None:
    """Raise the error of a page of the hub: it names a model, and is no server."""
    page = _ON_HUB.fullmatch(address)
    if page is not None:
        revision = "" if page[2] in (None, "main") else f"@{unquote(page[2])}"
        meant = f"hf:{page[1]}" + (f"/{unquote(page[3])}{revision}" if page[3] else "")
        raise ConfigError(f"{brief(shown(name))} is a page of the hub; its model is named {meant!r}")
