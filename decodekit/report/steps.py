"""The steps of all runs as columns: numbers for display, the rows of each step's table, and what proves its draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from decodekit.report.columns import Columns, shares_shown
from decodekit.report.packed_evidence import PackedEvidence
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explanation import labels_for
from decodekit.trace.stages import grid
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import STRENGTH
from decodekit.view.stage_story import Row, Stage, rows_of, stages_of

__all__ = ["StepColumns"]

_UNKNOWN = math.nan


class StepColumns:
    """Collects steps.

    Args:
        label: what the tokenizer calls a token.

    Attributes:
        labelled: ids of tokens whose text the page shows.
        sentences: what each stage of each step did, in order.
    """

    def __init__(self, label: Callable[[int], str]) -> None:
        self._label = label
        self.labelled: set[int] = set()
        self.sentences: list[str] = []
        self._plain: list[tuple[Any, ...]] = []
        self._stages: list[tuple[float, ...]] = []
        self._stage_counts: list[int] = []
        self._row_counts: list[int] = []
        self._row_ids: list[int] = []
        self._shares: list[float] = []
        self._evidence = PackedEvidence(self.labelled)

    def add(self, trace: Trace, steps: Sequence[Step], words: Iterable[str], tokenizer: Tokenizer | None) -> None:
        """Add the steps of one sequence, each with the word of its verification; '' where it has none."""
        chain = trace.header.chain
        for step, word in zip(steps, words, strict=True):
            columns, lines = grid(step, chain)
            label = (
                self._label
                if tokenizer is not None and "tokens" not in (step.schedule or {})
                else labels_for(step, tokenizer)
            )
            rows = rows_of(lines, step.choice.runner_up, label)
            self._add_numbers(step, word)
            self._add_stages(stages_of(columns, rows, step))
            self._add_rows(rows)
        self._evidence.add(trace, steps)

    def first(self, columns: Columns) -> None:
        """Write what the coloured text needs."""
        index, token, surprisal, entropy, margin, rank, share, word = zip(
            *(each[:8] for each in self._plain), strict=True
        ) if self._plain else ((),) * 8  # fmt: skip
        columns.add("index", "id", index)
        columns.add("token", "id", token)
        columns.add("surprisal", "d3", surprisal)
        columns.add("entropy", "d3", entropy)
        columns.add("margin", "f8", margin)
        columns.add("rank", "id", rank)
        columns.add("share", "d5", shares_shown(share))
        columns.add("word", "u1", word)

    def rest(self, columns: Columns) -> None:
        """Write everything else."""
        names = ("runner_up", "score", "logprob", "domain", "attempt", "lane", "high", "low", "flags")
        kinds = ("id", "f8", "f8", "id", "id", "id", "u4", "u4", "u1")
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True), 8):
            columns.add(name, kind, [each[at] for each in self._plain])
        columns.add("stages", "u1", self._stage_counts)
        for at, name in enumerate(("support", "spread", "kl", "removed", "kept", "kept_low", "kept_high")):
            values = [each[at] for each in self._stages]
            kind = "id" if at == 0 else "d3" if name in ("spread", "kl") else "d5"
            columns.add(name, kind, shares_shown(values) if kind == "d5" else values)
        columns.add("rows", "u1", self._row_counts)
        columns.add("row_ids", "id", self._row_ids)
        columns.add("shares", "d5", shares_shown(self._shares))
        self._evidence.write(columns)

    def _add_numbers(self, step: Step, word: str) -> None:
        choice, draw = step.choice, step.draw
        logprob = _or(choice.logprob, _UNKNOWN)
        self._plain.append(
            (
                step.index,
                step.token_id,
                -_or(choice.raw_logprob, _UNKNOWN),
                _or(step.raw.entropy, _UNKNOWN),
                choice.margin,
                _or(choice.rank, -1),
                math.exp(min(_or(choice.raw_logprob, _UNKNOWN), 0.0)),
                STRENGTH.index(word) if word else 255,
                _or(choice.runner_up, -1),
                choice.score,
                logprob,
                -1 if draw is None else draw.domain,
                0 if draw is None else draw.attempt,
                0 if draw is None else draw.lane,
                0 if draw is None else draw.word >> 32,
                0 if draw is None else draw.word & 0xFFFFFFFF,
                (2 if step.complete is None else int(step.complete)) + 4 * (step.row is not None),
            )
        )

    def _add_stages(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            low, high = stage.kept_bounds or (_UNKNOWN, _UNKNOWN)
            numbers = (stage.entropy, stage.kl, stage.mass_removed, stage.kept_mass)
            self._stages.append((_or(stage.support, -1), *(_or(each, _UNKNOWN) for each in numbers), low, high))
            self.sentences.append(stage.sentence)
        self._stage_counts.append(len(stages))

    def _add_rows(self, rows: Sequence[Row]) -> None:
        self._row_counts.append(len(rows))
        for row in rows:
            self._row_ids.append(row.token_id)
            self._shares.extend(_or(share, _UNKNOWN) for share in row.probabilities)
            self.labelled.add(row.token_id)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
