"""``decodekit generate``: continue a prompt, and show why each token was chosen."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.constraint import constraint_of, read_json
from decodekit.cli.files import new_file
from decodekit.cli.options import (
    DeadlineFlag,
    ExplainFlag,
    JsonFlag,
    PresetFlag,
    preset_recipe,
)
from decodekit.cli.output import say
from decodekit.cli.text_lines import argument_text
from decodekit.errors import ConfigError
from decodekit.plugin.one_line import parse_guesser, parse_sampler, read_chain

__all__ = ["LevelChoice", "PolicyChoice", "generate"]


class LevelChoice(StrEnum):
    """How much a trace keeps of each distribution."""

    choice = "choice"
    proof = "proof"
    full = "full"


class PolicyChoice(StrEnum):
    """What to do when a chain needs more than the adapter can disclose."""

    error = "error"
    truncate = "truncate"


PromptArgument = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT", help="Used as it is; '-' reads it from stdin, without a final newline."),
]
ChainFlag = Annotated[
    str | None, typer.Option("--chain", help="Processors in order: 'temperature=0.8 top_p(top_p=0.95,min_keep=2)'.")
]
SamplerFlag = Annotated[
    str | None, typer.Option("--sampler", help="multinomial, greedy, inverse_cdf, or an installed one.")
]
SeedFlag = Annotated[int | None, typer.Option("--seed", help="Random when not given; --json and the trace contain it.")]
MaxTokensFlag = Annotated[int | None, typer.Option("--max-tokens", help="At most this many tokens.")]
SamplesFlag = Annotated[int, typer.Option("-n", help="How many samples.")]
StopFlag = Annotated[
    list[str] | None, typer.Option("--stop", metavar="TEXT", help="A text that ends the output. Repeatable.")
]
StopIdFlag = Annotated[
    list[int] | None, typer.Option("--stop-id", metavar="ID", help="A token id that ends the output. Repeatable.")
]
BanFlag = Annotated[
    list[str] | None, typer.Option("--ban", metavar="TEXT", help="A text that the output must not contain. Repeatable.")
]
SchemaFlag = Annotated[
    Path | None, typer.Option("--json-schema", metavar="FILE", help="The text is JSON that is valid by this schema.")
]
RegexFlag = Annotated[str | None, typer.Option("--regex", help="The whole text matches this regular expression.")]
ChoiceFlag = Annotated[
    list[str] | None, typer.Option("--choice", metavar="TEXT", help="The text is one of these. Repeatable.")
]
ToolsFlag = Annotated[
    Path | None,
    typer.Option("--tools", metavar="FILE", help="Tools that a provider's model may call: OpenAI's list, as JSON."),
]
ToolChoiceFlag = Annotated[
    str | None, typer.Option("--tool-choice", help="auto, none, required, or the name of the tool to call.")
]
ChatFlag = Annotated[bool, typer.Option("--chat", help="Apply the model's chat template to the prompt.")]
TraceFlag = Annotated[
    Path | None, typer.Option("--trace", help="Write the trace here, as it happens; or a table.parquet.")
]
LevelFlag = Annotated[LevelChoice | None, typer.Option("--level", help="How much the trace keeps; proof by default.")]
PolicyFlag = Annotated[
    PolicyChoice | None, typer.Option("--on-undisclosed", help="When the adapter cannot disclose enough.")
]
TopFlag = Annotated[
    int | None, typer.Option("--top", help="How many of the most likely tokens each step keeps, before and after.")
]
GuesserFlag = Annotated[
    str | None,
    typer.Option("--guesser", metavar="TEXT", help="It saves time only: 'prompt_lookup max_ngram=3', or 'none'."),
]
PromptsFlag = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help="Many prompts: on each line a JSON text, or {prompt, id, options}."),
]
OutFlag = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Their results, a line each; what is there is not redone.")
]


@with_adapter_flags
def generate(
    chosen: AdapterChoice,
    prompt: PromptArgument = None,
    chain: ChainFlag = None,
    preset: PresetFlag = None,
    sampler: SamplerFlag = None,
    seed: SeedFlag = None,
    max_tokens: MaxTokensFlag = None,
    n: SamplesFlag = 1,
    stop: StopFlag = None,
    stop_id: StopIdFlag = None,
    ban: BanFlag = None,
    deadline: DeadlineFlag = None,
    chat: ChatFlag = False,
    trace: TraceFlag = None,
    level: LevelFlag = None,
    on_undisclosed: PolicyFlag = None,
    top: TopFlag = None,
    explain: ExplainFlag = None,
    as_json: JsonFlag = False,
    guesser: GuesserFlag = None,
    prompts: PromptsFlag = None,
    out: OutFlag = None,
    json_schema: SchemaFlag = None,
    regex: RegexFlag = None,
    choice: ChoiceFlag = None,
    tools: ToolsFlag = None,
    tool_choice: ToolChoiceFlag = None,
) -> None:
    """Continue a prompt, or with --prompts many.

    In a terminal the text is coloured by surprisal and the current step is shown as bars; into a pipe only the text is
    written. With --prompts the results go to --out; the same call again goes on where the last one ended.
    """
    from decodekit.cli.log_lines import told_who_draws
    from decodekit.cli.running import Generation
    from decodekit.session import Session

    one = {"--trace": trace, "--level": level, "--deadline": deadline, "--explain": explain, "--top": top}
    _require_one_or_many(prompt, prompts, out, {**one, "--json": as_json or None})
    wishes = {
        "seed": seed,
        "max_tokens": max_tokens,
        "top_logprobs": top,
        "on_undisclosed": None if on_undisclosed is None else on_undisclosed.value,
    }
    new_file(trace)
    if prompt == "-" == str(chosen.config):
        raise ConfigError("PROMPT - and --config - both read stdin; give one of them another way")
    resolved = chosen.configuration(_overrides(chain, preset, sampler, guesser), wishes)
    constraint = constraint_of(json_schema, regex, choice)
    if constraint is not None:
        resolved["chain"] = [constraint, *resolved.get("chain", ())]
    flags: dict[str, Any] = {"stop": stop, "stop_ids": stop_id, "ban": ban}
    call: dict[str, Any] = {key: tuple(value) for key, value in flags.items() if value}  # otherwise as in the config
    call |= _tools(tools, tool_choice)
    if prompts is not None and out is not None:
        with told_who_draws():
            code = _many(resolved, prompts, out, call, chat=chat, samples=n)
        raise typer.Exit(code)
    assert prompt is not None
    text = argument_text(prompt)
    call |= {"deadline": deadline, "trace": trace, "level": (level or LevelChoice.proof).value}
    with told_who_draws(), Session.from_config(resolved) as session:
        asked = [{"role": "user", "content": text}] if chat else text
        run = Generation(
            session=session, prompt=asked, call=call, streams=list(range(n)), as_json=as_json, explain=explain
        )
        code = run.go()
    raise typer.Exit(code)


def _tools(tools: Path | None, choice: str | None) -> dict[str, Any]:
    """The options of a call for ``--tools`` and ``--tool-choice``."""
    call: dict[str, Any] = {} if tools is None else {"tools": read_json(tools, "--tools")}
    if choice is not None:
        named = {"type": "function", "function": {"name": choice}}
        call["tool_choice"] = choice if choice in ("auto", "none", "required") else named
    return call


def _require_one_or_many(prompt: str | None, prompts: Path | None, out: Path | None, one: dict[str, Any]) -> None:
    """Raises `ConfigError` for flags that do not fit together; ``one`` are those of a single prompt."""
    if prompts is None:
        if prompt is None:
            raise ConfigError("Missing argument 'PROMPT', or --prompts FILE; see decodekit generate --help")
        if out is not None:
            raise ConfigError("--out is for the results of --prompts; the text of one prompt goes to stdout")
        return
    if prompt is not None:
        raise ConfigError("give either PROMPT or --prompts")
    if out is None:
        raise ConfigError("--prompts needs --out FILE, where the results go")
    given = [flag for flag, value in one.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]} is for one prompt; with --prompts each line has its result in --out only")


def _many(resolved: dict[str, Any], prompts: Path, out: Path, call: dict[str, Any], *, chat: bool, samples: int) -> int:
    from decodekit.cli.many import generate_prompts
    from decodekit.cli.prompt_lines import PromptFile
    from decodekit.cli.results_file import ResultsFile

    file = PromptFile(prompts, call, chat, samples)
    file.check()
    return generate_prompts(resolved, file, ResultsFile(out))


def _overrides(chain: str | None, preset: str | None, sampler: str | None, guesser: str | None) -> dict[str, Any]:
    """The chain, sampler and guesser given by flags, in place of a file's."""
    overrides: dict[str, Any] = {}
    if chain is not None:
        overrides["chain"], named = read_chain(chain, "--chain")
        if named is not None:
            overrides["sampler"] = named
    if preset is not None:
        recipe = preset_recipe(preset, chain)
        for note in recipe.notes:
            say(note)
        overrides |= {"chain": list(recipe.parts), "sampler": recipe.sampler}
    if sampler is not None:
        overrides["sampler"] = _only(parse_sampler(sampler), overrides.get("sampler") if preset is None else None)
    if guesser is not None:
        overrides["guesser"] = parse_guesser(guesser)
    return overrides


def _only(sampler: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    if other is not None:
        raise ConfigError(f"--sampler names {sampler['name']!r}, and --chain ends with the sampler {other['name']!r}")
    return sampler
