"""The evidence of the draws, small enough for a page and still a proof.

The page draws again from it. Where the record has a floor, no normaliser is computed from the listed scores, so that
the score of a token that lost may be rounded up: its upper bound loses too. It stays exact where the bound would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from decodekit.draw.randomness import gumbel_of, words_of_rows
from decodekit.report.columns import Columns
from decodekit.trace.evidence import Evidence
from decodekit.trace.redraw import noise_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import Floats, Ids

__all__ = ["PackedEvidence"]

_GRID = 2.0**10  # scores of losers are rounded up to a multiple of its inverse
_ROOM = 1_500_000  # bytes of evidence in a page, before base64
_EXACT, _ROUNDED = 10, 5  # bytes of one token and its score, deflated
_DIGITS = 8  # more bytes, deflated, of an id that is written as decimal digits
_LARGEST_NUMBER = 2**53  # ids from here on are written so
_SHOWN = 12  # the leading tokens of a race
_PIECE = 64  # steps whose noise is made together


class PackedEvidence:
    """Collects the evidence of steps, up to the room that a page has for it.

    Args:
        labelled: gets the ids of the tokens that a picture of the draw shows.
    """

    def __init__(self, labelled: set[int]) -> None:
        self._labelled = labelled
        self._counts: list[int] = []
        self._floors: list[float] = []
        self._ids: list[Ids] = []
        self._scores: list[Floats] = []
        self._used = 0

    def add(self, trace: Trace, steps: Sequence[Step]) -> None:
        """Add the evidence of the next steps; -1 in place of its size says that there was no room for it."""
        race = trace.header.chain["sampler"].get("name") == "multinomial"
        for start in range(0, len(steps), _PIECE):
            kept = [step for step in steps[start : start + _PIECE] if self._has_room(step.evidence, race=race)]
            rising = [_by_rising_id(step.evidence) for step in kept if step.evidence is not None]
            noises = _noises(trace, kept, [ids for ids, _ in rising]) if race else [None] * len(kept)
            for step, (ids, scores), noise in zip(kept, rising, noises, strict=True):
                self._put(step, ids, scores, noise)

    def _has_room(self, evidence: Evidence | None, *, race: bool) -> bool:
        """Whether the next step's evidence is in the page: its count and floor are noted."""
        count = 0
        if evidence is not None:
            wide = _DIGITS if evidence.token_ids.max() >= _LARGEST_NUMBER else 0
            rounded = race and evidence.floor is not None
            size = len(evidence.token_ids) * (wide + (_ROUNDED if rounded else _EXACT))
            count = len(evidence.token_ids) if self._used + size <= _ROOM else -1
            self._used += size if count > 0 else 0
        self._counts.append(count)
        self._floors.append(math.nan if count <= 0 or evidence is None or evidence.floor is None else evidence.floor)
        return count > 0

    def _put(self, step: Step, ids: Ids, scores: Floats, noise: Floats | None) -> None:
        totals = scores
        if noise is not None:
            totals = scores + noise
            if step.evidence is not None and step.evidence.floor is not None:
                scores = _rounded_up(step, scores, noise)
        for ranked in (scores, totals):
            self._labelled.update(ids[np.argsort(-ranked, kind="stable")[:_SHOWN]].tolist())
        self._ids.append(np.diff(ids, prepend=0))
        self._scores.append(scores)

    def write(self, columns: Columns) -> None:
        """Write the columns; ids are differences of rising ids."""
        columns.add("evidence", "i4", self._counts)
        columns.add("floor", "f8", self._floors)
        columns.add("evidence_ids", "id", np.concatenate(self._ids) if self._ids else [])
        columns.add("evidence_scores", "f8", np.concatenate(self._scores) if self._scores else [])


def _by_rising_id(evidence: Evidence) -> tuple[Ids, Floats]:
    order = np.argsort(evidence.token_ids, kind="stable")
    return evidence.token_ids[order], evidence.scores[order]


def _noises(trace: Trace, steps: Sequence[Step], ids: Sequence[Ids]) -> list[Floats | None]:
    """The noise of each step's tokens, made together; None for a step without a draw."""
    drawn = [
        (noise_of(trace, step, step.draw.attempt), own)
        for step, own in zip(steps, ids, strict=True)
        if step.draw is not None
    ]
    if not drawn:
        return [None] * len(steps)
    counts = [len(own) for _, own in drawn]
    words = words_of_rows([noise for noise, _ in drawn], counts, np.concatenate([own for _, own in drawn]))
    noises = iter(np.split(gumbel_of(words), np.add.accumulate(counts)[:-1]))
    return [None if step.draw is None else next(noises) for step in steps]


def _rounded_up(step: Step, scores: Floats, noise: Floats) -> Floats:
    """Scores of losers as the next multiple of the grid, wherever the token then still loses to the runner-up."""
    largest = float(scores.max())
    second = step.choice.score - step.choice.margin
    rounded = np.ceil(scores * _GRID) / _GRID
    sure = (rounded - largest + noise < second - 1e-6) & (rounded <= largest) & np.isfinite(scores)
    return np.where(sure, rounded, scores)
