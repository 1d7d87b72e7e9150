"""The record of one token: what the model said, what each processor made of it, the draw, and the choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from decodekit.chain import Entry
from decodekit.distribution import Distribution, Origin, Schedule, Stage
from decodekit.distribution.disclosure import Disclosure, Tail
from decodekit.draw.choice import Choice, Draw
from decodekit.trace.evidence import Evidence

__all__ = ["Abandoned", "FinishReason", "Level", "RawSummary", "Step", "Timing"]

Level = Literal["choice", "proof", "full"]
FinishReason = Literal["stop", "length", "deadline", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class RawSummary:
    """What the adapter answered, in short.

    Args:
        disclosed: how many tokens were shown.
        support: how many have probability; None on a head with a tail.
        entropy: in nats; None on a head with a tail, unless the adapter stated it.
        log_normalizer: in nats; None where a tail leaves it open.
        origin: 'logits' or 'logprobs'.
        stage: 'raw', 'processed' or 'unknown'.
        temperature: what the provider had applied.
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
    def of(dist: Distribution, top: int) -> RawSummary:
        """Summarise a distribution."""
        whole = dist.tail is None
        ids, logprobs = dist.leading(top)
        return RawSummary(
            disclosed=len(dist.scores) if dist.token_ids is not None else dist.vocab_size or 0,
            support=dist.support_size if whole else None,
            entropy=dist.entropy if dist.knows_entropy else None,
            log_normalizer=dist.log_normalizer if whole or dist.stage == "raw" else None,
            origin=dist.origin,
            stage=dist.stage,
            temperature=dist.temperature,
            tail=dist.tail,
            top=tuple(zip(ids.tolist(), logprobs.tolist(), strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one step went, in seconds.

    Args:
        predict: waiting for the adapter; shared by all rows of a batch.
        chain: processors, sampler and evidence.
    """

    predict: float
    chain: float


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A branch that was written and taken back.

    Args:
        why: the banned phrase it completed.
        attempt: the attempt of its last token's noise.
        token_ids: its tokens, from the place that was gone back to.
    """

    why: str
    attempt: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One generated token and why it was that one.

    Args:
        index: the number of tokens generated before.
        token_id: the token.
        text: the text it added; empty while a character or a possible stop string is incomplete.
        raw: the adapter's distribution, in short.
        entries: one per processor, in order.
        draw: the deciding random word; None when nothing was random.
        choice: the choice.
        schedule: how the adapter computed the distribution, or None.
        timing: in seconds; not part of the content of a trace.
        stream: which sequence of the run.
        evidence: what proves the draw; None at level 'choice'.
        row: the raw scores as the adapter gave them, at level 'full': (ids or None for all in id order, scores).
        asked: what had to be asked for after the first answer: (who asked, for what).
        abandoned: the branches that were taken back to this place, or to a later one on the way, oldest first.
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
    row: tuple[NDArray[np.int64] | None, NDArray[np.floating]] | None = None
    asked: tuple[tuple[str, Disclosure], ...] = ()
    abandoned: tuple[Abandoned, ...] = ()

    def __repr__(self) -> str:
        more = f", stream={self.stream}" if self.stream else ""
        return f"Step({self.index}, {self.text!r}, token_id={self.token_id}, logprob={self.choice.logprob:.4g}{more})"

    def answer(self, vocab_size: int | None) -> Distribution | None:
        """What the adapter answered, made again from `row`; None below level 'full'."""
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
        )
