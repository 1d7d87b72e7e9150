"""The evidence of the draws, small enough for a page and still a proof.

The page draws again from it. Where the record has a floor, no normaliser is computed from the listed scores, so that
the score of a token that lost may be rounded up: its upper bound loses too. It stays exact where the bound would not.
"""

from __future__ import annotations

import math

import numpy as np

from decodekit.report.columns import Columns
from decodekit.trace.redraw import noise_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import Floats

__all__ = ["PackedEvidence"]

_GRID = 2.0**10  # scores of losers are rounded up to a multiple of its inverse
_ROOM = 1_500_000  # bytes of evidence in a page, before base64
_EXACT, _ROUNDED = 10, 5  # bytes of one token and its score, deflated
_DIGITS = 8  # more bytes, deflated, of an id that is written as decimal digits
_LARGEST_NUMBER = 2**53  # ids from here on are written so
_SHOWN = 12  # the leading tokens of a race


class PackedEvidence:
    """Collects the evidence of steps, up to the room that a page has for it.

    Args:
        labelled: gets the ids of the tokens that a picture of the draw shows.
    """

    def __init__(self, labelled: set[int]) -> None:
        self._labelled = labelled
        self._counts: list[int] = []
        self._floors: list[float] = []
        self._ids: list[np.ndarray] = []
        self._scores: list[Floats] = []
        self._used = 0

    def add(self, trace: Trace, step: Step) -> None:
        """Add the evidence of the next step; -1 in place of its size says that there was no room for it."""
        evidence = step.evidence
        if evidence is None:
            return self._leave_out(0)
        race = trace.header.chain["sampler"].get("name") == "multinomial"
        floored = race and evidence.floor is not None
        wide = _DIGITS if evidence.token_ids.max() >= _LARGEST_NUMBER else 0
        size = len(evidence.token_ids) * (wide + (_ROUNDED if floored else _EXACT))
        if self._used + size > _ROOM:
            return self._leave_out(-1)
        self._used += size
        order = np.argsort(evidence.token_ids, kind="stable")
        ids, scores = evidence.token_ids[order], evidence.scores[order]
        totals = scores
        if race and step.draw is not None:
            noise = noise_of(trace, step, step.draw.attempt).gumbel(ids)
            totals = scores + noise
            if floored:
                scores = _rounded_up(step, scores, noise)
        for ranked in (scores, totals):
            self._labelled.update(ids[np.argsort(-ranked, kind="stable")[:_SHOWN]].tolist())
        self._counts.append(len(ids))
        self._floors.append(math.nan if evidence.floor is None else evidence.floor)
        self._ids.append(np.diff(ids, prepend=0))
        self._scores.append(scores)
        return None

    def write(self, columns: Columns) -> None:
        """Write the columns; ids are differences of rising ids."""
        columns.add("evidence", "i4", self._counts)
        columns.add("floor", "f8", self._floors)
        columns.add("evidence_ids", "id", np.concatenate(self._ids) if self._ids else [])
        columns.add("evidence_scores", "f8", np.concatenate(self._scores) if self._scores else [])

    def _leave_out(self, count: int) -> None:
        self._counts.append(count)
        self._floors.append(math.nan)


def _rounded_up(step: Step, scores: Floats, noise: Floats) -> Floats:
    """Scores of losers as the next multiple of the grid, wherever the token then still loses to the runner-up."""
    largest = float(scores.max())
    second = step.choice.score - step.choice.margin
    rounded = np.ceil(scores * _GRID) / _GRID
    sure = (rounded - largest + noise < second - 1e-6) & (rounded <= largest) & np.isfinite(scores)
    return np.where(sure, rounded, scores)
