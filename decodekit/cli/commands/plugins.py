"""``decodekit plugins``: what is installed, and what one plugin does, with its parameters."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, put, put_json, show_table, table
from decodekit.cli.picture import CAPTION, draw_picture
from decodekit.cli.plugin_facts import Facts, facts, facts_or_absent
from decodekit.cli.reference import reference_page
from decodekit.errors import UnknownPlugin, did_you_mean
from decodekit.plugin import registry
from decodekit.text.safe_text import safe_text

__all__ = ["plugins"]


def plugins(
    name: Annotated[str | None, typer.Argument(help="Show this one: what it does, and its parameters.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The reference page of all processors and samplers, or of this one.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the installed plugins without importing them, or show one."""
    found = registry.plugins()
    if name is not None:
        found = [info for info in found if name in (info.name, f"{info.distribution}:{info.name}")]
        if not found:
            known = {info.name for info in registry.plugins()}
            raise UnknownPlugin(f"no plugin is named {name!r}{did_you_mean(name, known, '`decodekit plugins`')}")
    if markdown:
        described = facts_or_absent if name is None else facts
        put(reference_page([described(info) for info in found if info.group in ("processors", "samplers")]))
    elif name is not None:
        all_facts = [facts(info) for info in found]
        if as_json:
            data = [plugin.as_data() for plugin in all_facts]
            put_json(data[0] if len(data) == 1 else data)
        else:
            for plugin in all_facts:
                _show(plugin)
    elif as_json:
        put_json([{key: getattr(info, key) for key in info.__slots__} for info in found])
    else:
        listing = table("name", "group", "distribution", "version", "loaded")
        for info in found:
            cells = (info.name, info.group, info.distribution, info.version, "yes" if info.loaded else "no")
            listing.add_row(*(safe_text(cell) for cell in cells))
        show_table(console(), listing)


def _reflowed(text: str, width: int) -> str:
    """A docstring for a narrower page: paragraphs and entries are wrapped again, later lines of an entry indented."""
    entries: list[tuple[int, str]] = []
    for line in text.splitlines():
        words, indent = line.strip(), len(line) - len(line.lstrip())
        before, label = entries[-1] if entries else (0, "")
        if words and label and not label.endswith(":") and (indent == before == 0 or indent > before):
            entries[-1] = before, f"{label} {words}"
        else:
            entries.append((indent, words))
    return "\n".join(
        textwrap.fill(
            words,
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent and indent + 4),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for indent, words in entries
    )


def _unquoted(text: str) -> str:
    """Code in a docstring is between two backticks; one is enough on a screen."""
    return text.replace("``", "`")


def _show(plugin: Facts) -> None:
    out = console()
    _show_what_it_does(plugin, out)
    sections = {
        **plugin.doc.notes,
        "Needs": plugin.needs,
        "On a head": plugin.on_a_head,
        "Declares": "; ".join(plugin.traits),
    }
    _show_pairs(
        [(Text(label.lower(), style="dim"), _unquoted(words)) for label, words in sections.items() if words], out
    )
    _show_parameters(plugin, out)
    rules = plugin.parameters.items()
    _show_pairs([(Text(safe_text(name)), rule["meaning"]) for name, rule in rules if "meaning" in rule], out)
    _show_picture(plugin, out)


def _show_what_it_does(plugin: Facts, out: Console) -> None:
    info = plugin.info
    origin = f"{info.group[:-1]}, {info.distribution or 'this process'} {info.version}".strip()
    out.print(Text.assemble((safe_text(info.name), "bold"), f"  ({safe_text(origin)})"))
    if plugin.doc.text:
        out.print(Text(safe_text(_reflowed(_unquoted(plugin.doc.text), out.width), newlines=True)))


def _show_pairs(pairs: list[tuple[Text, str]], out: Console) -> None:
    """A table without headings: a name, and its description. Nothing for no pairs."""
    if pairs:
        out.print()
        listing = table("", "")
        listing.show_header = False
        for label, words in pairs:
            listing.add_row(label, Text(safe_text(words)))
        show_table(out, listing)


def _show_parameters(plugin: Facts, out: Console) -> None:
    if plugin.parameters:
        out.print()
        listing = table("parameter", "type", "bounds", "default")
        for name, rule in plugin.parameters.items():
            default = "required" if rule["required"] else repr(rule["default"])
            listing.add_row(*(Text(safe_text(cell)) for cell in (name, rule["type"], rule["bounds"], default)))
        show_table(out, listing)


def _show_picture(plugin: Facts, out: Console) -> None:
    if plugin.effect is not None:
        out.print()
        unicode = out.encoding.startswith("utf")
        out.print(Text("\n".join(draw_picture(plugin.effect, plugin.info.group, unicode=unicode)), no_wrap=True))
        out.print(Text(f"({CAPTION})", style="dim"))
    elif plugin.no_effect:
        out.print()
        out.print(Text(safe_text(f"no picture: {plugin.no_effect}"), style="dim"))
