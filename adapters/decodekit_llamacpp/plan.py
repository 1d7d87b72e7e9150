"""From the prefixes of one call to the fewest tokens that must be evaluated.

Sorted by content, the prefixes are the leaves and inner nodes of a trie in depth-first order. A prefix that continues
another answers both in one pass down its path (a `Path`). Paths that share tokens nobody has evaluated yet evaluate
them once, each such token belonging to all their slots (a `Run`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from decodekit.content_index import ContentIndex, common_length
from decodekit.prefix import Prefix

__all__ = ["Path", "Run", "chunks", "paths_of", "runs_of"]

_REPEAT = 4  # evaluating this many known tokens again is cheaper than a slot and a row of its own


@dataclass(slots=True)
class Path:
    """One way down the trie: a prefix and those of its ancestors that were asked for as well.

    Attributes:
        asked: the prefixes whose answers lie on the path, shortest first; the last one is the path itself.
        slot: where it is evaluated; -1 until it is known.
        start: how many of its tokens the slot holds already.
        ids: int64[len - start], the tokens to evaluate.
    """

    asked: list[Prefix]
    slot: int = -1
    start: int = 0
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def prefix(self) -> Prefix:
        """The whole path."""
        return self.asked[-1]

    @property
    def latest_start(self) -> int:
        """The most tokens that may be taken from the cache: the last token of each asked prefix is evaluated."""
        return len(self.asked[0]) - 1


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


def paths_of(prefixes: Sequence[Prefix], index: ContentIndex) -> tuple[list[Path], set[int]]:
    """The paths that answer these distinct prefixes, in depth-first order, and the slots they can build upon."""
    if len(prefixes) == 1:
        return [Path([prefixes[0]])], set()
    groups: dict[int, list[tuple[Prefix, int]]] = {}
    for prefix in prefixes:
        match = index.find(prefix)
        groups.setdefault(match.slot, []).append((prefix, min(match.length, len(prefix) - 1)))
    paths: list[Path] = []
    for group in groups.values():
        # Within a group everything before `known` is the same, so it need not be compared.
        known = min(length for _, length in group)
        keyed = sorted(((p.since(known).astype(">u8").tobytes(), p, held) for p, held in group), key=lambda k: k[0])
        below: list[Path] = []
        start, key_below = 0, b""
        for key, prefix, held in reversed(keyed):
            if below and key_below.startswith(key) and start - (len(prefix) - 1) <= _REPEAT:
                below[-1].asked.insert(0, prefix)
                start, key_below = min(start, len(prefix) - 1), key
            else:
                below.append(Path([prefix]))
                start, key_below = held, key
        paths += reversed(below)
    return paths, set(groups) - {-1}


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
