"""Presets: the chain of another engine, from that engine's own parameter names.

A preset is a `Plugin` whose fields are the engine's parameters with the engine's defaults. It returns a `Recipe`:
registered processors and a sampler by name, in the engine's order. Presets are found as all plugins are, by the entry
points of ``decodekit.presets``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import ValidationError

from decodekit.errors import ConfigError, ParameterError, did_you_mean
from decodekit.log import get_logger
from decodekit.plugin import registry
from decodekit.plugin.parameters import Plugin, validated

__all__ = ["Part", "Preset", "Recipe", "names_of", "ported", "read_recipe", "recipe_of"]

Part = dict[str, Any]
"""A processor or sampler as a config writes it: ``name``, and its parameters."""

_PRESETS = registry.define_group("presets", "preset")

_ELSEWHERE = {
    **dict.fromkeys(
        ("max_tokens", "max_new_tokens", "n_predict", "num_predict"),
        "the length limit is generate(max_tokens=...)",
    ),
    **dict.fromkeys(("stop", "stop_strings", "stop_sequence", "stopping_strings"), "stops are generate(stop=...)"),
    **dict.fromkeys(("n", "num_return_sequences"), "several samples are generate_many(n=...)"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A chain as data.

    Args:
        parts: the processors in order.
        sampler: the sampler.
        notes: which of the given settings the engine ignores, or treats in a way that a chain cannot express.
    """

    parts: tuple[Part, ...]
    sampler: Part
    notes: tuple[str, ...] = ()


class Preset(Plugin):
    """An engine's sampling parameters: their names, defaults and bounds, and the chain they mean.

    Class variables:
        versions: the engine's versions with this behaviour; the last one is the default.
        aliases: other spellings of a field, used by the engine or its users.
        implied: fields that may repeat what other fields imply, so they are not noted as without effect.
    """

    versions: ClassVar[tuple[str, ...]]
    aliases: ClassVar[Mapping[str, str]] = {}
    implied: ClassVar[frozenset[str]] = frozenset()

    def recipe(self, version: str) -> Recipe:
        """The chain of these settings, in a version that `versions` lists."""
        raise NotImplementedError

    @classmethod
    def ported(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of another chain's settings, by the plugins' own names, that this engine has too."""
        return {name: value for name, value in settings.items() if name in cls.model_fields or name in cls.aliases}

    def given(self, *names: str) -> tuple[str, ...]:
        """Those of the fields that were set to a value other than the engine's default."""
        return tuple(
            name
            for name in names
            if name in self.model_fields_set and getattr(self, name) != type(self).model_fields[name].default
        )


def read_recipe(name: str, version: str | None = None, parameters: Mapping[str, Any] | None = None) -> Recipe:
    """The chain that an engine builds from these parameters. What it ignores is noted and logged as a warning.

    Args:
        name: the preset.
        version: the engine's version; by default the last one that the preset lists.
        parameters: in the engine's own names or their aliases; a dash counts as an underscore, None as not given.

    Raises:
        UnknownPlugin: no preset has this name.
        ParameterError: a parameter or version the engine does not have, one given twice, a value out of bounds.
    """
    recipe = recipe_of(name, version, parameters)
    for note in recipe.notes:
        get_logger().warning("preset_note", preset=name, note=note)
    return recipe


def recipe_of(name: str, version: str | None = None, parameters: Mapping[str, Any] | None = None) -> Recipe:
    """As `read_recipe`, and nothing is logged."""
    model, _ = _load(name)
    owner = f"preset {name!r}"
    settings = validated(model, _translated(name, model, parameters or {}), owner)
    assert isinstance(settings, Preset)
    if version is not None and version not in model.versions:
        raise ParameterError(f"{owner}: no version {version!r} is known, only {' and '.join(model.versions)}")
    return _with_idle(settings, version or model.versions[-1])


def names_of(name: str) -> dict[str, str]:
    """Every spelling of a preset's parameters, with the field it stands for."""
    model, _ = _load(name)
    return {**dict(model.aliases), **{field: field for field in model.model_fields}}


def ported(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """`Preset.ported` of the preset of this name."""
    return _load(name)[0].ported(settings)


def _with_idle(settings: Preset, version: str) -> Recipe:
    """The chain of the settings; each setting that has no effect, and that no note names, gets a note."""
    recipe = settings.recipe(version)
    given = {
        field: getattr(settings, field) for field in type(settings).model_fields if field in settings.model_fields_set
    }
    idle = []
    for field in settings.given(*given):
        if field in settings.implied or any(re.search(rf"\b{field}\b", note) for note in recipe.notes):
            continue
        try:
            without = type(settings)(**{other: value for other, value in given.items() if other != field}).recipe(
                version
            )
        except (ParameterError, ValidationError):
            continue  # the other settings are not valid without it
        if (without.parts, without.sampler) == (recipe.parts, recipe.sampler):
            idle.append(field)
    notes = [f"{field}: it changes nothing with these settings" for field in idle]
    return replace(recipe, notes=(*recipe.notes, *notes))


def _load(name: str) -> tuple[type[Preset], registry.PluginInfo]:
    model, info = _PRESETS.load(name)
    if not (isinstance(model, type) and issubclass(model, Preset)):
        raise ConfigError(f"preset {name!r} of {info.distribution} is not a decodekit.plugin.presets.Preset")
    return model, info


def _translated(name: str, model: type[Preset], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters by field."""
    spelt: dict[str, str] = {}
    translated: dict[str, Any] = {}
    for key, value in parameters.items():
        plain = key.replace("-", "_")
        field = plain if plain in model.model_fields else model.aliases.get(plain, "")
        if not field:
            raise ParameterError(_refusal(name, key, plain))
        if field in spelt:
            raise ParameterError(f"preset {name!r}: {spelt[field]!r} and {key!r} are one parameter; give it once")
        spelt[field] = key
        if value is not None:
            translated[field] = value
    return translated


def _refusal(name: str, key: str, plain: str) -> str:
    if plain in _ELSEWHERE:
        return f"preset {name!r}: {key!r} is not part of a chain; {_ELSEWHERE[plain]}"
    others = [other for other in _PRESETS.names() if other != name and plain in names_of(other)]
    if others:
        have = "has" if len(others) == 1 else "have"
        return f"preset {name!r}: {name} has no {key!r}; {', '.join(others)} {have} it"
    return f"preset {name!r}: unknown parameter {key!r}{did_you_mean(plain, names_of(name))}"
