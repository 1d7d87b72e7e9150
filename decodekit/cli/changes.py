"""Which steps would have drawn another token: as text and as data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from decodekit.text.labels import token_label
from decodekit.text.safe_text import safe_text
from decodekit.trace.stages import share_text

if TYPE_CHECKING:
    from rich.console import Console

    from decodekit.text.tokenizer import Tokenizer
    from decodekit.trace.what_if.counterfactual import Counterfactual, CounterfactualStep

__all__ = ["change_data", "change_told", "changes_data", "show_changes"]

_SHOWN = 10


def changes_data(found: Counterfactual) -> dict[str, Any]:
    """The report for ``--json``."""
    first = found.first_change
    return {
        "chain": found.chain,
        "seed": found.seed,
        "changed": found.changed,
        "unchanged": found.unchanged,
        "unknown": found.unknown,
        "expected_changes": found.expected_changes,
        "first_change": None if first is None else {"stream": first.stream, "step": first.index},
        "steps": [change_data(step) for step in found.steps],
        "warnings": found.warnings,
    }


def change_data(step: CounterfactualStep) -> dict[str, Any]:
    """One step for ``--json``."""
    return {
        "stream": step.stream,
        "step": step.index,
        "token_id": step.token_id,
        "other": step.other,
        "why": step.why,
        "probability": step.probability,
        "chance": step.chance,
        "tv": step.tv,
    }


def show_changes(out: Console, found: Counterfactual, tokenizer: Tokenizer | None) -> None:
    """Print the report."""
    total = len(found.steps)
    out.print(Text.assemble((f"{found.changed} of {total}", "bold"), " tokens would have been others"))
    out.print(f"{found.unchanged} would have been the same; of {found.unknown} the record does not say")
    known = [step.chance for step in found.steps if step.chance is not None]
    if known:
        out.print(f"over all seeds, {found.expected_changes:.2f} changes are expected in the {len(known)} steps known")
    changes = [step for step in found.steps if step.changed]
    for step in changes[:_SHOWN]:
        was = token_label(tokenizer, step.token_id)
        where = f"step {step.index}" if step.stream == 0 else f"stream {step.stream}, step {step.index}"
        out.print(Text(f"  {where}: {was} -> {change_told(step, tokenizer)}"))
    if len(changes) > _SHOWN:
        out.print(f"  and {len(changes) - _SHOWN} more")
    if changes:
        out.print(Text("after the first one the text would be another; later ones are after the recorded tokens"))
    for why, count in Counter(step.why for step in found.steps if step.why).most_common(3):
        out.print(Text(f"not known in {count}: {safe_text(why)}", style="dim"))
    for warning in found.warnings:
        out.print(Text(f"note: {safe_text(warning)}", style="dim"))


def change_told(step: CounterfactualStep, tokenizer: Tokenizer | None) -> str:
    """What would have been drawn at a step, in words."""
    if step.other is None:
        return f"not known: {safe_text(step.why)}"
    told = [token_label(tokenizer, step.other) if step.changed else "the same token"]
    if step.probability is not None:
        told.append(f"whose probability is {share_text(step.probability)} there")
    if step.chance:
        told.append(f"over all seeds this step changes with probability {share_text(step.chance)}")
    return ", ".join(told)
