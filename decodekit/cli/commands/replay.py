"""``decodekit replay``: every token of a trace drawn again, from the record or over a live model."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.as_if import AsIfFlag, ChainFlag, OtherSeedFlag, asked_about
from decodekit.cli.changes import changes_data, show_changes
from decodekit.cli.options import JsonFlag, TraceArgument
from decodekit.cli.output import console, number, put_json, say
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.text.labels import token_label

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer
    from decodekit.trace import ReplayReport, ReplayStep

__all__ = ["replay"]


@with_adapter_flags
def replay(
    trace: TraceArgument,
    chosen: AdapterChoice,
    as_if: AsIfFlag = None,
    chain: ChainFlag = None,
    seed: OtherSeedFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw every token again: from the trace alone, or with a model named by flags or a config.

    Exit 0 when all tokens agree, or differ within what the drift explains; 1 otherwise. With --as-if, --chain or --seed
    it says from the trace alone which tokens would have been others, and exits with 0.
    """
    from decodekit.model.asking import blocking
    from decodekit.trace import read_trace
    from decodekit.trace import replay as replay_trace

    recorded = read_trace(trace)
    asked = asked_about(recorded, as_if, chain)
    if asked is not None or seed is not None:
        with tokenizer_of(chosen, recorded) as tokenizer:
            found = replay_trace(recorded, chain=asked, seed=seed, tokenizer=tokenizer)
            if as_json:
                put_json(changes_data(found))
            else:
                show_changes(console(), found, tokenizer)
        return
    built = chosen.build()
    live = None if built is None else blocking(built)
    try:
        report = replay_trace(recorded) if live is None else replay_trace(recorded, adapter=live)
        for warning in report.warnings:
            say(f"warning: {warning}")
        if as_json:
            put_json(_data(report))
        else:
            _show(report, live.tokenizer if live is not None else None)
    finally:
        if live is not None:
            live.close()
    raise typer.Exit(0 if report.explained else 1)


def _data(report: ReplayReport) -> dict[str, Any]:
    first = report.first_difference
    return {
        "live": report.live,
        "steps": len(report.steps),
        "equal": report.equal,
        "unknown": report.unknown,
        "explained": report.explained,
        "max_drift": number(report.max_drift),
        "median_drift": number(_median(report)),
        "first_difference": None if first is None else {
            "stream": first.stream,
            "step": first.index,
            "token_id": first.token_id,
            "replayed": first.replayed,
            "drift": number(first.drift),
            "margin": number(first.margin),
            "explained": first.explained,
        },
        "warnings": report.warnings,
    }  # fmt: skip


def _show(report: ReplayReport, tokenizer: Tokenizer | None) -> None:
    from rich.text import Text

    out = console()
    total, source = len(report.steps), "the model" if report.live else "the record"
    style = "bold green" if report.explained else "bold red"
    out.print(Text.assemble((f"{report.equal} of {total}", style), f" tokens are drawn again from {source}"))
    if report.unknown:
        out.print(
            f"{report.unknown} could not be drawn: the record does not hold enough (because of its level or sampler)"
        )
    if report.live:
        out.print(f"drift, in nats: median {_median(report):.3g}, largest {report.max_drift:.3g}")
        _show_worst(report.steps, out)
    first = report.first_difference
    if first is not None:
        was, now = token_label(tokenizer, first.token_id), token_label(tokenizer, first.replayed or 0)
        out.print(Text(f"first difference: stream {first.stream}, step {first.index}: {was} became {now}"))
        allowed = "inside" if first.explained else "outside"
        out.print(f"  margin {first.margin:.3g}, twice the drift {2 * first.drift:.3g}: {allowed} what drift explains")
    if not report.explained:
        outside = sum(not step.explained for step in report.steps)
        out.print(Text(f"{outside} differences are not explained by drift", style="bold red"))


def _show_worst(steps: list[ReplayStep], out: Any) -> None:
    """The steps where the model's answers changed most, if any did."""
    worst = sorted((step for step in steps if step.drift > 0), key=lambda step: -step.drift)[:3]
    if worst:
        places = ", ".join(f"step {step.index} ({step.drift:.3g})" for step in worst)
        out.print(f"largest drift at {places}")


def _median(report: ReplayReport) -> float:
    return median([step.drift for step in report.steps] or [0.0])
