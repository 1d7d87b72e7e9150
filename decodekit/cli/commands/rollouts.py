"""``decodekit rollouts``: samples of prompts with what trainers of RL and distillation read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.options import JsonFlag
from decodekit.cli.output import put_json, say
from decodekit.errors import ConfigError
from decodekit.plugin.one_line import read_chain
from decodekit.session import Session
from decodekit.text.counted import counted
from decodekit.text.safe_text import safe_text

__all__ = ["rollouts"]


@with_adapter_flags
def rollouts(
    prompts: Annotated[
        Path,
        typer.Option("--prompts", metavar="FILE", exists=True, dir_okay=False, help="On each line a JSON text."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new folder for the table and its card.")],
    chosen: AdapterChoice,
    n: Annotated[int, typer.Option("-n", help="How many samples of each prompt.")] = 1,
    chain: Annotated[
        str | None, typer.Option("--chain", help="Processors in order: 'temperature=0.8 top_k=40'.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Random when not given; the card has it.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="At most this many tokens.")] = None,
    start: Annotated[int, typer.Option("--start", help="The number of the first prompt, to go on after an end.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Sample each prompt n times, and write ids, log-probabilities, supports and masks as Parquet, with a card.

    A line of the prompts is a JSON text, a list of token ids, or an object with such a "prompt".
    """
    from decodekit.analysis.trainers.rolling_out import rollouts as write_rollouts

    given = _prompts(prompts)
    overrides: dict[str, Any] = {}
    if chain is not None:
        overrides["chain"], sampler = read_chain(chain, "--chain")
        overrides |= {} if sampler is None else {"sampler": sampler}
    resolved = chosen.configuration(overrides, {"seed": seed, "max_tokens": max_tokens})
    with Session.from_config(resolved) as session:
        try:
            made = write_rollouts(session, given, n, out, start=start)
        except BaseException as error:
            for note in getattr(error, "__notes__", ()):
                say(note)
            raise
    if as_json:
        put_json({"folder": str(out), "sequences": made.sequences, "tokens": made.tokens, "seed": made.seed,
                  "failed": made.failed, "first_error": made.first_error})  # fmt: skip
    else:
        size = f"{counted(made.sequences, 'sequence')}, {counted(made.tokens, 'token')}"
        typer.echo(f"{safe_text(str(out))}: {size}, seed {made.seed}")
    if made.failed:
        say(
            f"{made.failed} of the {made.sequences} sequences failed (stop_reason error). The first: {made.first_error}"
        )
        raise typer.Exit(1)


def _prompts(path: Path) -> list[Any]:
    """The prompts of a file, before a model is loaded."""
    found = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"--prompts: cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        where = f"--prompts {path}, line {number}"
        if not line.strip():
            continue
        try:
            data = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: it is not JSON: {error}") from error
        if isinstance(data, dict):
            if set(data) != {"prompt"}:
                raise ConfigError(f"{where}: an object has a prompt, and no other key here")
            data = data["prompt"]
        if not isinstance(data, str | list):
            raise ConfigError(f"{where}: a prompt is a text, or a list of token ids or messages")
        found.append(data)
    if not found:
        raise ConfigError(f"--prompts: {path} has no prompt")
    return found
