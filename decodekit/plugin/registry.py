"""Plugins by name: found by entry points without being imported, imported on first use.

decodekit's own plugins are found in the same way as third-party plugins. Configs and traces give names, never code.
Plugins of one kind form a group. Groups are open: any installed distribution may provide entry points of a new group,
and the code that uses the group defines it with `define_group`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import ConfigError, ParameterError, UnknownPlugin, did_you_mean, message_of
from decodekit.log import get_logger
from decodekit.plugin.parameters import FunctionPlugin, parameter_model, validated

__all__ = [
    "Group",
    "PluginInfo",
    "adapter",
    "define_group",
    "describe",
    "kind_of",
    "load",
    "name_of",
    "plugins",
    "processor",
    "register_processor",
    "sampler",
]

Function = TypeVar("Function", bound=Callable[..., Any])

_PREFIX = "decodekit."
_OURS = "decodekit"


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


@dataclass(frozen=True, slots=True)
class Group:
    """The plugins of one kind: entry points of ``decodekit.<name>``, and what was registered in this process.

    Args:
        name: the kind in the plural, as in the names of its entry points.
        kind: the kind in the singular, for messages.
        included: plugins that need no entry point, by name.
    """

    name: str
    kind: str
    included: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: MappingProxyType({}))

    def names(self) -> list[str]:
        """The names of all plugins of the group, sorted. Imports none of them."""
        return sorted({*self.included, *_installed().get(self.name, {}), *_registered(self.name)})

    def load(self, name: str) -> tuple[Callable[..., Any], PluginInfo]:
        """The code of the plugin of this name, imported now if it was not before, and where it comes from.

        Names of decodekit's own plugins are reserved: a third-party plugin of the same name is ignored with a warning.

        Raises:
            UnknownPlugin: no plugin of this name is installed.
            ConfigError: two other distributions provide the name, or the code cannot be imported or called.
        """
        points = _installed().get(self.name, {}).get(name, [])
        own = self.included.get(name)
        registered = _registered(self.name).get(name)
        ours = [point for point in points if _origin(point)[0] == _OURS]
        if own is not None or ours:
            self._warn_of_ignored(name, [_origin(point)[0] for point in points if point not in ours])
            points, registered = ours, None
        if own is not None:
            return own, PluginInfo(name, self.name, _OURS, _own_version(), True)
        if len(points) + (registered is not None) > 1:
            owners = [_origin(point)[0] for point in points] + (["this process"] if registered is not None else [])
            raise ConfigError(f"{self.kind} {name!r} is provided by {' and by '.join(owners)}; uninstall or rename one")
        if registered is not None:
            return registered, PluginInfo(name, self.name, "", "", True)
        if not points:
            raise UnknownPlugin(f"no {self.kind} is named {name!r}{self._instead(name)}")
        return self._imported(points[0])

    def build(self, name: str, **params: Any) -> Any:
        """The plugin of this name with these parameters.

        Raises:
            UnknownPlugin: no plugin of this name is installed.
            ParameterError: a parameter is missing, unknown or out of range.
            ConfigError: as for `load`; or the plugin tried to end the process.
        """
        target, _ = self.load(name)
        owner = f"{self.kind} {name!r}"
        try:
            checked = validated(parameter_model(target, owner), params, owner)
            if isinstance(target, type):
                return (
                    checked if isinstance(checked, target) else target(**{key: getattr(checked, key) for key in params})
                )
        except SystemExit as error:
            raise ConfigError(f"{owner} tried to end the process with code {error.code!r} when it was built") from error
        if target in self.included.values():
            return target
        return FunctionPlugin(target, name, {key: getattr(checked, key) for key in type(checked).model_fields})

    def register(self, name: str) -> Callable[[Function], Function]:
        """Make a function or class a plugin of this process.

        Raises:
            ParameterError: the name is one of decodekit's own, or another function has it already.
        """

        given: object = name
        if not isinstance(given, str) or not given:
            raise ParameterError(
                f'write @register_{self.kind}("name"): a {self.kind} needs a name, and {given!r} is none'
            )

        def register(function: Function) -> Function:
            holder = _registered(self.name).get(name)
            if holder is not None and _place(holder) != _place(function):
                raise ParameterError(f"{self.kind} {name!r} is registered already, by {holder.__module__}")
            if name in self.included or any(
                _origin(point)[0] == _OURS for point in _installed().get(self.name, {}).get(name, [])
            ):
                raise ParameterError(f"{self.kind} {name!r} is decodekit's own; register yours under another name")
            _in_process[self.name, name] = function
            return function

        return register

    def _imported(self, point: EntryPoint) -> tuple[Callable[..., Any], PluginInfo]:
        dist, version = _origin(point)
        where = f"{self.kind} {point.name!r} of {dist} {version}"
        try:
            target: Callable[..., Any] = point.load()
        except KeyboardInterrupt:
            raise
        except SystemExit as error:
            raise ConfigError(f"{where} cannot be imported: it tried to end the process with {error.code!r}") from error
        except BaseException as error:  # a third-party module may raise anything on import
            raise ConfigError(f"{where} cannot be imported: {message_of(error)}") from error
        if not callable(target):
            raise ConfigError(f"{where} is not a function or class, but {type(target).__name__}: {point.value}")
        info = PluginInfo(point.name, self.name, dist, version, True)
        _loaded[target] = info
        return target, info

    def _instead(self, name: str) -> str:
        """What the name is, or which one may have been meant."""
        kinds = {kind_of(info.group) for info in plugins() if info.name == name and info.group != self.name}
        if kinds:
            return "".join(f"; {name!r} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in sorted(kinds))
        return did_you_mean(name, self.names(), "`decodekit plugins`")

    def _warn_of_ignored(self, name: str, distributions: list[str]) -> None:
        for dist in distributions:
            if (self.name, name, dist) not in _warned:
                _warned.add((self.name, name, dist))
                get_logger().warning("plugin ignored", plugin=name, group=self.name, of=dist, used=_OURS)


_groups: dict[str, Group] = {}
_in_process: dict[tuple[str, str], Callable[..., Any]] = {}
_loaded: dict[Callable[..., Any], PluginInfo] = {}
_warned: set[tuple[str, str, str]] = set()


def define_group(name: str, kind: str, included: Mapping[str, Callable[..., Any]] | None = None) -> Group:
    """Define a group of plugins. Defining it again with the same arguments changes nothing.

    Args:
        name: the kind in the plural; the entry points of the group are those of ``decodekit.<name>``.
        kind: the kind in the singular, for messages.
        included: plugins that need no entry point, by name.

    Raises:
        ParameterError: the group is already defined with other arguments.
    """
    made = Group(name, kind, MappingProxyType(dict(included or {})))
    known = _groups.setdefault(name, made)
    if (known.kind, dict(known.included)) != (made.kind, dict(made.included)):
        raise ParameterError(f"the plugin group {name!r} is already defined, with kind {known.kind!r}")
    return known


_ADAPTERS = define_group("adapters", "adapter")
_PROCESSORS = define_group("processors", "processor")
_SAMPLERS = define_group("samplers", "sampler", CORE_SAMPLERS)


def kind_of(group: str) -> str:
    """The kind of a group's plugins, in the singular."""
    return _groups[group].kind if group in _groups else group.removesuffix("s")


def adapter(type: str, **params: Any) -> Any:  # noqa: A002 - the config file says `type`, so the function does too
    """Build the adapter of this name. Raises `UnknownPlugin`, `ParameterError`, or what the adapter raises."""
    return _ADAPTERS.build(type, **params)


def processor(name: str, **params: Any) -> Any:
    """Build the processor of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _PROCESSORS.build(name, **params)


def sampler(name: str, **params: Any) -> Any:
    """Build the sampler of this name. Raises `UnknownPlugin` or `ParameterError`."""
    return _SAMPLERS.build(name, **params)


def register_processor(name: str) -> Callable[[Function], Function]:
    """Make a plain function ``(dist, ctx, *, parameters) -> Distribution`` a processor of this process.

    Raises:
        ParameterError: the name is one of decodekit's own, or another function has it already.
    """
    return _PROCESSORS.register(name)


def plugins() -> list[PluginInfo]:
    """All installed and registered plugins of all groups, sorted by group and name. Imports none of them."""
    loaded = {(info.group, info.name, info.distribution) for info in _loaded.values()}
    found = [PluginInfo(name, group, "", "", True) for group, name in _in_process]
    for group in _groups.values():
        found += [PluginInfo(name, group.name, _OURS, _own_version(), True) for name in group.included]
    for name, points in _installed().items():
        for point in (point for same_name in points.values() for point in same_name):
            dist, version = _origin(point)
            found.append(PluginInfo(point.name, name, dist, version, (name, point.name, dist) in loaded))
    return sorted(found, key=lambda info: (info.group, info.name, info.distribution))


def load(group: str, name: str) -> tuple[Callable[..., Any], PluginInfo]:
    """`Group.load` of the group of this name. The group need not be defined: its entry points are enough."""
    return _groups.get(group, Group(group, kind_of(group))).load(name)


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
        info = PluginInfo(name, "processors", _OURS if core else "", _own_version() if core else "", True)
    if isinstance(plugin, FunctionPlugin):
        params: Mapping[str, Any] = plugin.parameters
    else:
        params = plugin.model_dump(mode="json") if isinstance(plugin, BaseModel) else {}
    return {"name": info.name, "params": dict(params), "distribution": info.distribution, "version": info.version}


def name_of(plugin: Any) -> str:
    """The name of a plugin in records: its own ``name``, or the name of the function or class."""
    name = getattr(plugin, "name", None) or getattr(plugin, "__name__", None)
    if isinstance(name, str):
        return name
    return _loaded[type(plugin)].name if type(plugin) in _loaded else type(plugin).__name__


def _functions() -> list[Callable[..., Any]]:
    return [*CORE_SAMPLERS.values(), *_loaded, *_in_process.values()]


def _registered(group: str) -> dict[str, Callable[..., Any]]:
    return {name: function for (where, name), function in _in_process.items() if where == group}


def _place(function: Any) -> tuple[str, str]:
    """Where a function is defined. A notebook cell that runs again makes a new function with the same place."""
    return function.__module__, function.__qualname__


@cache
def _installed() -> Mapping[str, Mapping[str, list[EntryPoint]]]:
    """The entry points of all groups ``decodekit.*``, by group and name."""
    found: dict[str, dict[str, list[EntryPoint]]] = {}
    seen: set[tuple[str, str, str, str]] = set()
    everything = entry_points()
    for group in sorted(name for name in everything.groups if name.startswith(_PREFIX)):
        for point in everything.select(group=group):
            key = (group, point.name, point.value, _origin(point)[0])
            if key not in seen:  # an editable install can list itself twice
                seen.add(key)
                found.setdefault(group.removeprefix(_PREFIX), {}).setdefault(point.name, []).append(point)
    return found


def _origin(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")


@cache
def _own_version() -> str:
    from importlib.metadata import version

    return version(_OURS)
