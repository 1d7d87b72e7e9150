"""The plugins that installed distributions provide: entry points, read once and not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points, version

__all__ = ["OURS", "PluginInfo", "installed", "origin", "our_version"]

OURS = "decodekit"  # the distribution whose names are reserved
_PREFIX = "decodekit."


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin.

    Args:
        name: what configs call it.
        group: its kind, in the plural: 'adapters', 'processors', 'samplers', 'presets', 'dialects', ...
        distribution: the installed distribution it comes from; '' for one registered in this process.
        version: that distribution's version.
        loaded: whether its code has been imported.
    """

    name: str
    group: str
    distribution: str
    version: str
    loaded: bool


@cache
def installed() -> Mapping[str, Mapping[str, list[EntryPoint]]]:
    """The entry points of all groups ``decodekit.*``, by group and name."""
    found: dict[str, dict[str, list[EntryPoint]]] = {}
    seen: set[tuple[str, str, str, str]] = set()
    everything = entry_points()
    for group in sorted(name for name in everything.groups if name.startswith(_PREFIX)):
        for point in everything.select(group=group):
            key = (group, point.name, point.value, origin(point)[0])
            if key not in seen:  # an editable install can list itself twice
                seen.add(key)
                found.setdefault(group.removeprefix(_PREFIX), {}).setdefault(point.name, []).append(point)
    return found


def origin(point: EntryPoint) -> tuple[str, str]:
    """The name and the version of the distribution that an entry point comes from; '' for none."""
    return _named(point.dist) if point.dist is not None else ("", "")


@cache
def _named(distribution: Distribution) -> tuple[str, str]:
    """Its name and version. Each is read from a file, and a server that makes a chain for each request asks often."""
    return distribution.name, distribution.version


@cache
def our_version() -> str:
    """The version of decodekit that is installed."""
    return version(OURS)
