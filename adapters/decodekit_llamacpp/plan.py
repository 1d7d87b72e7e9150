"""From the paths of one call to the fewest tokens that must be evaluated.

Paths that share tokens nobody has evaluated yet evaluate them once, each such token belonging to all their slots
(a `Run`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from decodekit.local.content_index import ContentIndex, common_length
from decodekit.local.paths import Path

__all__ = ["Run", "chunks", "runs_of"]


@dataclass(slots=True)
class Run:
    """Consecutive tokens that the same slots share.

    Attributes:
        slots: the sequences they belong to.
        position: of the first token.
        ids: int64[n].
        asked: where in the run an answer is wanted, and for which digest, by rising place.
    """

    slots: list[int]
    position: int
    ids: NDArray[np.int64]
    asked: list[tuple[int, bytes]]


def runs_of(paths: Sequence[Path], index: ContentIndex) -> list[Run]:
    """The runs that evaluate these placed paths, each token once for all neighbours that start alike."""
    runs: list[Run] = []
    first = 0
    while first < len(paths):
        # A family: neighbours with the same past in the cache whose first new token is the same too.
        shared: list[int] = []
        last = first
        while last + 1 < len(paths) and (common := _common_new(paths[last], paths[last + 1], index)):
            shared.append(common)
            last += 1
        runs += _family_runs(paths[first : last + 1], shared)
        first = last + 1
    return runs


def _common_new(a: Path, b: Path, index: ContentIndex) -> int:
    """How many tokens two paths can evaluate together."""
    if a.start != b.start or a.ids[0] != b.ids[0] or not np.array_equal(index.ids(a.slot), index.ids(b.slot)):
        return 0
    return common_length(a.ids, b.ids)


def _family_runs(family: Sequence[Path], shared: Sequence[int]) -> Iterator[Run]:
    """Depth first: the stem of all, then each branch. ``shared[i]`` is what path i and path i + 1 have in common."""
    start = family[0].start
    wanted = [{len(prefix) - start: prefix.digest for prefix in path.asked} for path in family]
    todo = [(0, len(family), 0)]
    while todo:
        low, high, done = todo.pop()
        inner = shared[low : high - 1]
        end = min(inner, default=len(family[low].ids))
        if end > done:
            answers = {place: digest for path in wanted[low:high] for place, digest in path.items() if place <= end}
            asked = sorted((place - done - 1, digest) for place, digest in answers.items() if place > done)
            slots = [path.slot for path in family[low:high]]
            yield Run(slots, start + done, family[low].ids[done:end], asked)
        if high - low > 1:
            cuts = [low, *(low + 1 + i for i, length in enumerate(inner) if length == end), high]
            todo += [(a, b, end) for a, b in reversed(list(pairwise(cuts)))]


def chunks(runs: Sequence[Run], rows: int) -> Iterator[list[Run]]:
    """The same runs in portions of at most ``rows`` tokens."""
    portion: list[Run] = []
    left = rows
    for run in runs:
        done = 0
        while done < len(run.ids):
            take = min(left, len(run.ids) - done)
            asked = [(place - done, digest) for place, digest in run.asked if done <= place < done + take]
            portion.append(
                run if take == len(run.ids) else Run(run.slots, run.position + done, run.ids[done : done + take], asked)
            )
            done += take
            left -= take
            if left == 0:
                yield portion
                portion, left = [], rows
    if portion:
        yield portion
