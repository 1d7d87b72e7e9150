"""Every error decodekit raises, in one tree.

    DecodekitError
    ├── ConfigError                 a configuration or a call that cannot work
    │   ├── UnknownPlugin           a name that no installed distribution provides
    │   ├── ParameterError          a parameter that is missing, unknown or out of range
    │   └── NotPicklable            an object that belongs to one process, given to another one
    ├── Undisclosed                 a question that the disclosed part of a distribution cannot answer
    ├── DistributionError           numbers that are not a distribution (NaN, +inf, a sum above one)
    │   └── EmptySupport            every token was masked or removed
    ├── PluginError                 a processor or sampler broke its contract, or raised
    ├── AdapterError                a backend could not answer
    │   ├── ModelNotFound           no such model, or a file that is not a model
    │   ├── ContextOverflow         the prefix is longer than the model's context length
    │   ├── OutOfMemory             the backend has too little memory, even after its caches were shrunk
    │   ├── Overloaded              so many callers wait for the model that this call was not begun
    │   └── ProviderError           a remote server answered with an error, or not at all
    └── TraceError                  a trace that cannot be written, read or trusted

Messages name the field, the plugin and the step, and say what to do next.
"""

from __future__ import annotations

import difflib
import io
import reprlib
from collections.abc import Iterable
from pickle import Pickler
from typing import Any

__all__ = [
    "AdapterError",
    "ConfigError",
    "ContextOverflow",
    "DecodekitError",
    "DistributionError",
    "EmptySupport",
    "ModelNotFound",
    "NotPicklable",
    "OutOfMemory",
    "Overloaded",
    "ParameterError",
    "PluginError",
    "ProviderError",
    "TraceError",
    "UnknownPlugin",
    "brief",
    "did_you_mean",
    "message_of",
]


_FEWEST, _LONGEST_NAME = 3, 100  # letters of a word that may be short for a name, and of one that is compared
_MOST_LISTED = 12
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 60


def brief(value: object) -> str:
    """A value as a message shows it: as it would be written in Python, cut where it is long."""
    if isinstance(value, type):
        return value.__name__
    return _BRIEF.repr(value) if isinstance(value, str) else " ".join(_BRIEF.repr(value).split())


def message_of(error: BaseException) -> str:
    """The text of an error; the name of its type where there is no text or ``__str__`` fails.

    Lone surrogates are written as escapes.
    """
    try:
        text = str(error)
    except (Exception, SystemExit):  # the __str__ of a third-party class may raise anything
        text = ""
    return text.encode("utf-8", "backslashreplace").decode() if text else type(error).__name__


class DecodekitError(Exception):
    """The root of all errors of this library.

    Attributes:
        partial: what a generation had produced before it ended in this error: a `Result`, or a list of them, one per
            sequence, for a batch; None outside a generation.
    """

    partial: Any = None  # a `Result`; its type belongs to a package that this module must not import

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the message and the attributes, whatever ``__init__`` takes; what cannot be pickled is left out."""
        args = tuple(each if _pickles(each) else str(each) for each in self.args)
        return _rebuilt, (type(self), args), {name: value for name, value in vars(self).items() if _pickles(value)}

    def __copy__(self) -> DecodekitError:
        copied = _rebuilt(type(self), self.args)
        copied.__dict__.update(vars(self))
        return copied


def _rebuilt(kind: type[DecodekitError], args: tuple[Any, ...]) -> DecodekitError:
    """An error of this kind, made without ``__init__``, which may need more arguments than the message."""
    return kind.__new__(kind, *args)


class _Trial(Pickler):
    """A pickler for a test run. A `DecodekitError` is assumed to pickle: a result may hold the error that holds it."""

    def persistent_id(self, value: Any) -> str | None:
        return "error" if isinstance(value, DecodekitError) else None


def _pickles(value: Any) -> bool:
    if value is None or isinstance(value, str | int | float | bytes):
        return True
    try:
        _Trial(io.BytesIO()).dump(value)
    except Exception:  # a third-party __reduce__ may raise anything
        return False
    return True


class ConfigError(DecodekitError):
    """A configuration or a call that cannot work, whatever the model answers."""


class UnknownPlugin(ConfigError):
    """No installed distribution provides a plugin of this name."""


class ParameterError(ConfigError, ValueError):
    """A parameter is missing, unknown or out of range; the message names it."""


class NotPicklable(ConfigError, TypeError):
    """An object of one process (a session, an adapter, a stream) was pickled or copied; as for pickle, a TypeError."""


class DistributionError(DecodekitError):
    """Numbers that are not a distribution.

    Attributes:
        stage: where they came from: 'adapter', or the name of a processor.
        step: the number of tokens already generated, or None outside a generation.
    """

    def __init__(self, message: str, *, stage: str | None = None, step: int | None = None) -> None:
        self.message = message
        self.stage = stage
        self.step = step
        where = "" if stage is None else f" (stage {stage!r}" + (")" if step is None else f", step {step})")
        super().__init__(message + where)


class EmptySupport(DistributionError):
    """Every token was masked or removed: there is nothing to choose from."""


class PluginError(DecodekitError):
    """A processor or sampler broke its contract, or raised.

    Attributes:
        plugin: its name.
        step: the number of tokens already generated, or None outside a generation.
    """

    def __init__(self, message: str, *, plugin: str, step: int | None = None) -> None:
        self.plugin = plugin
        self.step = step
        super().__init__(f"plugin {plugin!r}" + ("" if step is None else f", step {step}") + f": {message}")


class AdapterError(DecodekitError):
    """A backend could not answer."""


class ModelNotFound(AdapterError):
    """There is no such model, or the file is not a model."""


class ContextOverflow(AdapterError):
    """The prefix is longer than the model's context length.

    While generating, a session turns this into ``finish_reason="context"``; on a prompt it is raised.
    """


class OutOfMemory(AdapterError):
    """The backend has too little memory for this prefix, even after its caches were shrunk."""


class Overloaded(AdapterError):
    """So many callers wait for the model that this call was not begun: nothing was asked, and no trace was written."""


class ProviderError(AdapterError):
    """A remote server answered with an error, or did not answer."""


class TraceError(DecodekitError):
    """A trace that cannot be written, read or trusted.

    Attributes:
        step: the number of steps that are intact before the fault, or None when unknown.
    """

    def __init__(self, message: str, *, step: int | None = None) -> None:
        self.step = step
        super().__init__(message)


def did_you_mean(word: str, known: Iterable[str], listed_by: str = "") -> str:
    """``"; did you mean 'x'?"``, or the known names; ``listed_by`` in place of more than a dozen.

    A name that begins with the word is meant, or the most similar one.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(word[:_LONGEST_NAME], names, n=1, cutoff=0.6)
    if not close and len(word) >= _FEWEST:
        close = [name for name in names if name.startswith(word)][:1]  # 'temp' is short for 'temperature'
    if close:
        return f"; did you mean {close[0]!r}?"
    if listed_by and len(names) > _MOST_LISTED:
        return f"; there are {len(names)}: {listed_by} lists them"
    return f"; there is {', '.join(names) or 'nothing'}"
