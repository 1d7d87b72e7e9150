"""Plugins by name: found by entry points without being imported, imported on first use.

decodekit's own plugins are found in the same way as third-party plugins. Configs and traces give names, never code.
Plugins of one kind form a group. Groups are open: any installed distribution may provide entry points of a new group,
and the code that uses the group defines it with `define_group`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Never, overload

from pydantic import BaseModel

from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import ConfigError, ParameterError
from decodekit.plugin.group import GROUPS, LOADED, Function, Group
from decodekit.plugin.installed import OURS, PluginInfo, installed, origin, our_version
from decodekit.plugin.parameters import FunctionPlugin

__all__ = [
    "Group",
    "PluginInfo",
    "adapter",
    "define_group",
    "describe",
    "guesser",
    "has_sampler",
    "is_adapter",
    "is_sampler",
    "load",
    "name_of",
    "plugins",
    "processor",
    "register_adapter",
    "register_processor",
    "register_sampler",
    "sampler",
    "shared_names",
    "shown_name",
    "sink",
    "spelled",
]


def define_group(
    name: str,
    kind: str,
    included: Mapping[str, Callable[..., Any]] | None = None,
    passed: tuple[str, ...] | None = None,
) -> Group:
    """Define a group of plugins. Defining it again with the same arguments changes nothing.

    Args:
        name: the kind in the plural; the entry points of the group are those of ``decodekit.<name>``.
        kind: the kind in the singular, for messages.
        included: plugins that need no entry point, by name.
        passed: what a plugin that is a function is called with, besides its parameters; None to check nothing.

    Raises:
        ParameterError: the group is already defined with other arguments.
    """
    made = Group(name, kind, MappingProxyType(dict(included or {})), passed=passed)
    known = GROUPS.setdefault(name, made)
    if (known.kind, dict(known.included)) != (made.kind, dict(made.included)):
        raise ParameterError(f"the plugin group {name!r} is already defined, with kind {known.kind!r}")
    return known


_ADAPTERS = define_group("adapters", "adapter", passed=())
_PROCESSORS = define_group("processors", "processor", passed=("dist", "ctx"))
_SAMPLERS = define_group("samplers", "sampler", CORE_SAMPLERS, passed=("dist", "ctx", "randomness"))
_GUESSERS = define_group("guessers", "guesser")
_SINKS = define_group("sinks", "sink")


def adapter(type: str, *unnamed: Never, **params: Any) -> Any:  # noqa: A002 - the config file says `type`, so the function does too
    """Build the adapter of this name. Raises `UnknownPlugin`, `ParameterError`, or what the adapter raises."""
    return _ADAPTERS.build(type, *unnamed, **params)


def processor(name: str, *unnamed: Never, **params: Any) -> Any:
    """Build the processor of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _PROCESSORS.build(name, *unnamed, **params)


def sampler(name: str, *unnamed: Never, **params: Any) -> Any:
    """Build the sampler of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _SAMPLERS.build(name, *unnamed, **params)


def guesser(name: str, *unnamed: Never, **params: Any) -> Any:
    """Build the guesser of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _GUESSERS.build(name, *unnamed, **params)


def sink(name: str, *unnamed: Never, **params: Any) -> Any:
    """Build the sink of this name, for ``trace=``. Raises `UnknownPlugin` or `ParameterError`."""
    return _SINKS.build(name, *unnamed, **params)


def is_adapter(name: str) -> bool:
    """Whether an adapter has this name."""
    return _ADAPTERS.has(name)


def is_part(name: str) -> bool:
    """Whether a processor or a sampler has this name."""
    return _PROCESSORS.has(name) or _SAMPLERS.has(name)


def has_sampler(name: str) -> bool:
    """Whether a sampler has this name; a processor may have it too."""
    return _SAMPLERS.has(name)


def is_sampler(part: Any) -> bool:
    """Whether a name, or a plugin that was built by name, is a sampler and no processor.

    A name of decodekit's is what it is there. Raises `ConfigError` for another name that is of both kinds.
    """
    if isinstance(part, str):
        if not (_SAMPLERS.has(part) and _PROCESSORS.has(part)):
            return _SAMPLERS.has(part)
        if not {OURS} & {*_SAMPLERS.owners(part), *_PROCESSORS.owners(part)}:
            way = "write its distribution in front"
            if ":" in part:
                calls = f"decodekit.processor({part!r}) or decodekit.sampler({part!r})"
                way = f"in a text they cannot be told apart; give {calls}, or write them in a .toml file"
            raise ConfigError(f"{part!r} is the name of a processor and of a sampler; {way}")
        return OURS in _SAMPLERS.owners(part)
    target = _target(part)
    info = LOADED.get(target)
    if info is not None:
        return info.group == "samplers"
    return any(target is each for each in (*CORE_SAMPLERS.values(), *_SAMPLERS.registered.values()))


@overload
def register_adapter(name: str | None = None) -> Callable[[Function], Function]: ...
@overload
def register_adapter(name: Function) -> Function: ...
def register_adapter(name: str | Function | None = None) -> Callable[[Function], Function] | Function:
    """Make a function of keyword parameters that returns an adapter, or a class, an adapter of this process.

    As ``@register_adapter`` under its own name, as ``@register_adapter("name")`` under this one.

    Raises:
        ParameterError: the name is one of decodekit's own, or another function has it already, or a chain's text cannot
            have it; or a parameter is not keyword-only, or has a name that is taken.
    """
    return _ADAPTERS.register(name)


@overload
def register_processor(name: str | None = None) -> Callable[[Function], Function]: ...
@overload
def register_processor(name: Function) -> Function: ...
def register_processor(name: str | Function | None = None) -> Callable[[Function], Function] | Function:
    """Make a plain function ``(dist, ctx, *, parameters) -> Distribution``, or a class, a processor of this process.

    As ``@register_processor`` under its own name, as ``@register_processor("name")`` under this one.

    Raises:
        ParameterError: the name is one of decodekit's own, or another function has it already, or a chain's text cannot
            have it; or a parameter is not keyword-only, or has a name that is taken.
    """
    return _PROCESSORS.register(name)


@overload
def register_sampler(name: str | None = None) -> Callable[[Function], Function]: ...
@overload
def register_sampler(name: Function) -> Function: ...
def register_sampler(name: str | Function | None = None) -> Callable[[Function], Function] | Function:
    """Make a function ``(dist, ctx, randomness, *, parameters) -> Choice``, or a class, a sampler of this process.

    As ``@register_sampler`` under its own name, as ``@register_sampler("name")`` under this one.

    Raises:
        ParameterError: the name is one of decodekit's own, or another function has it already, or a chain's text cannot
            have it; or a parameter is not keyword-only, or has a name that is taken.
    """
    return _SAMPLERS.register(name)


def spelled(group: str, name: str, distribution: str) -> str:
    """How a plugin is named: with its distribution in front (``dist:name``) where another one has the name too."""
    owners = GROUPS.get(group, Group(group, group.removesuffix("s"))).claimed(name)
    alone = distribution in ("", OURS) or owners == [distribution] or distribution not in owners
    return name if alone else f"{distribution}:{name}"


def shown_name(group: str, described: Mapping[str, Any]) -> str:
    """The name by which a recorded plugin is shown: ``dist:name`` where another distribution has the name here.

    Args:
        group: its kind, in the plural.
        described: by `describe`, perhaps on another machine; '' is shown for one without a name.
    """
    name, owner = str(described.get("name", "")), str(described.get("distribution", ""))
    if owner in ("", OURS):
        return name
    others = set(GROUPS.get(group, Group(group, group.removesuffix("s"))).claimed(name)) - {owner}
    return f"{owner}:{name}" if others else name


def shared_names() -> list[tuple[str, str, list[str]]]:
    """(group, name, distributions) of each name that several distributions provide, in undefined groups too."""
    undefined = [Group(name, name.removesuffix("s")) for name in installed() if name not in GROUPS]
    return [
        (group.name, name, owners)
        for group in (*GROUPS.values(), *undefined)
        for name in group.names()
        if len(owners := group.claimed(name)) > 1
    ]


def plugins() -> list[PluginInfo]:
    """All installed and registered plugins of all groups, sorted by group and name. Imports none of them."""
    loaded = {(info.group, info.name, info.distribution) for info in LOADED.values()}
    found: list[PluginInfo] = []
    for group in GROUPS.values():
        found += [PluginInfo(name, group.name, "", "", True) for name in group.registered]
        found += [PluginInfo(name, group.name, OURS, our_version(), True) for name in group.included]
    for name, points in installed().items():
        for point in (point for same_name in points.values() for point in same_name):
            dist, version = origin(point)
            found.append(PluginInfo(point.name, name, dist, version, (name, point.name, dist) in loaded))
    return sorted(found, key=lambda info: (info.group, info.name, info.distribution))


def load(group: str, name: str) -> tuple[Callable[..., Any], PluginInfo]:
    """`Group.load` of the group of this name. The group need not be defined: its entry points are enough."""
    return GROUPS.get(group, Group(group, group.removesuffix("s"))).load(name)


def describe(plugin: Any) -> dict[str, Any]:
    """Name, parameters, distribution and version of a built plugin, for the record."""
    target = _target(plugin)
    info = LOADED.get(target)
    if info is None:
        here = [name for name, function in _registered() if function is target]
        core = [name for name, function in CORE_SAMPLERS.items() if function is target]
        name = here[0] if here else core[0] if core else name_of(plugin)
        info = PluginInfo(name, "processors", OURS if core else "", our_version() if core else "", True)
    if isinstance(plugin, FunctionPlugin):
        params: Mapping[str, Any] = plugin.parameters
    else:
        params = plugin.model_dump(mode="json") if isinstance(plugin, BaseModel) else {}
    return {"name": info.name, "params": dict(params), "distribution": info.distribution, "version": info.version}


def is_ours(plugin: Any) -> bool:
    """Whether this distribution provides a built plugin."""
    target = _target(plugin)
    return target in CORE_SAMPLERS.values() or (target in LOADED and LOADED[target].distribution == OURS)


def name_of(plugin: Any) -> str:
    """The name of a plugin in records: its own ``name``, or the name of the function or class."""
    name = getattr(plugin, "name", None) or getattr(plugin, "__name__", None)
    if isinstance(name, str):
        return name
    return LOADED[type(plugin)].name if type(plugin) in LOADED else type(plugin).__name__


def _target(plugin: Any) -> Any:
    """The function or class behind a built plugin."""
    return plugin.function if isinstance(plugin, FunctionPlugin) else plugin if plugin in _functions() else type(plugin)


def _functions() -> list[Callable[..., Any]]:
    return [*CORE_SAMPLERS.values(), *LOADED, *(function for _, function in _registered())]


def _registered() -> list[tuple[str, Callable[..., Any]]]:
    return [named for group in GROUPS.values() for named in group.registered.items()]
