"""The short door: a model named in one text, and a session over it.

with decodekit.open("smollm2", chain="temperature=0.8 top_p=0.95") as session:
    print(session.generate("The capital of France is").text)
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from decodekit.chain import Chain
from decodekit.errors import ConfigError, DecodekitError, ParameterError, brief, message_of
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.plugin import registry
from decodekit.session.async_session import AsyncSession
from decodekit.session.base import BaseSession
from decodekit.session.guessing import guesser_of
from decodekit.session.named_model import FORMS, adapter_named, is_configuration, parameters_of, shown
from decodekit.session.options import meant
from decodekit.session.session import Session
from decodekit.types import PathLike

__all__ = ["aopen", "open_session"]

GivenChain = Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None
AnySession = TypeVar("AnySession", Session, AsyncSession)


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
            configuration's ``[profiles.NAME]``. Where both have one, as a deadline, it is the session's; the adapter's
            own is a parameter of `decodekit.adapter`, or of ``[adapter]``.

    Returns:
        A session that closes the adapter it made: use it as a context manager.

    Raises:
        ConfigError: ``what`` is none of these; `ParameterError`: an option that neither has, or a wrong value.
        ModelNotFound: there is no such model.
    """
    with _no_secret_of(what):
        return _opened(Session, what, chain, options)


def aopen(
    what: PathLike | Mapping[str, Any] | Adapter | AsyncAdapter, chain: GivenChain = None, **options: Any
) -> AsyncSession:
    """As `open`, for ``async with``: a session for tasks of an event loop. Loading a local model blocks."""
    with _no_secret_of(what):
        return _opened(AsyncSession, what, chain, options)


@contextmanager
def _no_secret_of(what: object) -> Iterator[None]:
    """Errors repeat no user, password or key of an address, whoever raised them."""
    name = os.fspath(what) if isinstance(what, str | os.PathLike) else ""
    hidden = shown(name)
    try:
        yield
    except DecodekitError as error:
        if hidden == name:
            raise
        forms = (name, str(Path(name)), name.partition(":")[2])
        said = message_of(error)
        for form in filter(None, forms):
            said = said.replace(form, shown(form))
        error.args = (said, *error.args[1:])
        raise error from None  # the cause repeats the name


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
    if own["guesser"] is not None:
        data.pop("guesser", None)
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
        return load_config(what, profile=options.pop("profile", None)).as_given()
    if not isinstance(what, str | os.PathLike):
        raise ConfigError(f"decodekit.open takes {FORMS}; {brief(what)} is none of these")
    name = os.fspath(what)
    if is_configuration(name):
        return load_config(Path(name).expanduser(), profile=options.pop("profile", None)).as_given()
    named = adapter_named(name, options)
    for twice in sorted(set(named) & set(options)):
        raise ParameterError(f"decodekit.open names {twice!r} twice: in its first argument, and as an option")
    return {"adapter": named}


def _with_parameters(part: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The adapter's table with these parameters. Raises `ParameterError` for one that neither has."""
    known = parameters_of(part["type"])
    unknown = [key for key in options if key not in known]
    if unknown:
        name = unknown[0]
        hint = "; it selects a part of a .toml configuration, and none is given here" if name == "profile" else ""
        raise ParameterError(
            f"the adapter {part['type']!r} and a session have no option {name!r}"
            f"{hint or meant(name, options, [*known, *_session_options()])}"
        )
    return {**part, **options}


def _session_options() -> list[str]:
    parameters = inspect.signature(BaseSession.__init__).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


def _written(chain: Chain) -> dict[str, Any]:
    """A chain as a configuration lists it."""
    described = chain.describe()

    def table(group: str, part: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": registry.spelled(group, part["name"], part["distribution"]), **part["params"]}

    processors = [table("processors", part) for part in described["processors"]]
    return {"chain": processors, "sampler": table("samplers", described["sampler"])}


def _is_adapter(what: object) -> bool:
    return callable(getattr(what, "predict", None)) or callable(getattr(what, "apredict", None))
