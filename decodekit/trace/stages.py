"""One step as a table: a row for each leading token, a column for the raw distribution and for each processor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from decodekit.chain import Entry
from decodekit.distribution import Schedule
from decodekit.draw.choice import Choice, Draw
from decodekit.plugin import registry
from decodekit.trace.evidence import Evidence
from decodekit.trace.summary import RawSummary

__all__ = ["Column", "Recorded", "TokenLine", "bar", "grid", "main_parameter", "share_text"]


class Recorded(Protocol):
    """What the table reads of a step."""

    @property
    def index(self) -> int: ...
    @property
    def token_id(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def raw(self) -> RawSummary: ...
    @property
    def entries(self) -> tuple[Entry, ...]: ...
    @property
    def choice(self) -> Choice: ...
    @property
    def draw(self) -> Draw | None: ...
    @property
    def evidence(self) -> Evidence | None: ...
    @property
    def schedule(self) -> Schedule | None: ...


@dataclass(frozen=True, slots=True)
class Column:
    """The distribution at one stage of the chain.

    Args:
        name: 'raw', or the processor.
        detail: its main parameter as text; '' when there is none to show.
        support: how many tokens have probability; None where that is not known.
        entropy: in nats; None where that is not known.
    """

    name: str
    detail: str
    support: int | None
    entropy: float | None


@dataclass(frozen=True, slots=True)
class TokenLine:
    """One token through all stages.

    Args:
        token_id: the token.
        chosen: whether it is the one that was drawn.
        shares: its probability at each stage; 0.0 once removed, None where it is not recorded.
    """

    token_id: int
    chosen: bool
    shares: tuple[float | None, ...]


def grid(step: Recorded, chain: Mapping[str, Any], most: int = 8) -> tuple[list[Column], list[TokenLine]]:
    """The stages of a step, and its leading tokens; the chosen token and the runner-up are always among them.

    Args:
        step: the step.
        chain: the chain as a trace's header describes it.
        most: how many leading tokens at most; the chosen token and the runner-up may come in addition.
    """
    parts = chain.get("processors", [])
    entries = step.entries[: len(parts)]  # the sampler may have an entry of its own, for a tail it gave up
    stages = [Column("raw", "", step.raw.support, step.raw.entropy)]
    stages += [
        Column(_shown(entry, part), main_parameter(part), entry.support, entry.entropy)
        for entry, part in zip(entries, parts, strict=False)
    ]
    tops = [dict(step.raw.top), *(dict(entry.top) for entry in entries)]
    leading = dict.fromkeys([*tops[0], *tops[-1]])
    named = [step.token_id] + ([] if step.choice.runner_up is None else [step.choice.runner_up])
    ids = dict.fromkeys([*list(leading)[:most], *named])
    known = _known(step, stages, tops, ids)
    rows = [TokenLine(i, i == step.token_id, _shares(i, known)) for i in ids]
    return stages, sorted(rows, key=lambda row: (-(row.shares[0] if row.shares[0] is not None else -1), row.token_id))


def _shown(entry: Entry, part: Mapping[str, Any]) -> str:
    """The processor's name, with its distribution in front where another one has the name."""
    return registry.shown_name("processors", part) if part.get("name") == entry.name else entry.name


def share_text(share: float | None) -> str:
    """A probability in per cent; '-' for a token that was removed, '?' where it is not recorded."""
    if share is None:
        return "?"
    if share == 0:
        return "-"
    return f"{100 * share:.2f} %" if share >= 5e-5 else "<0.01 %"


def bar(share: float | None, cells: int, *, unicode: bool = True) -> str:
    """A probability as a bar, padded to this many cells; without unicode, in whole cells of '#'."""
    eighths = round(8 * cells * (share or 0.0))
    if not unicode:
        return ("#" * (eighths // 8)).ljust(cells)
    return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).ljust(cells)[:cells]


_Known = tuple[dict[int, float], bool]  # log-probabilities at one stage, and whether those of all its tokens are there


def _known(step: Recorded, stages: list[Column], tops: list[dict[int, float]], ids: Iterable[int]) -> list[_Known]:
    """What is known at each stage."""
    known = []
    own = [step.choice.raw_logprob, *(entry.chosen for entry in step.entries)]
    for stage, top, logprob in zip(stages, tops, own, strict=False):  # the sampler's entry is no stage
        known.append((top, stage.support is not None and stage.support <= len(top)))
        top.pop(step.token_id, None)
        if logprob is not None:
            top[step.token_id] = logprob
    if len(known) > 1:
        tops[-1] |= _final(step, [i for i in ids if i not in tops[-1]])
    return known


def _shares(token_id: int, known: list[_Known]) -> tuple[float | None, ...]:
    shares: list[float | None] = []
    for logprobs, complete in known:
        logprob = logprobs.get(token_id)
        if logprob is not None:
            shares.append(math.exp(logprob))
        elif complete or (shares and shares[-1] == 0):
            shares.append(0.0)  # every token that is left is among the leading ones, or it was removed before
        else:
            shares.append(None)
    return tuple(shares)


def _final(step: Recorded, wanted: list[int]) -> dict[int, float]:
    """The final log-probabilities of these tokens, as far as the evidence that proves the draw says them."""
    evidence, anchor = step.evidence, step.choice.logprob
    if not wanted or anchor is None:
        return {}
    scores = {} if evidence is None else dict(zip(evidence.token_ids.tolist(), evidence.scores.tolist(), strict=True))
    own = scores.get(step.token_id)
    found = {}
    for token_id in wanted:
        if token_id == step.token_id:
            found[token_id] = anchor
        elif token_id in scores and own is not None:
            found[token_id] = float(scores[token_id] - own) + anchor
        elif token_id not in scores and evidence is not None and evidence.floor is None:
            found[token_id] = -math.inf
    return found


def main_parameter(part: Mapping[str, Any]) -> str:
    """The parameter of a recorded part that has the part's own name, as text; '' for none, and for a list or table."""
    value = part.get("params", {}).get(part.get("name"))
    if value is None or isinstance(value, list | dict):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
