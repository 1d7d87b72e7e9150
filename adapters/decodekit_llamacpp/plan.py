"""From the paths of one call to the fewest tokens that must be evaluated.

Tokens that several paths share and the cache lacks are evaluated once, each such token belonging to all their slots
(a `Segment`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from decodekit.local.content_index import ContentIndex, common_length
from decodekit.local.paths import TokenPath

__all__ = ["Segment", "chunks", "segments_of"]


@dataclass(slots=True)
class Segment:
    """Consecutive tokens that the same slots share.

    Attributes:
        slots: the sequences they belong to.
        position: of the first token.
        ids: int64[n].
        asked: where in the segment an answer is requested, and for which digest, by rising position.
    """

    slots: list[int]
    position: int
    ids: NDArray[np.int64]
    asked: list[tuple[int, bytes]]


def segments_of(paths: Sequence[TokenPath], index: ContentIndex) -> list[Segment]:
    """The segments that evaluate these placed paths, each token once for all neighbours with the same beginning."""
    segments: list[Segment] = []
    first = 0
    while first < len(paths):
        # Branches of one beginning: neighbours with the same tokens in the cache and the same first new token.
        shared: list[int] = []
        last = first
        while last + 1 < len(paths) and (common := _common_new(paths[last], paths[last + 1], index)):
            shared.append(common)
            last += 1
        segments += _branch_segments(paths[first : last + 1], shared)
        first = last + 1
    return segments


def _common_new(a: TokenPath, b: TokenPath, index: ContentIndex) -> int:
    """How many tokens two paths can evaluate together."""
    if a.start != b.start or a.ids[0] != b.ids[0] or not np.array_equal(index.ids(a.slot), index.ids(b.slot)):
        return 0
    return common_length(a.ids, b.ids)


def _branch_segments(branches: Sequence[TokenPath], shared: Sequence[int]) -> Iterator[Segment]:
    """Depth first: what all share, then each branch. ``shared[i]`` is what path i and path i + 1 have in common."""
    start = branches[0].start
    wanted = [{len(prefix) - start: prefix.digest for prefix in path.asked} for path in branches]
    todo = [(0, len(branches), 0)]
    while todo:
        low, high, done = todo.pop()
        inner = shared[low : high - 1]
        end = min(inner, default=len(branches[low].ids))
        if end > done:
            answers = {place: digest for path in wanted[low:high] for place, digest in path.items() if place <= end}
            asked = sorted((place - done - 1, digest) for place, digest in answers.items() if place > done)
            slots = [path.slot for path in branches[low:high]]
            yield Segment(slots, start + done, branches[low].ids[done:end], asked)
        if high - low > 1:
            cuts = [low, *(low + 1 + i for i, length in enumerate(inner) if length == end), high]
            todo += [(a, b, end) for a, b in reversed(list(pairwise(cuts)))]


def chunks(segments: Sequence[Segment], rows: int) -> Iterator[list[Segment]]:
    """The same segments in portions of at most ``rows`` tokens."""
    portion: list[Segment] = []
    left = rows
    for segment in segments:
        done = 0
        while done < len(segment.ids):
            take = min(left, len(segment.ids) - done)
            asked = [(place - done, digest) for place, digest in segment.asked if done <= place < done + take]
            portion.append(
                segment
                if take == len(segment.ids)
                else Segment(segment.slots, segment.position + done, segment.ids[done : done + take], asked)
            )
            done += take
            left -= take
            if left == 0:
                yield portion
                portion, left = [], rows
    if portion:
        yield portion
