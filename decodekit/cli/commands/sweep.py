"""``decodekit sweep``: what changes along a grid of temperatures or chains, exactly or by samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.chain import Chain
from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.files import new_file
from decodekit.cli.grid import grid_of
from decodekit.cli.options import JsonFlag, PlotFlag
from decodekit.cli.text_lines import text_lines
from decodekit.errors import ConfigError
from decodekit.trace.columns import pyarrow

__all__ = ["sweep"]

PromptFlag = Annotated[str | None, typer.Option("--prompt", metavar="TEXT", help="What the answers or samples follow.")]
TemperaturesFlag = Annotated[
    str | None, typer.Option("--temperatures", metavar="GRID", help="FIRST:LAST:STEP, or numbers between commas.")
]
AnswerFlag = Annotated[list[str] | None, typer.Option("--answer", metavar="TEXT", help="An answer. Repeatable.")]
AnswersFlag = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Answers, on each line a text as JSON.")
]
NearFlag = Annotated[
    int, typer.Option("--near", metavar="K", help="Bound the mass of near misses, by K alternatives at each place.")
]
ChainFlag = Annotated[
    list[str] | None,
    typer.Option("--chain", help="A chain, as for generate, after the temperature. Repeatable with --samples."),
]
EndFlag = Annotated[int | None, typer.Option("--end-id", metavar="ID", help="A token id that ends each answer.")]
SamplesFlag = Annotated[
    int | None, typer.Option("--samples", metavar="N", help="Sample each prompt N times with each chain.")
]
PromptsFlag = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help="To sample: on each line a JSON text, or {prompt, answer, id}."),
]
CheckFlag = Annotated[
    str | None,
    typer.Option("--check", metavar="CHECK", help="Of samples: exact, regex:PATTERN, file.py:NAME or module:NAME."),
]
CheckDeadlineFlag = Annotated[
    float | None, typer.Option("--check-deadline", metavar="SECONDS", help="For one text; 10 by default.")
]
OutFlag = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="The samples; what is there is not made again.")
]
ShardFlag = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="The I-th of N workers that share --out.")
]
PassAtFlag = Annotated[list[int] | None, typer.Option("--pass-at", metavar="K", help="Report pass@K. Repeatable.")]
ParquetFlag = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="Write all samples here, as a table.")
]
SeedFlag = Annotated[int | None, typer.Option("--seed", help="Of all samples; random when not given.")]
MaxTokensFlag = Annotated[int | None, typer.Option("--max-tokens", help="Of a sample.")]
StopFlag = Annotated[
    list[str] | None, typer.Option("--stop", metavar="TEXT", help="A text that ends a sample. Repeatable.")
]


@with_adapter_flags
def sweep(
    chosen: AdapterChoice,
    prompt: PromptFlag = None,
    answer: AnswerFlag = None,
    answers: AnswersFlag = None,
    temperatures: TemperaturesFlag = None,
    chain: ChainFlag = None,
    near: NearFlag = 0,
    end_id: EndFlag = None,
    chat: Annotated[bool, typer.Option("--chat", help="Apply the model's chat template to the prompt.")] = False,
    plot: PlotFlag = None,
    as_json: JsonFlag = False,
    samples: SamplesFlag = None,
    prompts: PromptsFlag = None,
    check: CheckFlag = None,
    check_deadline: CheckDeadlineFlag = None,
    out: OutFlag = None,
    shard: ShardFlag = None,
    pass_at: PassAtFlag = None,
    parquet: ParquetFlag = None,
    seed: SeedFlag = None,
    max_tokens: MaxTokensFlag = None,
    stop: StopFlag = None,
) -> None:
    """Compute how probable given answers are at each temperature; or, with --samples, sample with several chains.

    Given answers need no sampling: one forced pass through the model gives the scores along the answers, and all
    temperatures are applied to these. Where a server shows a part of each distribution, the probabilities are
    intervals.

    With --samples each prompt is sampled N times with each chain, under common noise, and the texts are checked.
    """
    of_samples = {"--prompts": prompts, "--check": check, "--check-deadline": check_deadline,
                  "--out": out, "--shard": shard, "--pass-at": pass_at, "--parquet": parquet, "--seed": seed,
                  "--max-tokens": max_tokens, "--stop": stop}  # fmt: skip
    of_answers = {"--answer": answer, "--answers": answers, "--near": near or None, "--end-id": end_id, "--plot": plot}
    if samples is None:
        _refuse(of_samples, "is for --samples N")
        grid = "0:2:0.1" if temperatures is None else temperatures
        listed = [*(answer or ()), *_read(answers)]
        _sweep_answers(chosen, prompt, listed, grid, chain or [], near, end_id, chat=chat, plot=plot, as_json=as_json)
        return
    _refuse(of_answers, "is for given answers, which need no --samples")
    call = {"check": check, "out": out, "shard": shard, "check_deadline": check_deadline}
    settings = {"seed": seed, "max_tokens": max_tokens, "stop": stop}
    chains = _chains(chain, temperatures)
    code = _sweep_samples(chosen, (prompt, prompts), chains, samples, settings, call, pass_at or [],
                          chat=chat, parquet=parquet, as_json=as_json)  # fmt: skip
    raise typer.Exit(code)


def _refuse(flags: dict[str, Any], why: str) -> None:
    given = next((flag for flag, value in flags.items() if value is not None), None)
    if given is not None:
        raise ConfigError(f"{given} {why}")


def _chains(chains: list[str] | None, temperatures: str | None) -> list[str]:
    """The chains to sample with; none for that of the configuration."""
    if temperatures is None:
        return chains or []
    grid = grid_of(temperatures, "--temperatures")
    return [f"temperature={each:g} {after}".strip() for each in grid for after in chains or [""]]


def _sweep_samples(
    chosen: AdapterChoice,
    given: tuple[str | None, Path | None],
    chains: list[str],
    samples: int,
    settings: dict[str, Any],
    call: dict[str, Any],
    pass_at: list[int],
    *,
    chat: bool,
    parquet: Path | None,
    as_json: bool,
) -> int:
    from decodekit.analysis.sweeps.checks import check_of
    from decodekit.cli.sample_sweep import put_sweep, sampled, tasks_of
    from decodekit.session import Session

    if (given[0] is None) == (given[1] is None):
        raise ConfigError("what is sampled? Give one prompt with --prompt TEXT, or a file of them with --prompts")
    if pass_at and call["check"] is None:
        raise ConfigError("--pass-at needs a --check, which says what is right")
    over = next((k for k in pass_at if not 1 <= k <= samples), None)
    if over is not None:
        raise ConfigError(f"--pass-at {over} needs from 1 to --samples {samples} samples; twice as many are better")
    if parquet is not None:
        new_file(parquet, "a table")
        pyarrow()
    tasks = tasks_of(*given, chat=chat)
    if call["check"] is not None:
        check_of(call["check"])
    for text in chains:
        Chain.of(text)
    resolved = chosen.configuration({}, {key: value for key, value in settings.items() if key != "stop"})
    options = {key: value for key, value in {**call, "stop": settings["stop"]}.items() if value is not None}
    with Session.from_config(resolved) as session:
        found = sampled(session, tasks, chains or [session.chain], samples, options)
    if parquet is not None:
        from decodekit.analysis.sweeps.table import write_sweep

        write_sweep(found, parquet)
    return put_sweep(found, pass_at, as_json=as_json)


def _sweep_answers(
    chosen: AdapterChoice,
    prompt: str | None,
    listed: list[str | list[int]],
    temperatures: str,
    chains: list[str],
    near: int,
    end_id: int | None,
    *,
    chat: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    grid = grid_of(temperatures, "--temperatures")
    if not listed:
        raise ConfigError("which answers? Give each with --answer TEXT, or a file of them with --answers")
    if prompt is None:
        raise ConfigError("what do the answers follow? Give it with --prompt TEXT")
    if near < 0:
        raise ConfigError(f"--near is a number of alternatives, 0 or more, not {near}")
    if len(chains) > 1:
        raise ConfigError("--chain: given answers take one chain, after the temperature; --samples takes several")
    after = Chain.of(chains[0]) if chains else None
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
