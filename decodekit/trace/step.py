"""The record of one token: the model's answer, what each processor did, the draw, and the choice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from decodekit.chain import Entry
from decodekit.distribution import Distribution, Origin, Schedule, Stage
from decodekit.distribution.disclosure import Disclosure, Tail
from decodekit.draw.choice import Choice, Draw
from decodekit.trace.evidence import Evidence
from decodekit.types import Ids

__all__ = ["Abandoned", "FinishReason", "Level", "RawSummary", "Step", "Timing"]

Level = Literal["none", "choice", "proof", "full"]
FinishReason = Literal["stop", "length", "deadline", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class RawSummary:
    """A summary of the adapter's answer.

    Args:
        disclosed: how many tokens were shown.
        support: how many have probability; None on a head with a tail, unless the adapter gave it.
        entropy: in nats; None on a head with a tail, unless the adapter gave it.
        log_normalizer: in nats; None where a tail makes it unknown.
        origin: 'logits' or 'logprobs'.
        stage: 'raw', 'processed' or 'unknown'.
        temperature: the temperature that the provider had applied.
        tail: what was undisclosed; None when nothing was.
        top: (token id, logprob) of the leading tokens.
    """

    disclosed: int
    support: int | None
    entropy: float | None
    log_normalizer: float | None
    origin: Origin
    stage: Stage
    temperature: float
    tail: Tail | None
    top: tuple[tuple[int, float], ...]

    @staticmethod
    def brief(dist: Distribution) -> RawSummary:
        """Only the labels, for a step that is not recorded: nothing is computed."""
        return _brief(len(dist.row), dist.origin, dist.stage, dist.temperature)

    @staticmethod
    def of(dist: Distribution, top: int) -> RawSummary:
        """Summarise a distribution."""
        row, whole = dist.row, dist.hidden is None
        ids, logprobs = dist.leading(top)
        return RawSummary(
            disclosed=len(row),
            support=row.support_size if dist.hidden is None else dist.hidden.support,
            entropy=dist.entropy if dist.knows_entropy else None,
            log_normalizer=dist.log_normalizer if whole or dist.stage == "raw" else None,
            origin=dist.origin,
            stage=dist.stage,
            temperature=dist.temperature,
            tail=dist.tail,
            top=tuple(zip(ids.tolist(), logprobs.tolist(), strict=True)),
        )


@lru_cache(maxsize=256)
def _brief(disclosed: int, origin: Origin, stage: Stage, temperature: float) -> RawSummary:
    return RawSummary(disclosed, None, None, None, origin, stage, temperature, None, ())


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of one step, in seconds.

    Args:
        predict: the time for which the adapter's answer was waited for; the same for all rows of a batch.
        chain: processors, sampler and evidence.
    """

    predict: float
    chain: float


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A branch that was written and taken back.

    Args:
        why: the banned phrase that it completed.
        attempt: the attempt of its last token's noise.
        token_ids: its tokens, from the place to which decoding went back.
    """

    why: str
    attempt: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One generated token and why it was chosen.

    Args:
        index: the number of tokens generated before.
        token_id: the token.
        text: the text it added; empty while a character or a possible stop string is incomplete.
        raw: a summary of the adapter's distribution.
        entries: one per processor, in order.
        draw: the random word that decided; None when nothing was random.
        choice: the choice.
        schedule: how the adapter computed the distribution, or None.
        timing: in seconds; not part of the content of a trace.
        stream: which sequence of the run.
        evidence: what proves the draw; None at level 'choice'.
        row: the raw scores as the adapter gave them, at level 'full': (ids, scores); ids is None if the scores are of
            all tokens in id order.
        asked: what was asked for after the first answer: (the question, the disclosure it needs).
        abandoned: the branches that were taken back before this step was settled, oldest first.
    """

    index: int
    token_id: int
    text: str
    raw: RawSummary
    entries: tuple[Entry, ...]
    draw: Draw | None
    choice: Choice
    schedule: Schedule | None
    timing: Timing
    stream: int = 0
    evidence: Evidence | None = None
    row: tuple[Ids | None, NDArray[np.floating]] | None = None
    asked: tuple[tuple[str, Disclosure], ...] = ()
    abandoned: tuple[Abandoned, ...] = ()

    def __repr__(self) -> str:
        more = f", stream={self.stream}" if self.stream else ""
        logprob = "unknown" if self.choice.logprob is None else f"{self.choice.logprob:.4g}"
        return f"Step({self.index}, {self.text!r}, token_id={self.token_id}, logprob={logprob}{more})"

    def answer(self, vocab_size: int | None) -> Distribution | None:
        """The adapter's answer, built again from `row`; None below level 'full'."""
        if self.row is None:
            return None
        (ids, row), raw = self.row, self.raw
        if ids is None:
            return Distribution.dense(row, origin=raw.origin, stage=raw.stage, temperature=raw.temperature)
        bound = raw.tail.max_logprob if raw.tail is not None else None
        return Distribution.head(
            ids,
            row,
            vocab_size,
            stage=raw.stage,
            temperature=raw.temperature,
            max_hidden=bound,
            entropy=raw.entropy,
            support=raw.support,
        )
