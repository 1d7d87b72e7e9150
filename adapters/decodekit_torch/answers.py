"""From logits to answers: whole rows, or as much of a row as was requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from decodekit.distribution import Distribution, Origin, Schedule
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import DistributionError
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit_torch.head import heads, statistics

__all__ = ["KeptRow", "disclosed", "whole_row"]


@dataclass(slots=True)
class KeptRow:
    """Logits [V] that stay where they were computed.

    Args:
        logits: float[V].
        schedule: how they were computed.
        known: the `statistics`, float64[3], once they were computed: a row may be asked for again.
    """

    logits: torch.Tensor
    schedule: Schedule
    known: torch.Tensor | None = None


def whole_row(logits: torch.Tensor, origin: Origin, schedule: Schedule) -> Answer:
    """The distribution over the whole vocabulary, on the CPU; or what is wrong with it."""
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    try:
        return Distribution.dense(logits.cpu().numpy(), origin=origin, schedule=schedule)
    except DistributionError as error:
        return error


def disclosed(
    prefixes: Sequence[Prefix],
    wanted: Sequence[Disclosure],
    answers: Mapping[bytes, Answer | KeptRow],
    *,
    head: int,
    vocab_size: int,
    origin: Origin,
) -> list[Answer]:
    """As much of each kept row as was requested; rows with the same request are answered together.

    Args:
        prefixes: the prefixes asked for.
        wanted: a disclosure for each.
        answers: an answer, an error or a kept row, by the digest of the prefix.
        head: how many of the most likely tokens `CHEAP` gives.
        vocab_size: the number of tokens V.
        origin: of the scores.
    """
    found: list[Answer | None] = []
    alike: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for place, (prefix, want) in enumerate(zip(prefixes, wanted, strict=True)):
        answer = answers[prefix.digest]
        top, ids = (head, ()) if want.kind == "cheap" else (want.top or 1, want.ids)
        ids = tuple(i for i in ids if 0 <= i < vocab_size)
        if not isinstance(answer, KeptRow):
            found.append(answer)
        elif want.kind == "all" or 8 * (top + len(ids)) > vocab_size:
            found.append(whole_row(answer.logits, origin, answer.schedule))
        else:
            found.append(None)
            alike.setdefault((top, ids), []).append(place)
    for (top, ids), places in alike.items():
        rows = [row for place in places if isinstance(row := answers[prefixes[place].digest], KeptRow)]
        stacked = torch.stack([row.logits for row in rows])
        shown = heads(stacked, top, ids, [row.schedule for row in rows], _statistics(rows, stacked))
        for place, answer in zip(places, shown, strict=True):
            found[place] = answer
    return found  # type: ignore[return-value]  # every place is filled by now


def _statistics(rows: Sequence[KeptRow], stacked: torch.Tensor) -> torch.Tensor:
    """The `statistics` of kept rows, float64[3, n]; computed once for each row."""
    if any(row.known is None for row in rows):
        for row, found in zip(rows, statistics(stacked).unbind(-1), strict=True):
            if row.known is None:
                row.known = found
    return torch.stack([row.known for row in rows if row.known is not None], -1)
