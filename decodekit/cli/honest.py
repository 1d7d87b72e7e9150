"""``decodekit doctor --honest``: whether tokens were drawn from the laws that are stated for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decodekit.chain import Chain
from decodekit.cli.adapter_choice import AdapterChoice
from decodekit.cli.output import console, put_json, say, show_table, table
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.draw.samplers import multinomial, provider
from decodekit.errors import ConfigError, DecodekitError, ParameterError
from decodekit.session import Session
from decodekit.text.counted import counted
from decodekit.trace.reader import read_trace
from decodekit.trace.verifying import same_tokenizer

if TYPE_CHECKING:
    from decodekit.analysis.sampler_checks.recorded_draws import Against
    from decodekit.analysis.sampler_checks.wagers import Honesty

__all__ = ["AgainstFlag", "HonestFlag", "PromptFlag", "TokensFlag", "TracesFlag", "examine_sampler"]

HonestFlag = Annotated[bool, typer.Option("--honest", help="Test a sampler: traces, or a model's new tokens.")]
TracesFlag = Annotated[
    list[Path] | None,
    typer.Option("--trace", exists=True, dir_okay=False, metavar="TRACE", help="A run to test. Repeatable."),
]
AgainstFlag = Annotated[
    str, typer.Option("--against", metavar="chain|model", help="Of traces: what the chain left, or the model's own.")
]
PromptFlag = Annotated[str, typer.Option("--prompt", help="Of --honest: what the model continues.")]
TokensFlag = Annotated[int, typer.Option("--tokens", help="Of --honest: draw at most this many tokens.")]

_STATED = ("temperature 0.971", "temperature 0.893", "temperature 0.8", "temperature 1.14", "top-p 0.99", "top-p 0.95",
           "top-k 40")  # fmt: skip


def examine_sampler(
    chosen: AdapterChoice, traces: Sequence[Path], against: str, prompt: str, tokens: int, as_json: bool
) -> int:
    """Test it, show what was found, and return the exit code: 1 if it was not honest, 2 if the test could not end."""
    if against not in ("chain", "model"):
        raise ConfigError(f"--against is chain or model, not {against!r}")
    if traces:
        found, drawn_by = _of_traces(chosen, traces, against), ""  # type: ignore[arg-type]
    else:
        from decodekit.analysis.sampler_checks.wagers import Honesty

        drawers: list[str] = []
        try:
            found = _of_a_model(chosen, prompt, tokens, drawers)
        except BaseException as error:
            partial = getattr(error, "partial", None)
            if not isinstance(partial, Honesty) or not partial.tokens:
                raise
            _put(partial, drawers[-1], as_json, ended_early=True)
            say(f"the test ended early: {error if isinstance(error, DecodekitError) else 'interrupted'}")
            if isinstance(error, DecodekitError):
                return 1 if not partial.honest else 2
            raise
        drawn_by = drawers[-1]
        if found.honest and found.tokens + found.skipped < tokens // 2:
            said = f"stopped after {counted(found.tokens + found.skipped, 'token')}: new texts only repeat others"
            say(f"{said}. Give a --prompt with long answers")
    _put(found, drawn_by, as_json)
    return 0 if found.honest else 1


def _put(found: Honesty, drawn_by: str, as_json: bool, *, ended_early: bool = False) -> None:
    if as_json:
        put_json({**found.to_dict(), "drawn_by": drawn_by or None, "ended_early": ended_early})
    else:
        _show(found, drawn_by)


def _of_traces(chosen: AdapterChoice, paths: Sequence[Path], against: Against) -> Honesty:
    """With a model, its end tokens are those that a server drew and did not return."""
    from decodekit.analysis.sampler_checks.recorded_draws import recorded_draws
    from decodekit.analysis.sampler_checks.wagers import honesty

    traces = [read_trace(path) for path in paths]
    with tokenizer_of(chosen, traces[0]) as tokenizer:
        ends = frozenset() if tokenizer is None else tokenizer.eos_ids
        for trace in traces[1:]:
            if tokenizer is not None:
                same_tokenizer(trace, tokenizer)
    found = honesty(recorded_draws(traces, against, ends=ends))
    return found.with_skipped(sum(len(trace.steps) for trace in traces) - found.tokens)


def _of_a_model(chosen: AdapterChoice, prompt: str, tokens: int, drawers: list[str]) -> Honesty:
    """What is found. A server draws where it can: its sampler is the one in question. ``drawers`` gets who draws."""
    from decodekit.analysis.sampler_checks.trial import try_sampler

    with Session.from_config(chosen.configuration({}, {"top_logprobs": 20})) as session:
        chain, adapter = session.chain, session.adapter
        remote = hasattr(getattr(adapter, "adapter", adapter), "drawing")
        if remote and chain.sampler is multinomial:
            by_server = Session(adapter, Chain(chain.processors, provider), seed=session.seed, top_logprobs=20)
            try:
                by_server.generate(prompt, max_tokens=1, level="none")
            except ParameterError as error:
                say(f"the server cannot draw: {error}")
            else:
                drawers.append("the server")
                return try_sampler(by_server, prompt, tokens=tokens)
        ours = "decodekit, from the server's lists: its own sampler was not tested" if remote else "decodekit"
        drawers.append("the server" if chain.sampler is provider else ours)
        return try_sampler(session, prompt, tokens=tokens)


def _show(found: Honesty, drawn_by: str) -> None:
    made = table("", "")
    made.show_header = False
    made.add_row("verdict", "honest, as far as this shows" if found.honest else f"not honest, like {found.leaning}")
    if drawn_by:
        made.add_row("drawn by", drawn_by)
    made.add_row(
        "tokens", f"{found.tokens}" + (f"; {found.skipped} without a stated law, or repeated" if found.skipped else "")
    )
    made.add_row("evidence", f"{_times(found.log_e)} to 1 now, {_times(found.highest)} to 1 at most")
    made.add_row("", "an honest sampler ever reaches 100 to 1 in at most 1 of 100 tests")
    if found.crossed is not None:
        made.add_row("", f"100 to 1 after {counted(found.crossed, 'token')}")
    made.add_row("surprisal minus entropy", f"{found.drift:+.4f} nats a token, standard error {found.drift_error:.4f}")
    for i, name in enumerate(_STATED):
        needed = found.needed[name]
        tells = "cannot be told here" if math.isinf(needed) else f"would take about {needed:,.0f} tokens"
        made.add_row("" if i else "to be seen", f"{name} {tells}")
    show_table(console(), made)


def _times(log_e: float) -> str:
    return f"{math.exp(log_e):.3g}" if log_e < 30 else f"10^{log_e / math.log(10):.0f}"
