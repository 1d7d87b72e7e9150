"""A group of plugins: found by name, imported on first use, checked, built, and registered in this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any, TypeVar

from decodekit.errors import ConfigError, ParameterError, UnknownPlugin, brief, did_you_mean, message_of
from decodekit.log import get_logger
from decodekit.plugin.installed import OURS, PluginInfo, installed, origin, our_version
from decodekit.plugin.parameters import FunctionPlugin, keyword_names, parameter_model, require_keywords, validated

__all__ = ["ELSEWHERE", "GROUPS", "LOADED", "NAME", "Function", "Group"]

Function = TypeVar("Function", bound=Callable[..., Any])

LOADED: dict[Callable[..., Any], PluginInfo] = {}
"""The code that entry points named and that was imported."""

_WORDS = ("processors", "samplers")  # a chain's text has names of both, so no name may be of each
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""What a plugin may be called, and what a chain's text can say."""

_warned: set[tuple[str, str, str]] = set()
_PLACES: dict[tuple[str, ...], str] = {  # of a name that is of the other kind
    ("processor", "sampler"): ", and stands at the end of a chain: 'top_k=40 greedy', or [sampler] in a configuration",
    ("sampler", "processor"): ", and stands before the sampler: 'top_k=40 greedy', or [[chain]] in a configuration",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The plugins of one kind: entry points of ``decodekit.<name>``, and what was registered in this process.

    Args:
        name: the kind in the plural, as in the names of its entry points.
        kind: the kind in the singular, for messages.
        included: plugins that need no entry point, by name.
        registered: plugins of this process, by name; `register` adds to it.
        passed: what a plugin that is a function is called with, besides its parameters; None where that is not known.
            With nothing, the function makes the plugin.
    """

    name: str
    kind: str
    included: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: MappingProxyType({}))
    registered: dict[str, Callable[..., Any]] = field(default_factory=dict)
    passed: tuple[str, ...] | None = None

    def names(self) -> list[str]:
        """The names of all plugins of the group, sorted. Imports none of them."""
        return sorted({*self.included, *installed().get(self.name, {}), *self.registered})

    def has(self, name: str) -> bool:
        """Whether there is a plugin of this name, which may have a distribution in front: ``dist:name``."""
        owner, _, plain = name.rpartition(":")
        return plain in self.names() and (not owner or owner in self.owners(plain))

    def owners(self, name: str) -> list[str]:
        """The distributions that provide this name, decodekit first, if it does."""
        found = {origin(point)[0] for point in installed().get(self.name, {}).get(name, [])}
        found |= {OURS} if name in self.included else set()
        return sorted(found, key=lambda owner: (owner != OURS, owner))

    def claimed(self, name: str) -> list[str]:
        """The `owners`, and decodekit where it has a part of a chain of the other kind by this name."""
        other = self._other_word()
        taken = other is not None and OURS in other.owners(name) and OURS not in self.owners(name)
        return [OURS, *self.owners(name)] if taken else self.owners(name)

    def _other_word(self) -> Group | None:
        """The group of the other parts of a chain: a name in a chain's text is of one kind."""
        return next((GROUPS[each] for each in _WORDS if self.name in _WORDS and each != self.name), None)

    def load(self, name: str) -> tuple[Callable[..., Any], PluginInfo]:
        """The code of the plugin of this name, imported now if it was not before, and where it comes from.

        Names of decodekit's own plugins are reserved: of a third-party plugin with the same name there is a warning.
        It is reached as ``dist:name``, with its distribution in front, and ours as ``decodekit:name`` too.

        Raises:
            UnknownPlugin: no plugin of this name is installed.
            ConfigError: two other distributions provide the name, or the code cannot be imported or called.
        """
        owner, _, plain = name.rpartition(":")
        if owner:
            return self._of(owner, plain)
        points = installed().get(self.name, {}).get(name, [])
        own = self.included.get(name)
        registered = self.registered.get(name)
        ours = [point for point in points if origin(point)[0] == OURS]
        if own is not None or ours:
            self._warn_of_ignored(name, [origin(point)[0] for point in points if point not in ours])
            points, registered = ours, None
        if own is not None:
            return own, PluginInfo(name, self.name, OURS, our_version(), True)
        if points and not ours and OURS in self.claimed(name):
            ways = " or ".join(f"{origin(point)[0]}:{name}" for point in points)
            raise UnknownPlugin(f"no {self.kind} is named {name!r} alone: {self._ours_is()}; write {ways}")
        if len(points) + (registered is not None) > 1:
            owners = [origin(point)[0] for point in points] + (["this process"] if registered is not None else [])
            ways = " or ".join(f"{origin(point)[0]}:{name}" for point in points)
            raise ConfigError(f"{self.kind} {name!r} is provided by {' and by '.join(owners)}; write {ways}")
        if registered is not None:
            return registered, PluginInfo(name, self.name, "", "", True)
        if not points:
            raise UnknownPlugin(f"no {self.kind} is named {brief(name)}{self._instead(name)}")
        return self._imported(points[0])

    def build(self, name: str, *unnamed: object, **params: Any) -> Any:
        """The plugin of this name with these parameters.

        Raises:
            UnknownPlugin: no plugin of this name is installed.
            ParameterError: a parameter is missing, unknown or out of range.
            ConfigError: as for `load`; or the plugin tried to end the process.
        """
        target, _ = self.load(name)
        owner = f"{self.kind} {name!r}"
        name = name.rpartition(":")[2]
        if unnamed:
            known = list(parameter_model(target, owner).model_fields)
            first = next((each for each in (name, *known) if each in known), "parameter")
            raise ParameterError(f"{owner}: parameters are given by name, such as {first}={brief(unnamed[0])}")
        self._require_keywords(target, owner)
        try:
            checked = validated(parameter_model(target, owner), params, owner)
            if self.passed == () and not isinstance(target, type):
                return target(**{key: getattr(checked, key) for key in type(checked).model_fields})
            if isinstance(target, type):
                return (
                    checked if isinstance(checked, target) else target(**{key: getattr(checked, key) for key in params})
                )
        except SystemExit as error:
            raise ConfigError(f"{owner} tried to end the process with code {error.code!r} when it was built") from error
        if target in self.included.values():
            return target
        return FunctionPlugin(target, name, {key: getattr(checked, key) for key in type(checked).model_fields})

    def register(self, name: str | Function | None) -> Callable[[Function], Function] | Function:
        """Make a function or class a plugin of this process; used without a name, under its own.

        Raises:
            ParameterError: the name is one of decodekit's own, or another function has it already, or a chain's text
                cannot have it; or a parameter is not keyword-only, or has a name that is taken.
        """
        given: Any = name
        if given is None:  # @register_processor()
            return lambda function: self.register(function)  # type: ignore[return-value]
        if isinstance(given, str) and NAME.fullmatch(given):
            return lambda function: self._register(given, function)
        if isinstance(given, str):
            raise ParameterError(
                f"register_{self.kind}: {given!r} is no name of a plugin: a letter, and then letters, digits, "
                "'_', '-' and '.'"
            )
        own = getattr(given, "__name__", "")
        if not callable(given) or not own.isidentifier():
            raise ParameterError(
                f'write @register_{self.kind} above a function, or @register_{self.kind}("name"): {given!r} has no '
                "name that can be used"
            )
        made: Function = self._register(own, given)
        return made

    def _register(self, name: str, function: Function) -> Function:
        owner = f"{self.kind} {name!r}"
        self._require_keywords(function, owner)
        if self.name in _WORDS and isinstance(function, type) and not _can_be_called(function):
            given = ", ".join(("self", *(self.passed or ())))
            raise ParameterError(f"{owner}: its objects cannot be called: define __call__({given})")
        taken = {"name", "type"} if self.name == "adapters" else {"name"}
        for parameter in sorted(taken & keyword_names(function)):
            raise ParameterError(f"{owner}: a parameter called {parameter!r} cannot be set, as that names the plugin")
        holder = self.registered.get(name)
        if holder is not None and _place(holder) != _place(function):
            raise ParameterError(f"{self.kind} {name!r} is registered already, by {holder.__module__}")
        if OURS in self.owners(name):
            raise ParameterError(f"{self.kind} {name!r} is decodekit's own; register yours under another name")
        other = self._other_word()
        if other is not None and (OURS in other.owners(name) or name in other.registered):
            whose = "decodekit has" if OURS in other.owners(name) else f"{other.registered[name].__module__} registered"
            raise ParameterError(
                f"{self.kind} {name!r}: {whose} a {other.kind} of this name, and in a chain a name is of one kind; "
                "register yours under another name"
            )
        self.registered[name] = function
        return function

    def _ours_is(self) -> str:
        other = self._other_word()
        return f"that is decodekit's {'plugin' if other is None else other.kind}"

    def _require_keywords(self, target: Callable[..., Any], owner: str) -> None:
        if self.passed is not None and target not in self.included.values():
            require_keywords(target, self.passed, owner)

    def _of(self, owner: str, name: str) -> tuple[Callable[..., Any], PluginInfo]:
        """The plugin of one distribution."""
        if owner == OURS and name in self.included:
            return self.included[name], PluginInfo(name, self.name, OURS, our_version(), True)
        for point in installed().get(self.name, {}).get(name, []):
            if origin(point)[0] == owner:
                return self._imported(point)
        said = f"no {self.kind} of a distribution {owner!r} is named {name!r}"
        same = [each for each in self.owners(name) if _plain(each) == _plain(owner)]
        raise UnknownPlugin(f"{said}; write {same[0]}:{name}" if same else said + self._instead(name))

    def _imported(self, point: EntryPoint) -> tuple[Callable[..., Any], PluginInfo]:
        dist, version = origin(point)
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
        LOADED[target] = info
        return target, info

    def _instead(self, name: str) -> str:
        """What else the name is, or which name may have been meant."""
        kinds = {each.kind for each in GROUPS.values() if name in each.names()}
        undefined = (group for group, named in installed().items() if name in named and group not in GROUPS)
        kinds |= {group.removesuffix("s") for group in undefined}
        if not kinds and name in ELSEWHERE:
            return f"; {name!r} is {ELSEWHERE[name]}"
        if kinds:
            said = (f"; {name!r} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in sorted(kinds))
            return "".join(said) + _PLACES.get((self.kind, *kinds), "")
        return did_you_mean(name, self.names(), "`decodekit plugins`")

    def _warn_of_ignored(self, name: str, distributions: list[str]) -> None:
        for dist in distributions:
            if (self.name, name, dist) not in _warned:
                _warned.add((self.name, name, dist))
                get_logger().warning(
                    "plugin ignored", plugin=name, group=self.name, of=dist, used=OURS, reached_as=f"{dist}:{name}"
                )


ELSEWHERE: dict[str, str] = {
    "preset": "another engine's chain: Chain.preset('vllm'), preset = 'vllm' below [chain], or --preset"
}
"""What a name is that is given in a chain and is no plugin; the options of calls are added where they are defined."""

GROUPS: dict[str, Group] = {}
"""The groups that were defined, by name."""


def _can_be_called(made: type) -> bool:
    """Whether the objects of a class can be called."""
    return any("__call__" in vars(base) for base in made.__mro__)


def _plain(distribution: str) -> str:
    """The name of a distribution as installers compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _place(function: Any) -> tuple[str, str]:
    """Where a function is defined. A notebook cell that runs again makes a new function with the same place."""
    return function.__module__, function.__qualname__
