"""The presets in reverse: the parameters with which another engine has the law of a chain.

A preset says which chain an engine's parameters mean. Here parameters are made from the names of a chain's parts, and
the preset says what they mean: that must be the chain again, up to parts that change nothing and parts whose order does
not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from decodekit.chain.chain import Chain
from decodekit.draw.samplers import greedy
from decodekit.errors import ParameterError
from decodekit.plugin import registry
from decodekit.plugin.installed import OURS
from decodekit.plugin.presets import names_of, recipe_of

__all__ = ["Translated", "in_terms_of"]

_CHANGES_NOTHING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logit_bias": {},
}
_ADDITIONS = {"logit_bias", "frequency_penalty", "presence_penalty"}  # each adds to the scores what the ids so far say
_COMMUTING = ({"temperature", "top_k"}, {"top_k", "min_p"})  # both keep the order, or compare with the largest score
_TIES = ("ties", "boundary")  # these decide between equal scores, and where a sum meets its bound exactly


class Translated(NamedTuple):
    """A chain in the terms of an engine.

    Args:
        parameters: by the preset's own names, those in ``off`` included.
        notes: how the engine's law may differ: only between equal scores.
    """

    parameters: dict[str, Any]
    notes: tuple[str, ...]


class _Placed(NamedTuple):
    name: str
    parameters: Mapping[str, Any]


def in_terms_of(
    preset: str,
    chain: Chain,
    *,
    off: Mapping[str, Any],
    window: str = "",
    order: Mapping[str, str] | None = None,
    called: str = "",
) -> Translated:
    """The parameters of an engine that give the law of a chain. The sampler plays no part.

    Args:
        preset: the engine.
        chain: the chain.
        off: the engine's parameters with which it changes nothing, where its defaults, or its operator's, do.
        window: the parameter that takes the ``window`` of penalties; '' for none.
        called: what has these parameters, in messages; the engine by default.
        order: of an engine whose parameter ``samplers`` orders its stages: the stage of each part; None for others.

    Raises:
        ParameterError: it has none; the message names the part of the chain and the reason.
        UnknownPlugin: the preset, or a plugin that it needs, is not installed.
    """
    wanted, called = _effective(chain), called or preset
    names, parameters = names_of(preset), dict(off)
    for part in wanted:
        if part.name not in names:
            has = ", ".join(sorted({name for name in names if name in _CHANGES_NOTHING or name == "top_k"}))
            raise _refused(part.name, f"{called} has no such parameter; it has {has}")
        if [each.name for each in wanted].count(part.name) > 1:
            raise _refused(part.name, f"it is in the chain twice, and {called} has it once")
        parameters[names[part.name]] = part.parameters.get(part.name)
        if window and part.parameters.get("window") is not None:
            parameters[window] = part.parameters["window"]
    if order is not None:
        parameters["samplers"] = list(dict.fromkeys(order[part.name] for part in wanted if part.name in order))
    recipe = recipe_of(preset, None, parameters)
    theirs = Chain.from_parts(recipe.parts, recipe.sampler)
    meant = _effective(theirs)
    if theirs.sampler is greedy and not any(part.parameters.get("temperature") == 0 for part in meant):
        meant.append(_Placed("temperature", {"temperature": 0.0}))
    notes = _compared(called, wanted, meant)
    _require_order(called, wanted, [part.name for part in meant])
    return Translated(parameters, notes)


def _effective(chain: Chain) -> list[_Placed]:
    """The parts that decide the law. At temperature 0 that is nothing that keeps the largest score the largest."""
    parts: list[_Placed] = []
    argmax_only: list[_Placed] = []
    for link, processor in zip(chain.links, chain.processors, strict=False):
        described = registry.describe(processor)
        own = described["distribution"] in ("", OURS)  # a stranger's top_p is another law
        name = described["name"] if own else f"{described['distribution']}:{described['name']}"
        part = _Placed(name, described["params"])
        if part.name in _CHANGES_NOTHING and part.parameters.get(part.name) == _CHANGES_NOTHING[part.name]:
            continue
        parts.append(part)
        if not link.traits.argmax_invariant:
            argmax_only.append(part)
        if part.name == "temperature" and part.parameters["temperature"] == 0:
            return [*argmax_only, part]
    return parts


def _compared(preset: str, wanted: Sequence[_Placed], meant: Sequence[_Placed]) -> tuple[str, ...]:
    """The notes. Raises `ParameterError` where a part is not the engine's."""
    notes = []
    by_name = {part.name: part for part in meant}
    for part in wanted:
        theirs = by_name.pop(part.name, None)
        if theirs is None:
            raise _refused(part.name, f"with these parameters {preset} does not apply it")
        if part.name == "temperature" and part.parameters["temperature"] == theirs.parameters["temperature"] == 0:
            continue
        for key in sorted(set(part.parameters) | set(theirs.parameters)):
            ours, other = part.parameters.get(key), theirs.parameters.get(key)
            if ours == other:
                continue
            if key not in _TIES:
                raise _refused(part.name, f"here {key} is {ours!r}, and {preset} has {other!r}")
            notes.append(f"{part.name}: where scores are equal, {preset} decides by {key}={other!r}, not {ours!r}")
    if by_name:
        name = next(iter(by_name))
        raise ParameterError(f"sampler 'provider': {preset} would apply {name!r} too, which is not in the chain")
    return tuple(notes)


def _require_order(preset: str, wanted: Sequence[_Placed], theirs: Sequence[str]) -> None:
    """Raises `ParameterError` for two parts in another order than the engine's, if their order matters."""
    for first, second in combinations([part.name for part in wanted], 2):
        pair = {first, second}
        if theirs.index(first) < theirs.index(second) or pair <= _ADDITIONS or pair in _COMMUTING:
            continue
        raise _refused(first, f"it comes before {second} in this chain, and {preset} applies {second} first")


def _refused(name: str, why: str) -> ParameterError:
    return ParameterError(
        f"sampler 'provider': the provider cannot apply {name!r} of this chain: {why}. Change the chain, or use a "
        "server that continues a prefix, where decodekit draws"
    )
