"""``decodekit generate``: continue a prompt, and show why each token was chosen."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.chain_text import parse_chain, parse_sampler
from decodekit.cli.files import new_file
from decodekit.cli.options import (
    DeadlineFlag,
    ExplainFlag,
    JsonFlag,
    PresetFlag,
    preset_recipe,
)
from decodekit.cli.output import say
from decodekit.errors import ConfigError, ParameterError

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
    str, typer.Argument(metavar="PROMPT", help="Used as it is; '-' reads it from stdin, without a final newline.")
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
ChatFlag = Annotated[bool, typer.Option("--chat", help="Apply the model's chat template to the prompt.")]
TraceFlag = Annotated[Path | None, typer.Option("--trace", help="Write the trace here, as it happens.")]
LevelFlag = Annotated[LevelChoice, typer.Option("--level", help="How much the trace keeps.")]
PolicyFlag = Annotated[
    PolicyChoice | None, typer.Option("--on-undisclosed", help="When the adapter cannot disclose enough.")
]
TopFlag = Annotated[
    int | None, typer.Option("--top", help="How many of the most likely tokens each step keeps, before and after.")
]


@with_adapter_flags
def generate(
    prompt: PromptArgument,
    chosen: AdapterChoice,
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
    level: LevelFlag = LevelChoice.proof,
    on_undisclosed: PolicyFlag = None,
    top: TopFlag = None,
    explain: ExplainFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Continue a prompt.

    In a terminal the text is coloured by surprisal and the current step is shown as bars; into a pipe only the text is
    written.
    """
    from decodekit.cli.running import Generation
    from decodekit.session import Session

    wishes = {
        "seed": seed,
        "max_tokens": max_tokens,
        "top_logprobs": top,
        "on_undisclosed": None if on_undisclosed is None else on_undisclosed.value,
    }
    new_file(trace)
    if prompt == "-" == str(chosen.config):
        raise ConfigError("PROMPT - and --config - both read stdin; give one of them another way")
    resolved = chosen.configuration(_overrides(chain, preset, sampler), wishes)
    text = _text(prompt)
    call: dict[str, Any] = {
        "stop": tuple(stop or ()),
        "stop_ids": tuple(stop_id or ()),
        "ban": tuple(ban or ()),
        "deadline": deadline,
        "trace": trace,
        "level": level.value,
    }
    with Session.from_config(resolved) as session:
        asked = [{"role": "user", "content": text}] if chat else text
        run = Generation(
            session=session, prompt=asked, call=call, streams=list(range(n)), as_json=as_json, explain=explain
        )
        code = run.go()
    raise typer.Exit(code)


def _overrides(chain: str | None, preset: str | None, sampler: str | None) -> dict[str, Any]:
    """The chain and sampler given by flags, in place of a file's."""
    overrides: dict[str, Any] = {}
    if chain is not None:
        overrides["chain"] = parse_chain(chain)
    if preset is not None:
        recipe = preset_recipe(preset, chain)
        for note in recipe.notes:
            say(note)
        overrides |= {"chain": list(recipe.parts), "sampler": recipe.sampler}
    if sampler is not None:
        overrides["sampler"] = parse_sampler(sampler)
    return overrides


def _text(prompt: str) -> str:
    """The prompt, from stdin where it is '-'. Text that is not UTF-8 is refused before a model is loaded."""
    try:
        if prompt == "-":
            return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
        prompt.encode("utf-8")  # an argument with invalid bytes contains lone surrogates
        return prompt
    except UnicodeError as error:
        raise ParameterError(f"the prompt is not UTF-8: {error}") from None
    except OSError as error:
        raise ParameterError(f"cannot read the prompt from stdin: {error.strerror}") from None
