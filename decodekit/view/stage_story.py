"""The stages of a step: the model's distribution and what each processor did to it, in numbers and in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from decodekit.chain import Entry
from decodekit.text.counted import counted
from decodekit.text.safe_text import safe_text
from decodekit.trace.stages import Column, Recorded, TokenLine, share_text
from decodekit.view.plain import PlainData

__all__ = ["Row", "Stage", "rows_of", "stages_of"]

_SEEN = 0.0005  # a change of a probability that is told


@dataclass(frozen=True, slots=True)
class Stage(PlainData):
    """The distribution at one stage of the chain, and what made it.

    Args:
        name: 'raw', or the processor.
        parameter: its main parameter as text; '' when there is none to show.
        support: how many tokens have probability; None where that is not known.
        entropy: in nats; None where that is not known.
        kl: D(this stage || the stage before), in nats; None for 'raw', and where a tail makes it unknown.
        mass_removed: the probability, at the stage before, of the tokens that were removed here; None as for ``kl``.
        kept_mass: Z of a mask, the probability at the stage before of what it left; None where no mask acted, or it is
            not known.
        kept_bounds: (low, high) for it, where hidden tokens make it unknown.
        ambiguous: whether a decision here lay within 1e-9 of its boundary.
        gave_up: the largest probability that the tail had which was given up here; None when none was.
        sentence: what it did, and to whom.
    """

    name: str
    parameter: str
    support: int | None
    entropy: float | None
    kl: float | None
    mass_removed: float | None
    kept_mass: float | None
    kept_bounds: tuple[float, float] | None
    ambiguous: bool
    gave_up: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Row(PlainData):
    """One token through all stages.

    Args:
        token_id: the token.
        label: its text in quotes.
        chosen: whether it is the one that was drawn.
        runner_up: whether it would have been next.
        probabilities: at each stage; 0.0 once removed, None where it is not recorded.
        removed_by: the index of the stage that removed it; None where it stayed, or that is not recorded.
    """

    token_id: int
    label: str
    chosen: bool
    runner_up: bool
    probabilities: tuple[float | None, ...]
    removed_by: int | None


def rows_of(lines: Sequence[TokenLine], runner_up: int | None, label: Callable[[int], str]) -> tuple[Row, ...]:
    """The tokens of a step's table."""
    return tuple(
        Row(
            token_id=line.token_id,
            label=label(line.token_id),
            chosen=line.chosen,
            runner_up=line.token_id == runner_up,
            probabilities=line.shares,
            removed_by=_removed_by(line.shares),
        )
        for line in lines
    )


def _removed_by(shares: Sequence[float | None]) -> int | None:
    """The stage at which a probability became 0; None if it may have been an earlier one."""
    for at, share in enumerate(shares):
        if share == 0:
            before = shares[at - 1] if at else None
            return at if before is not None else None
    return None


def stages_of(columns: Sequence[Column], rows: Sequence[Row], step: Recorded) -> tuple[Stage, ...]:
    """The stages of a step; the first is the model's own distribution."""
    raw = Stage(
        name="raw",
        parameter="",
        support=step.raw.support,
        entropy=step.raw.entropy,
        kl=None,
        mass_removed=None,
        kept_mass=None,
        kept_bounds=None,
        ambiguous=False,
        gave_up=None,
        sentence=_of_the_model(step),
    )
    supports = [column.support for column in columns]
    return raw, *(
        _stage(column, entry, rows, at, supports[at - 1])
        for at, (column, entry) in enumerate(zip(columns[1:], step.entries, strict=False), 1)
    )


def _of_the_model(step: Recorded) -> str:
    raw, tail = step.raw, step.raw.tail
    if tail is not None and raw.disclosed == 0:
        return "the model's distribution was not shown"
    if tail is not None:
        hidden = share_text(tail.mass_high) if tail.mass_high > 0 else "no mass"
        return f"the model showed {counted(raw.disclosed, 'token')}; the others have at most {hidden} together"
    if raw.support is None:
        return "the model's distribution was not recorded"
    return f"the model gave probability to {counted(raw.support, 'token')}"


def _stage(column: Column, entry: Entry, rows: Sequence[Row], at: int, before: int | None) -> Stage:
    bounds = entry.kept_bounds
    return Stage(
        name=safe_text(column.name),
        parameter=safe_text(column.detail),
        support=column.support,
        entropy=column.entropy,
        kl=entry.kl,
        mass_removed=entry.mass_removed,
        kept_mass=entry.kept_mass,
        kept_bounds=None if bounds is None else (bounds.low, bounds.high),
        ambiguous=entry.ambiguous,
        gave_up=None if entry.gave_up is None else entry.gave_up.mass_high,
        sentence="; ".join(_did(entry, rows, at, before)),
    )


def _did(entry: Entry, rows: Sequence[Row], at: int, before: int | None) -> list[str]:
    """What a processor did, in clauses."""
    told = []
    if entry.gave_up is not None:
        told.append(f"gave up the tokens that were not shown, with at most {share_text(entry.gave_up.mass_high)}")
    removed = None if before is None or entry.support is None else before - entry.support
    if removed is not None and removed > 0:
        mass = "" if entry.mass_removed is None else f" with {share_text(entry.mass_removed or 1e-9)} of the mass"
        gone = [row.label for row in rows if row.removed_by == at]
        among = f", {', '.join(gone[:3])}{', ...' if len(gone) > 3 else ''} among them" if gone else ""
        told.append(f"removed {counted(removed, 'token')}{mass}{among}")
    elif removed is None and entry.mass_removed:
        told.append(f"removed {share_text(entry.mass_removed)} of the mass")
    if entry.kept_mass is not None:
        told.append(f"left {share_text(entry.kept_mass)} of the mass (Z)")
    elif entry.kept_bounds is not None:
        low, high = map(_per_cent, entry.kept_bounds)
        told.append(f"left between {low} and {high} of the mass (Z)")
    told += _moved(rows, at)
    if entry.ambiguous:
        told.append("a decision lay within 1e-9 of its boundary")
    if not told and entry.kl is not None:
        told.append("changed nothing" if entry.kl == 0 and not removed else f"changed little (KL {entry.kl:.2g} nats)")
    return told or ["what it did is not known, because the model's answer has a tail"]


def _moved(rows: Sequence[Row], at: int) -> list[str]:
    """The token whose probability changed most, with both values, among those that stayed."""
    changes = []
    for row in rows:
        was, now = row.probabilities[at - 1], row.probabilities[at]
        if was is not None and now is not None and now > 0 and abs(now - was) >= _SEEN:
            changes.append((abs(now - was), row.label, was, now))
    if not changes:
        return []
    _, label, was, now = max(changes, key=lambda change: change[0])
    return [f"{label} from {_per_cent(was)} to {_per_cent(now)}"]


def _per_cent(share: float) -> str:
    """As `share_text`, with a zero that is no removal."""
    return share_text(share) if share else "0 %"
