"""``decodekit score``: how likely given texts are, token by token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.built import built_adapter
from decodekit.cli.options import PlotFlag
from decodekit.cli.output import say
from decodekit.cli.text_lines import argument_text, read_text, text_lines
from decodekit.errors import ConfigError
from decodekit.text.tokenizer import Tokenizer

__all__ = ["score"]

TextArgument = Annotated[str | None, typer.Argument(metavar="TEXT", help="The text; '-' reads it from stdin.")]
FileFlag = Annotated[
    Path | None, typer.Option("--file", exists=True, dir_okay=False, readable=True, help="A file that is the text.")
]
TextsFlag = Annotated[
    Path | None,
    typer.Option("--texts", metavar="FILE", help="Many: on each line a JSON text, or {text, given, id}."),
]
GivenFlag = Annotated[
    str | None, typer.Option("--given", metavar="TEXT", help="What comes before the text; it is not scored.")
]


@with_adapter_flags
def score(
    chosen: AdapterChoice,
    text: TextArgument = None,
    file: FileFlag = None,
    texts: TextsFlag = None,
    given: GivenFlag = None,
    plot: PlotFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each text, on a line of stdout.")] = False,
) -> None:
    """Show how likely each token of a text is: its probability, rank and surprisal, and the entropy before it.

    One pass through the model, and nothing is drawn. Surprisal minus entropy is 0 on average for a text that was drawn
    from the model itself. Where a server shows a part of each distribution, values are intervals.
    """
    if sum(each is not None for each in (text, file, texts)) != 1:
        raise ConfigError("which text? Give one of TEXT, --file FILE and --texts FILE")
    if plot is not None:
        from decodekit.analysis.plots import check_plot

        if texts is not None:
            raise ConfigError("--plot is for one text; --texts has many")
        check_plot(plot)
    from decodekit.analysis import score_pairs
    from decodekit.cli.scores import put_many, put_one

    one = read_text(file, "--file") if file is not None else None if text is None else argument_text(text, "text")
    labels: list[str | int] = []

    def pairs() -> Iterator[tuple[Any, Any]]:
        if one is not None:
            yield given, one
        elif texts is not None:
            for at, line in enumerate(text_lines(texts, "--texts")):
                labels.append(at if line.label is None else line.label)
                yield given if line.given is None else line.given, line.text

    with built_adapter(chosen) as model:
        found = score_pairs(model, _told(model.tokenizer, pairs()))
        if texts is not None:
            put_many(found, labels, as_json=as_json)
        else:
            put_one(next(found), model.tokenizer, as_json=as_json, plot=plot)


def _told(tokenizer: Tokenizer | None, pairs: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The pairs; before the first whose first token is not scored, a notice says so."""
    to_tell = tokenizer is not None and tokenizer.bos_id is None
    for given, text in pairs:
        if to_tell and given is None:
            say("this model has no begin-of-text token: the first token of a text with nothing before it is not scored")
            to_tell = False
        yield given, text
