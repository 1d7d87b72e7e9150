"""Building the chain that a header names, and comparing the adapter with the recorded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit.chain import Chain
from decodekit.draw.randomness import ALGORITHM
from decodekit.errors import ConfigError, TraceError
from decodekit.model.adapter import AdapterInfo
from decodekit.plugin import registry
from decodekit.trace.codec import to_line
from decodekit.trace.trace import Trace

__all__ = [
    "chain_of",
    "differences",
    "require_noise",
]


def require_noise(trace: Trace) -> None:
    """Raise `TraceError` unless something was recorded, with the random number algorithm of this version."""
    if trace.header.level == "none":
        raise TraceError("the run was made with level 'none': nothing was recorded")
    if trace.header.rng != ALGORITHM:
        raise TraceError(
            f"the random numbers of this trace are {trace.header.rng!r}; this version has only {ALGORITHM!r}"
        )


def chain_of(trace: Trace, given: Chain | None = None) -> Chain:
    """The chain a header names, built from registered plugins only; or the given one, if it is the recorded one.

    Raises:
        ConfigError: a part is not registered under its name, or its version is not the recorded one; or the given chain
            is another one.
    """
    described = trace.header.chain
    if given is not None:
        if to_line(given.describe()) != to_line(described):
            raise ConfigError(f"the chain is {given.describe()}, the recorded one {described}")
        return given
    try:
        parts = [_part("processors", part) for part in described["processors"]]
        return Chain.from_parts(parts, _part("samplers", described["sampler"]))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the header's chain is not readable: {error!r}") from error


def _part(group: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """A part as in a config. Raises `ConfigError` if the installed version is not the recorded one."""
    name = registry.spelled(group, described["name"], described["distribution"])
    _, info = registry.load(group, name)
    recorded = (described["distribution"], described["version"])
    if (info.distribution, info.version) != recorded:
        raise ConfigError(
            f"{group[:-1]} {name!r} was recorded from {recorded[0] or 'a process'} {recorded[1]}, "
            f"but the installed one is from {info.distribution or 'this process'} {info.version}"
        )
    return {"name": name, **described["params"]}


def differences(recorded: Mapping[str, Any], info: AdapterInfo) -> list[str]:
    """How an adapter differs from the recorded one: a sentence for each fingerprint that differs."""
    return [
        f"the trace's {name} is {recorded.get(name)!r}, this adapter's is {getattr(info, name)!r}"
        for name in ("model_fingerprint", "tokenizer_fingerprint", "vocab_size")
        if recorded.get(name) != getattr(info, name)
    ]
