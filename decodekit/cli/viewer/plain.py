"""A trace as plain text: its facts, its text and the first of its steps."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from decodekit.cli.output import show_table, table
from decodekit.cli.surprise import style_of
from decodekit.cli.viewer.walk import Walk
from decodekit.view.run_story import RunStory
from decodekit.view.verdicts import STYLE

__all__ = ["show_run"]

_STEPS = 20


def show_run(out: Console, walk: Walk) -> None:
    """Print a run, with the sequence at which the walk stands.

    Args:
        out: where to.
        walk: the run, and a sequence of it.
    """
    run = walk.run
    for name, sentence in run.facts:
        out.print(Text.assemble((f"{name}: ", "dim"), sentence))
    out.print(Text.assemble(("check: ", "dim"), (run.verdict, STYLE[run.verdict]), f": {run.why}"))
    if walk.sequences > 1:
        out.print(Text(f"sequence {walk.sequence + 1} of {walk.sequences}", style="dim"))
    out.print()
    if not walk.indices:
        out.print(Text("no tokens were recorded"))
        return
    tokens = run.tokens
    pieces = [(text, _style(run, i)) for text, i in zip(walk.texts, walk.indices, strict=True)]
    out.print(Text.assemble(*pieces), soft_wrap=True)
    out.print()
    margin_heading = f"margin ({run.margin_unit})" if run.margin_unit else "margin"
    made = table(
        "step",
        "token",
        "surprisal (nats)",
        "entropy (nats)",
        "rank",
        margin_heading,
        "check",
        right=(*_NUMBERS, margin_heading),
    )
    for i in walk.indices[:_STEPS]:
        surprisal, entropy, margin, rank = tokens.surprisal[i], tokens.entropy[i], tokens.margin[i], tokens.rank[i]
        made.add_row(
            str(tokens.step[i]),
            Text(tokens.label[i], style=_style(run, i)),
            "?" if surprisal is None else f"{surprisal:.3f}",
            "?" if entropy is None else f"{entropy:.3f}",
            "?" if rank is None else str(rank),
            "-" if margin is None else f"{margin:.4f}",
            tokens.verdict[i],
        )
    show_table(out, made)
    more = len(walk.indices) - _STEPS
    if more > 0:
        out.print(Text(f"and {more:,} more; --step N shows one", style="dim"))


_NUMBERS = ("step", "surprisal (nats)", "entropy (nats)", "rank")


def _style(run: RunStory, index: int) -> str:
    surprisal = run.tokens.surprisal[index]
    return style_of(None if surprisal is None else -surprisal)
