"""The reference page of plugins in Markdown: docs/plugins.md is what `decodekit plugins --markdown` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from decodekit.cli.picture import CAPTION, draw_picture
from decodekit.cli.plugin_facts import Absent, Facts

__all__ = ["reference_page"]

_HEAD = f"""# Processors and samplers

Printed by `decodekit plugins --markdown` from the plugins' own docstrings and parameters; edit those, then run
`make docs/plugins.md`.

In formulas `s_i` is the score of token i, a natural logarithm with any offset; `p_i` its probability, `p_max` the
largest probability, `c_i` how often the token occurred. A *head* is what a remote API shows of a distribution; what it
hides is the tail. Pictures, and what is needed of an adapter, belong to the example. In a picture {CAPTION}; a plugin
that acts only on the first token of an output is shown at that token.
"""

_HEADINGS = {"Args": "Parameters"}  # a reader of the page does not call the class


def reference_page(plugins: Sequence[Facts | Absent]) -> str:
    """The page: processors first, then samplers, each group by name."""
    lines = [_HEAD]
    for group, title in (("processors", "Processors"), ("samplers", "Samplers")):
        listed = [plugin for plugin in plugins if plugin.info.group == group]
        if listed:
            lines.append(f"## {title}\n")
        for plugin in listed:
            lines.extend(_section(plugin))
    return "\n".join(lines).rstrip() + "\n"


def _section(plugin: Facts | Absent) -> Iterator[str]:
    yield f"### {plugin.info.name}\n"
    if isinstance(plugin, Absent):
        yield f"Not described here: {' '.join(plugin.reason.split())}.\n"
        return
    yield from _prose(plugin.doc.text)
    yield from _notes(plugin)
    yield from _parameters(plugin)
    if plugin.effect is not None:
        if "Example" in plugin.doc.notes:
            yield f"With `{plugin.doc.notes['Example']}`:\n"
        yield "```text"
        yield from draw_picture(plugin.effect, plugin.info.group)
        yield "```\n"


def _notes(plugin: Facts) -> Iterator[str]:
    notes = plugin.doc.notes
    if "Formula" in notes:
        yield f"* **Formula**: `{notes['Formula']}`"
    for label, words in (
        ("Edge cases", notes.get("Edges", "")),
        ("Needs", plugin.needs),
        ("On a head", plugin.on_a_head),
        ("Declares", "; ".join(plugin.traits)),
        ("Engines", notes.get("Engines", "")),
        ("Source", notes.get("Source", "")),
    ):
        if words:
            yield f"* **{label}**: {words.replace('``', '`')}"
    yield ""


def _parameters(plugin: Facts) -> Iterator[str]:
    rules = plugin.parameters
    if rules:
        headings = ["parameter", "type", "bounds", "default"]
        rows = [[f"`{name}`", rule["type"], rule["bounds"], _default(rule)] for name, rule in rules.items()]
        if any("meaning" in rule for rule in rules.values()):
            headings.append("meaning")
            rows = [[*row, rule.get("meaning", "")] for row, rule in zip(rows, rules.values(), strict=True)]
        yield from _table(headings, rows)


def _default(rule: Mapping[str, Any]) -> str:
    return "required" if rule["required"] else f"`{rule['default']!r}`"


def _prose(text: str) -> Iterator[str]:
    """The paragraphs; a section such as ``Raises:`` becomes a list in the list that follows."""
    for paragraph in text.split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if first.endswith(":") and rest[:1].isspace():
            heading = first.rstrip(":")
            yield f"* **{_HEADINGS.get(heading, heading)}**:"
            yield from _entries(rest)
        else:
            yield " ".join(paragraph.split()).replace("``", "`") + "\n"


def _entries(text: str) -> Iterator[str]:
    """The entries of a section, each on one line: an entry begins at the smallest indent."""
    least = min(len(line) - len(line.lstrip()) for line in text.splitlines())
    entry = ""
    for line in text.splitlines():
        if entry and len(line) - len(line.lstrip()) == least:
            yield entry
            entry = ""
        entry = f"{entry} {line.strip()}" if entry else f"  * {line.strip()}"
    yield entry.replace("``", "`")


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (headings, ["---"] * len(headings), *rows):
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"
    yield ""
