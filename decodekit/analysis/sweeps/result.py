"""The results of a sweep, and what they say of its chains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from decodekit.analysis.numbers.statistics import Estimate, mean, paired_difference, pass_at_k_over
from decodekit.analysis.sweeps.check_running import Checked
from decodekit.analysis.sweeps.folder import Repeat, first_difference
from decodekit.analysis.sweeps.units import Task, Unit
from decodekit.analysis.texts.voting import agreement, distinct_n, majority_vote, minimum_bayes_risk
from decodekit.errors import ParameterError, did_you_mean

__all__ = ["Divergence", "Row", "Sweep"]


@dataclass(frozen=True, slots=True)
class Row:
    """One unit.

    Args:
        task, chain: the indices of its prompt and its chain.
        sample, stream, key: as in `Unit`.
        text, token_ids, finish_reason: of the result; '' and () where it failed.
        error: why it failed.
        value: what the check said, 0 to 1; None without a check, or where that failed.
        vote: the answer that the check read in the text; None where there is none. The text, where nothing reads it.
        check_error: why the check failed.
    """

    task: int
    chain: int
    sample: int
    stream: int
    key: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    error: str | None
    value: float | None
    vote: str | None
    check_error: str | None

    @classmethod
    def of(cls, unit: Unit, data: dict[str, Any] | None, error: str | None, said: Checked | None) -> Row:
        """A row from what is known of a unit."""
        data = {"text": "", "token_ids": (), "finish_reason": "error"} if data is None else data
        vote = data["text"].strip() if said is None else said.vote
        return cls(
            unit.task, unit.chain, unit.sample, unit.stream, unit.key,
            data["text"], tuple(data["token_ids"]), data["finish_reason"], error,
            None if said is None else said.value, vote, None if said is None else said.error,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the texts of two chains part under the same noise.

    Args:
        steps: the first step that differs, for each pair of samples; inf where they are equal to their ends.
    """

    steps: tuple[float, ...]

    @property
    def equal(self) -> float:
        """The share of the pairs that never part."""
        return sum(map(math.isinf, self.steps)) / len(self.steps)

    @property
    def median(self) -> float:
        """The step before which half of the pairs have parted; inf where fewer part."""
        return float(median(self.steps))


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep. Where a method takes a chain, that is its name.

    Units that failed and texts whose check failed are in `rows` and in no estimate.

    Args:
        tasks: the prompts.
        chains: the names of the chains.
        samples: of each prompt with each chain.
        seed: of all.
        check: the name of the check.
        rows: one for each unit that is there, chain by chain and prompt by prompt.
        missing: how many units other workers have not made yet.
        repeats: units that two workers made: where they differ, the model is not deterministic.
        notes: what to know about the keys of these results.
    """

    tasks: list[Task]
    chains: list[str]
    samples: int
    seed: int
    check: str | None
    rows: list[Row]
    missing: int = 0
    repeats: list[Repeat] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def by_prompt(self, chain: str) -> dict[int, list[Row]]:
        """The rows of a chain that did not fail, by the index of their prompt. Raises `ParameterError` for no chain."""
        if chain not in self.chains:
            raise ParameterError(f"there is no chain {chain!r}{did_you_mean(chain, self.chains)}")
        own, found = self.chains.index(chain), defaultdict[int, list[Row]](list)
        for row in self.rows:
            if row.chain == own and row.error is None:
                found[row.task].append(row)
        return found

    def score(self, chain: str) -> Estimate:
        """The mean of the check's values: pass@1 where they are 0 and 1. Clustered by prompt."""
        rows = [row for own in self._checked(chain).values() for row in own]
        return mean([row.value or 0.0 for row in rows], [row.task for row in rows])

    def pass_at_k(self, chain: str, k: int) -> Estimate:
        """The chance that one of k samples is correct, over the prompts with at least k.

        Raises:
            ParameterError: a value that is neither 0 nor 1, or no prompt has k samples.
        """
        checked = self._checked(chain)
        if any(row.value not in (0.0, 1.0) for own in checked.values() for row in own):
            raise ParameterError("pass@k is for checks that say right or wrong")
        outcomes = [(len(own), sum(row.value == 1 for row in own)) for own in checked.values() if len(own) >= k]
        if not outcomes:
            raise ParameterError(f"pass@{k} needs a prompt with at least {k} checked samples")
        return pass_at_k_over(outcomes, k)

    def majority(self, chain: str) -> Estimate:
        """The value of the sample whose vote is the most frequent one, over prompts."""
        return mean([own[_most_voted(own)].value or 0.0 for own in self._checked(chain).values()])

    def minimum_bayes_risk(self, chain: str, similarity: Callable[[str, str], float] | None = None) -> Estimate:
        """The value of the sample that is most similar to the others of its prompt, over prompts."""
        by_prompt = self._checked(chain).values()
        chosen = [own[minimum_bayes_risk([row.text for row in own], similarity)] for own in by_prompt]
        return mean([row.value or 0.0 for row in chosen])

    def agreement(self, chain: str) -> Estimate:
        """The chance that two samples of a prompt have the same vote: self-consistency."""
        return mean([agreement([row.vote for row in own]) for own in self.by_prompt(chain).values()])

    def distinct(self, chain: str, n: int) -> Estimate:
        """Different n-grams of tokens as a share of all, among the samples of a prompt."""
        return mean([distinct_n([row.token_ids for row in own], n) for own in self.by_prompt(chain).values()])

    def difference(self, one: str, other: str) -> Estimate:
        """The mean of ``other - one``, paired by prompt and sample, clustered by prompt."""
        pairs = self._pairs(one, other, checked=True)
        values = [[row.value or 0.0 for row in side] for side in zip(*pairs, strict=True)]
        return paired_difference(values[0], values[1], [left.task for left, _ in pairs])

    def variance_saved(self, one: str, other: str) -> float:
        """How much of the variance of `difference` that comes from sampling the common noise saves: 0 nothing, 1 all.

        Within prompts: 1 - Var(other - one) / (Var(one) + Var(other)). Negative where the noise does harm; NaN where
        nothing varies.
        """
        groups = defaultdict[int, list[tuple[float, float]]](list)
        for left, right in self._pairs(one, other, checked=True):
            groups[left.task].append((left.value or 0.0, right.value or 0.0))
        together = apart = 0.0
        for values in groups.values():
            if len(values) > 1:
                a, b = np.array(values).T
                together += float((b - a).var(ddof=1))
                apart += float(a.var(ddof=1) + b.var(ddof=1))
        return 1 - together / apart if apart else math.nan

    def divergence(self, one: str, other: str) -> Divergence:
        """Where the texts of two chains part, sample by sample."""
        found = [
            first_difference(left.token_ids, right.token_ids) for left, right in self._pairs(one, other, checked=False)
        ]
        return Divergence(tuple(math.inf if at is None else float(at) for at in found))

    def _checked(self, chain: str) -> dict[int, list[Row]]:
        by_prompt = {task: [r for r in own if r.value is not None] for task, own in self.by_prompt(chain).items()}
        if self.check is None:
            raise ParameterError("check: this sweep has none, so nothing is right or wrong")
        found = {task: own for task, own in by_prompt.items() if own}
        if not found:
            raise ParameterError(f"chain {chain!r} has no checked samples")
        return found

    def _pairs(self, one: str, other: str, *, checked: bool) -> list[tuple[Row, Row]]:
        left, right = (
            {(row.task, row.sample): row for own in self.by_prompt(chain).values() for row in own}
            for chain in (one, other)
        )
        if checked:
            for chain in (one, other):
                self._checked(chain)
        pairs = [(left[at], right[at]) for at in left if at in right]
        pairs = [pair for pair in pairs if not checked or all(row.value is not None for row in pair)]
        if not pairs:
            raise ParameterError(f"chains {one!r} and {other!r} have no samples in common")
        return pairs


def _most_voted(own: Sequence[Row]) -> int:
    """The index of the first sample with the most frequent vote; the first sample where none has a vote."""
    votes = [row.vote for row in own]
    return majority_vote(votes).index if any(vote is not None for vote in votes) else 0
