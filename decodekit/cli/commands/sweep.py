"""``decodekit sweep``: what changes along a grid of temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from decodekit.chain import Chain
from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.grid import grid_of
from decodekit.cli.options import JsonFlag, PlotFlag
from decodekit.cli.text_lines import text_lines
from decodekit.errors import ConfigError

__all__ = ["sweep"]

PromptFlag = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="What the answers follow.")]
TemperaturesFlag = Annotated[
    str, typer.Option("--temperatures", metavar="GRID", help="FIRST:LAST:STEP, or numbers between commas.")
]
AnswerFlag = Annotated[list[str] | None, typer.Option("--answer", metavar="TEXT", help="An answer. Repeatable.")]
AnswersFlag = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Answers, on each line a text as JSON.")
]
NearFlag = Annotated[
    int, typer.Option("--near", metavar="K", help="Bound the mass of near misses, by K alternatives at each place.")
]
ChainFlag = Annotated[
    str | None, typer.Option("--chain", help="Processors after the temperature: 'top_k=40 top_p=0.95'.")
]
EndFlag = Annotated[int | None, typer.Option("--end-id", metavar="ID", help="A token id that ends each answer.")]


@with_adapter_flags
def sweep(
    chosen: AdapterChoice,
    prompt: PromptFlag = None,
    answer: AnswerFlag = None,
    answers: AnswersFlag = None,
    temperatures: TemperaturesFlag = "0:2:0.1",
    chain: ChainFlag = None,
    near: NearFlag = 0,
    end_id: EndFlag = None,
    chat: Annotated[bool, typer.Option("--chat", help="Apply the model's chat template to the prompt.")] = False,
    plot: PlotFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Compute how probable given answers are at each temperature, exactly and without sampling.

    One forced pass through the model gives the scores along the answers, and all temperatures are applied to these.
    Where a server shows a part of each distribution, the probabilities are intervals.
    """
    grid = grid_of(temperatures, "--temperatures")
    listed = [*(answer or ()), *_read(answers)]
    if not listed:
        raise ConfigError("which answers? Give each with --answer TEXT, or a file of them with --answers")
    if prompt is None:
        raise ConfigError("what do the answers follow? Give it with --prompt TEXT")
    if near < 0:
        raise ConfigError(f"--near is a number of alternatives, 0 or more, not {near}")
    after = None if chain is None else Chain.of(chain)
    if plot is not None:
        from decodekit.analysis.plots import check_plot

        check_plot(plot)
    from decodekit.analysis import curves
    from decodekit.cli.answer_sweep import put_curves
    from decodekit.cli.built import built_adapter

    with built_adapter(chosen) as model:
        asked = [{"role": "user", "content": prompt}] if chat else prompt
        found = curves(model, asked, listed, grid, chain=after, end=end_id, near=near)
        names = [each if isinstance(each, str) else str(each) for each in listed]
        put_curves(found, names, as_json=as_json, plot=plot)


def _read(path: Path | None) -> list[str | list[int]]:
    return [] if path is None else [line.text for line in text_lines(path, "--answers", ("text",))]
