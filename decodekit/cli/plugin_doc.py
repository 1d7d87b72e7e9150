"""The parsed docstring of a plugin: what it does in a sentence, and the lines that begin with a label.

A docstring may hold, in any order and each at the start of a line or of a sentence::

    Formula: what it computes, in one line; s_i is a score, p_i a probability
    Edges: what happens at the ends of the parameters' ranges
    Source: the paper, or the engine whose behaviour is matched
    Engines: which engines have it, and how theirs differ
    Example: the parameters of an example as a config writes them, such as top_p = 0.9, min_keep = 2

Every label is optional; a docstring without labels is plain text.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from decodekit.errors import ConfigError

__all__ = ["LABELS", "PluginDoc", "read_doc", "read_example"]

LABELS = ("Formula", "Edges", "Source", "Engines", "Example")

_LABEL = re.compile(rf"(?:^|(?<=[.;)] ))({'|'.join(LABELS)}):\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PluginDoc:
    """A docstring in its parts.

    Args:
        summary: its first line, or its first paragraph where the first sentence is longer than a line.
        text: all of it except the labelled parts, with its line breaks.
        notes: the labelled parts by label, each on one line.
    """

    summary: str = ""
    text: str = ""
    notes: dict[str, str] = field(default_factory=dict)


def read_doc(docstring: str | None) -> PluginDoc:
    """Parse a docstring; None and '' have no parts."""
    kept: list[str] = []
    notes: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring or "")):
        text, *labelled = _LABEL.split(paragraph)
        for label, words in zip(labelled[::2], labelled[1::2], strict=True):
            notes[label] = " ".join(f"{notes.get(label, '')} {words}".split())
        if text.strip():
            kept.append(text.rstrip())
    first_line = kept[0].partition("\n")[0].strip() if kept else ""
    summary = first_line if first_line.endswith(".") else " ".join(kept[0].split()) if kept else ""
    return PluginDoc(summary, "\n\n".join(kept), notes)


def read_example(text: str) -> dict[str, Any]:
    """The parameters of an ``Example:`` line, as a config would hold them.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        return dict(tomllib.loads(f"parameters = {{{text}}}")["parameters"])
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the example {text!r} is not valid between the braces of a TOML table") from error
