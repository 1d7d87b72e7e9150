"""Plugins by name: found by entry points without being imported, loaded on first use.

Ours come in by the same door as a stranger's. Names come from configs and traces; code never does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import ConfigError, ParameterError, UnknownPlugin, did_you_mean
from decodekit.plugin.parameters import FunctionPlugin, parameter_model, validated

__all__ = [
    "GROUPS",
    "Group",
    "PluginInfo",
    "adapter",
    "describe",
    "load",
    "plugins",
    "processor",
    "register_processor",
    "sampler",
]

Group = Literal["adapters", "presets", "processors", "samplers"]
GROUPS: tuple[Group, ...] = ("adapters", "presets", "processors", "samplers")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin.

    Args:
        name: what configs call it.
        group: 'adapters', 'presets', 'processors' or 'samplers'.
        distribution: the installed distribution it comes from; '' for one registered in this process.
        version: that distribution's version.
        loaded: whether its code has been imported.
    """

    name: str
    group: Group
    distribution: str
    version: str
    loaded: bool


_in_process: dict[tuple[Group, str], Callable[..., Any]] = {}
_loaded: dict[Callable[..., Any], PluginInfo] = {}


def adapter(type: str, **params: Any) -> Any:  # noqa: A002 - the config file says `type`, so the function does too
    """Build the adapter of this name. Raises `UnknownPlugin`, `ParameterError`, or what the adapter raises."""
    return _build("adapters", type, params)


def processor(name: str, **params: Any) -> Any:
    """Build the processor of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _build("processors", name, params)


def sampler(name: str, **params: Any) -> Any:
    """Build the sampler of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _build("samplers", name, params)


def register_processor(name: str) -> Callable[[Function], Function]:
    """Make a plain function ``(dist, ctx, *, parameters) -> Distribution`` a processor of this process.

    Raises:
        ParameterError: another function holds the name already.
    """

    def register(function: Function) -> Function:
        holder = _in_process.get(("processors", name))
        if holder is not None and (holder.__module__, holder.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ParameterError(f"processor {name!r} is registered already, by {holder.__module__}")
        _in_process["processors", name] = function
        return function

    return register


def plugins() -> list[PluginInfo]:
    """All plugins there are, sorted by group and name. Imports none of them."""
    loaded = {(info.group, info.name, info.distribution) for info in _loaded.values()}
    found = [PluginInfo(name, "samplers", "decodekit", _own_version(), True) for name in CORE_SAMPLERS]
    found += [PluginInfo(name, group, "", "", True) for group, name in _in_process]
    for group in GROUPS:
        for points in _installed(group).values():
            for point in points:
                dist, version = _origin(point)
                found.append(PluginInfo(point.name, group, dist, version, (group, point.name, dist) in loaded))
    return sorted(found, key=lambda info: (info.group, info.name, info.distribution))


def load(group: Group, name: str) -> tuple[Callable[..., Any], PluginInfo]:
    """The code behind a name, imported now if it was not before, and where it came from.

    Raises:
        UnknownPlugin: nothing of this name is installed.
        ConfigError: two distributions provide the name, or the code cannot be imported.
    """
    points = _installed(group).get(name, [])
    ours = _in_process.get((group, name)) or (CORE_SAMPLERS.get(name) if group == "samplers" else None)
    if len(points) + (ours is not None) > 1:
        owners = [_origin(point)[0] for point in points] + (["this process"] if ours is not None else [])
        raise ConfigError(f"{group[:-1]} {name!r} is provided by {' and by '.join(owners)}; uninstall or rename one")
    if ours is not None:
        own = (group, name) not in _in_process
        return ours, PluginInfo(name, group, "decodekit" if own else "", _own_version() if own else "", True)
    if not points:
        known = {info.name for info in plugins() if info.group == group}
        raise UnknownPlugin(f"no {group[:-1]} is named {name!r}{did_you_mean(name, known)}")
    dist, version = _origin(points[0])
    try:
        target: Callable[..., Any] = points[0].load()
    except Exception as error:  # whatever a stranger's module does on import
        raise ConfigError(f"{group[:-1]} {name!r} of {dist} {version} cannot be imported: {error}") from error
    info = PluginInfo(name, group, dist, version, True)
    _loaded[target] = info
    return target, info


def describe(plugin: Any) -> dict[str, Any]:
    """Name, parameters, distribution and version of a built plugin, for the record."""
    target = (
        plugin.function if isinstance(plugin, FunctionPlugin) else plugin if plugin in _functions() else type(plugin)
    )
    info = _loaded.get(target)
    if info is None:
        names = [(key, function) for key, function in _in_process.items() if function is target]
        core = [name for name, function in CORE_SAMPLERS.items() if function is target]
        name = names[0][0][1] if names else core[0] if core else name_of(plugin)
        info = PluginInfo(name, "processors", "decodekit" if core else "", _own_version() if core else "", True)
    if isinstance(plugin, FunctionPlugin):
        params: Mapping[str, Any] = plugin.parameters
    else:
        params = plugin.model_dump(mode="json") if isinstance(plugin, BaseModel) else {}
    return {"name": info.name, "params": dict(params), "distribution": info.distribution, "version": info.version}


def name_of(plugin: Any) -> str:
    """What records call a plugin: its own ``name``, or the name of the function or class."""
    name = getattr(plugin, "name", None) or getattr(plugin, "__name__", None)
    if isinstance(name, str):
        return name
    return _loaded[type(plugin)].name if type(plugin) in _loaded else type(plugin).__name__


def _build(group: Group, name: str, params: Mapping[str, Any]) -> Any:
    target, _ = load(group, name)
    owner = f"{group[:-1]} {name!r}"
    checked = validated(parameter_model(target), params, owner)
    if isinstance(target, type):
        return checked if isinstance(checked, target) else target(**{key: getattr(checked, key) for key in params})
    if target in CORE_SAMPLERS.values():
        return target
    return FunctionPlugin(target, name, {key: getattr(checked, key) for key in type(checked).model_fields})


def _functions() -> list[Callable[..., Any]]:
    return [*CORE_SAMPLERS.values(), *_loaded, *_in_process.values()]


@cache
def _installed(group: Group) -> Mapping[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    seen: set[tuple[str, str, str]] = set()
    for point in entry_points(group=f"decodekit.{group}"):
        key = (point.name, point.value, _origin(point)[0])
        if key not in seen:  # an editable install can list itself twice
            seen.add(key)
            found.setdefault(point.name, []).append(point)
    return found


def _origin(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")


@cache
def _own_version() -> str:
    from importlib.metadata import version

    return version("decodekit")
