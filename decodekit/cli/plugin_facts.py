"""The description of a plugin, collected once for the command, the reference page and `decodekit chain`."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from decodekit.cli.parameter_facts import parameters_of
from decodekit.cli.picture import effect
from decodekit.cli.plugin_doc import PluginDoc, read_doc, read_example
from decodekit.errors import ConfigError, DecodekitError, PluginError
from decodekit.plugin import FunctionPlugin, registry
from decodekit.plugin.traits import Traits

__all__ = ["Absent", "Facts", "doc_of", "facts", "facts_or_absent", "needs_of", "on_a_head", "traits_of"]


@dataclass(frozen=True, slots=True)
class Facts:
    """One plugin.

    Args:
        info: its name and where it comes from; loaded.
        documentation: its whole docstring.
        doc: the same in its parts.
        parameters: by name: type, bounds, whether it is required, the default where it is not, the meaning if
            described.
        needs: what it asks an adapter for at first; '' where no example could be built.
        on_a_head: what it does on a partial distribution, from its docstring; '' if not stated.
        traits: the traits it declares.
        effect: each sample token's probability before and after; None where that cannot be shown.
        no_effect: why not; '' where it can be shown, or where there is nothing to build.
    """

    info: registry.PluginInfo
    documentation: str
    doc: PluginDoc
    parameters: dict[str, dict[str, Any]]
    needs: str
    on_a_head: str
    traits: tuple[str, ...]
    effect: list[tuple[float, float]] | None
    no_effect: str

    def as_data(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "name": self.info.name,
            "group": self.info.group,
            "distribution": self.info.distribution,
            "version": self.info.version,
            "documentation": self.documentation,
            "summary": self.doc.summary,
            **{label.lower(): words for label, words in self.doc.notes.items()},
            "needs": self.needs,
            "on_a_head": self.on_a_head,
            "traits": list(self.traits),
            "parameters": self.parameters,
        }


@dataclass(frozen=True, slots=True)
class Absent:
    """A plugin that is registered but cannot be imported, for example because an extra is not installed.

    Args:
        info: its name and where it comes from.
        reason: why not.
    """

    info: registry.PluginInfo
    reason: str


def facts_or_absent(info: registry.PluginInfo) -> Facts | Absent:
    """The facts, or why there are none: for pages that list every plugin."""
    try:
        return facts(info)
    except ConfigError as error:
        return Absent(info, str(error))


def facts(info: registry.PluginInfo) -> Facts:
    """Load a plugin and describe it.

    Raises:
        ConfigError: it cannot be imported, or its parameters have no schema.
    """
    target, loaded = registry.load(info.group, registry.spelled(info.group, info.name, info.distribution))
    doc = read_doc(target.__doc__)
    part, shares, no_effect = None, None, ""
    if info.group in ("processors", "samplers"):
        try:
            part = _built(loaded, doc)
            shares = None if part is None else effect(part, info.group)
        except DecodekitError as error:
            no_effect = str(error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error)
    subject = target if part is None else part
    return Facts(
        info=loaded,
        documentation=inspect.cleandoc(target.__doc__ or ""),
        doc=doc,
        parameters=parameters_of(target, info.name),
        needs="" if part is None or info.group != "processors" else needs_of(part),
        on_a_head=on_a_head(subject),
        traits=traits_of(subject),
        effect=shares,
        no_effect=no_effect,
    )


def doc_of(part: Any) -> PluginDoc:
    """The parsed docstring of a built plugin."""
    target = part.function if isinstance(part, FunctionPlugin) else part
    return read_doc(getattr(target if hasattr(target, "__qualname__") else type(target), "__doc__", None))


def needs_of(part: Any) -> str:
    """What a built processor asks an adapter for at first, in words."""
    needs = Traits.of(part).needs
    if not callable(needs):
        return str(needs)
    return read_doc(needs.__doc__).summary or "It depends on the tokens so far."


def on_a_head(part: Any) -> str:
    """What a processor does on a partial distribution: the first line of its ``__call__``."""
    if isinstance(part, FunctionPlugin) or inspect.isroutine(part):
        return ""
    classes = (part if isinstance(part, type) else type(part)).__mro__
    call = next((vars(kind)["__call__"] for kind in classes if "__call__" in vars(kind)), None)
    return read_doc(getattr(call, "__doc__", None)).summary


def traits_of(part: Any) -> tuple[str, ...]:
    """The traits that a processor or sampler declares; of a class, those that hold for all its instances."""
    traits = Traits.of(part)
    claims = {
        "argmax-invariant: the most likely token stays the most likely": traits.argmax_invariant,
        "needs logits: refuses an adapter that gives logprobs": traits.needs_logits,
        "stateful: its state depends on the chosen tokens": traits.stateful,
        "may give probability to tokens that had none": traits.revives,
        "impure: runs only once in a step, and asks for the whole vocabulary": not traits.pure,
    }
    return tuple(words for words, holds in claims.items() if holds is True)


def _built(info: registry.PluginInfo, doc: PluginDoc) -> Any | None:
    """The plugin with the parameters of its ``Example:`` line, or with its defaults; None where it has neither."""
    example = doc.notes.get("Example")
    build = registry.processor if info.group == "processors" else registry.sampler
    try:
        return build(
            registry.spelled(info.group, info.name, info.distribution),
            **({} if example is None else read_example(example)),
        )
    except ConfigError:
        if example is not None:
            raise
        return None
