"""``decodekit chain``: a chain in words, and likely mistakes in it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from decodekit.chain import Chain
from decodekit.chain.advice import Advice, advice
from decodekit.cli.against import Comparison, compare, counterpart, read_row
from decodekit.cli.chain_writing import written
from decodekit.cli.files import given_config
from decodekit.cli.options import JsonFlag, PresetFlag, ProfileFlag, preset_recipe
from decodekit.cli.output import console, put_json, show_table, table
from decodekit.cli.plugin_facts import doc_of, needs_of, on_a_head, traits_of
from decodekit.config import Config
from decodekit.errors import ConfigError
from decodekit.plugin import registry
from decodekit.plugin.one_line import parse_sampler, read_chain
from decodekit.text.safe_text import safe_text
from decodekit.trace.stages import share_text

__all__ = ["chain"]

_MOST_SHOWN = 8


def chain(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="A decodekit.toml, or '-' for stdin.")
    ] = None,
    text: Annotated[str | None, typer.Option("--chain", help="Processors in order, in place of the config's.")] = None,
    preset: PresetFlag = None,
    sampler: Annotated[str | None, typer.Option("--sampler", help="The sampler, in place of the config's.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="PRESET",
            help="Compare it with this engine's chain, with the settings of the same names.",
        ),
    ] = None,
    logits: Annotated[
        Path | None,
        typer.Option("--logits", metavar="FILE.npy", help="The row for --against; by default a sample of nine tokens."),
    ] = None,
    profile: ProfileFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a chain processor by processor, its meaning, and known mistakes. Loads no model; advice is not an error."""
    if logits is not None and against is None:
        raise ConfigError("--logits is the row for --against; name a preset there")
    built = _built(given_config(config, profile), text, sampler, preset)
    parts = [_described(part, "processor") for part in built.processors] + [_described(built.sampler, "sampler")]
    found = advice(built)
    comparison = None if against is None else _compared_with(built, against, logits)
    if as_json:
        entries = [{**_plain(item), "places": list(item.places)} for item in found]
        data = {"processors": parts[:-1], "sampler": parts[-1], "advice": entries, "notes": list(built.notes)}
        put_json(data if comparison is None else {**data, "against": comparison.data()})
        return
    _show(parts, found, built.notes)
    if comparison is not None:
        comparison.show()


def _built(config: Config | None, text: str | None, sampler: str | None, preset: str | None) -> Chain:
    if config is None and text is None and sampler is None and preset is None:
        raise ConfigError("which chain? Name a config, or write one with --chain or --preset")
    made = Chain() if config is None else config.build_chain()
    if preset is not None:
        recipe = preset_recipe(preset, text)
        made = Chain.from_parts(recipe.parts, recipe.sampler, recipe.notes)
    elif text is not None:
        parts, named = read_chain(text, "--chain")
        made = Chain(Chain.from_parts(parts).processors, made.sampler if named is None else registry.sampler(**named))
    if sampler is not None:
        notes, made = made.notes, Chain(made.processors, registry.sampler(**parse_sampler(sampler)))
        made.notes = notes
    return made


@dataclass(frozen=True)
class _Against:
    """A comparison with what is needed to print it."""

    preset: str
    comparison: Comparison
    identical: bool
    left: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        sides = [[_plain(reached) for reached in side] for side in self.comparison.stages]
        return {
            "preset": self.preset,
            "same": self.comparison.same,
            "same_chain": self.identical,
            "total_variation": self.comparison.distance,
            "stages": {"yours": sides[0], "theirs": sides[1]},
            "disagreements": [
                {**_plain(disagreement), "kept_by": ("yours", "theirs")[disagreement.kept_by]}
                for disagreement in self.comparison.disagreements
            ],
            "not_carried_over": list(self.left),
            "notes": list(self.notes),
        }

    def show(self) -> None:
        out = console()
        out.print()
        for side, name in zip(self.comparison.stages, ("yours", self.preset), strict=True):
            listing = table(name, "tokens left", right=("tokens left",))
            for place, reached in enumerate(side, start=1):
                listing.add_row(Text(f"{place}  {safe_text(reached.stage)}"), str(reached.support))
            show_table(out, listing)
            out.print()
        for line in self._verdict():
            out.print(Text(_filled(line, out.width, "  ")[2:]))

    def _verdict(self) -> Iterator[str]:
        shown = self.comparison.disagreements[:_MOST_SHOWN]
        if self.identical:
            yield "the same chain"
        elif self.comparison.same:
            yield "the same distribution here"
        elif not shown:
            yield f"the same tokens with other probabilities: total variation {self.comparison.distance:.4g}"
        for disagreement in shown:
            keeper, remover = ("you", self.preset) if disagreement.kept_by == 0 else (self.preset, "you")
            stage = self.comparison.stages[1 - disagreement.kept_by][disagreement.place].stage
            verbs = ("keep", "removes") if disagreement.kept_by == 0 else ("keeps", "remove")
            yield (
                f"token {disagreement.token_id}: {keeper} {verbs[0]} it ({share_text(disagreement.share)}), "
                f"{remover} {verbs[1]} it at stage {disagreement.place + 1}, {stage}"
            )
        if len(self.comparison.disagreements) > len(shown):
            yield f"and {len(self.comparison.disagreements) - len(shown)} more; --json lists them all"
        if self.left:
            yield f"not used, because {self.preset} has no such name: {', '.join(self.left)}"
        yield from (f"note: {note}" for note in self.notes)


def _compared_with(chain: Chain, against: str, logits: Path | None) -> _Against:
    dist, ctx = read_row(logits)
    name, theirs, left = counterpart(chain, against)
    return _Against(
        name, compare((chain, theirs), dist, ctx), chain.describe() == theirs.describe(), left, theirs.notes
    )


def _described(part: Any, kind: str) -> dict[str, Any]:
    description = registry.describe(part)
    return {
        "name": description["name"],
        "written": written(part),
        "parameters": description["params"],
        "distribution": description["distribution"],
        "version": description["version"],
        "meaning": doc_of(part).summary,
        "needs": needs_of(part) if kind == "processor" else "",
        "on_a_head": on_a_head(part),
        "traits": list(traits_of(part)),
    }


def _plain(item: Any) -> dict[str, Any]:
    return {key: getattr(item, key) for key in item.__slots__}


def _show(parts: list[dict[str, Any]], found: list[Advice], notes: tuple[str, ...]) -> None:
    out = console()
    for place, part in enumerate(parts, start=1):
        heading = "draw" if place == len(parts) else str(place)
        out.print(Text.assemble((f"{heading:<6}", "dim"), (safe_text(part["written"]), "bold")), soft_wrap=True)
        labelled = {"asks for": part["needs"], "on a head": part["on_a_head"]}
        lines = [part["meaning"], *(f"{label}: {words}" for label, words in labelled.items() if words), *part["traits"]]
        for at, line in enumerate(lines):
            if line:
                out.print(Text(_filled(line, out.width, "      "), style="dim" if at else ""))
    for note in notes:
        out.print()
        out.print(Text(_filled(f"note: {note}", out.width, "  ")[2:], style="yellow"))
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
