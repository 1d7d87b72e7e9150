"""``decodekit chain``: a chain in words, and what its author may not have meant."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from decodekit import registry
from decodekit.advice import Advice, advice
from decodekit.chain import Chain
from decodekit.cli.chain_text import parse_chain, parse_sampler, write_part
from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, put_json
from decodekit.cli.plugin_facts import doc_of, needs_of, on_a_head, traits_of
from decodekit.cli.safe_text import safe_text
from decodekit.config import load_config
from decodekit.errors import ConfigError

__all__ = ["chain"]


def chain(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A decodekit.toml.")] = None,
    text: Annotated[str | None, typer.Option("--chain", help="Processors in order, in place of the config's.")] = None,
    sampler: Annotated[str | None, typer.Option("--sampler", help="The sampler, in place of the config's.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a chain processor by processor, what it means, and known traps. Loads no model; advice is no error."""
    built = _built(config, text, sampler)
    parts = [_described(part, "processor") for part in built.processors] + [_described(built.sampler, "sampler")]
    found = advice(built)
    if as_json:
        told = [{**_plain(item), "places": list(item.places)} for item in found]
        put_json({"processors": parts[:-1], "sampler": parts[-1], "advice": told})
    else:
        _show(parts, found)


def _built(config: Path | None, text: str | None, sampler: str | None) -> Chain:
    if config is None and text is None and sampler is None:
        raise ConfigError("which chain? Name a config, or write one with --chain")
    file = {} if config is None else load_config(config).as_data()
    parts = file.get("chain", []) if text is None else parse_chain(text)
    drawn = file.get("sampler", {"name": "multinomial"}) if sampler is None else parse_sampler(sampler)
    return Chain([registry.processor(**part) for part in parts], registry.sampler(**drawn))


def _described(part: Any, kind: str) -> dict[str, Any]:
    told = registry.describe(part)
    return {
        "name": told["name"],
        "parameters": told["params"],
        "distribution": told["distribution"],
        "version": told["version"],
        "meaning": doc_of(part).summary,
        "needs": needs_of(part) if kind == "processor" else "",
        "on_a_head": on_a_head(part),
        "traits": list(traits_of(part)),
    }


def _plain(item: Advice) -> dict[str, Any]:
    return {key: getattr(item, key) for key in item.__slots__}


def _show(parts: list[dict[str, Any]], found: list[Advice]) -> None:
    out = console()
    for place, part in enumerate(parts, start=1):
        heading = "draw" if place == len(parts) else str(place)
        written = write_part(part["name"], part["parameters"])
        out.print(Text.assemble((f"{heading:<6}", "dim"), (safe_text(written), "bold")), soft_wrap=True)
        told = {"asks for": part["needs"], "on a head": part["on_a_head"]}
        lines = [part["meaning"], *(f"{label}: {words}" for label, words in told.items() if words), *part["traits"]]
        for at, line in enumerate(lines):
            if line:
                out.print(Text(_filled(line, out.width, "      "), style="dim" if at else ""))
    for item in found:
        source = f" ({item.source})" if item.source else ""
        out.print()
        out.print(Text(_filled(f"advice: {item.message}{source}", out.width, "  ")[2:], style="yellow"))


def _filled(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        safe_text(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
