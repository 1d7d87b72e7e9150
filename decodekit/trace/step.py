"""The record of one token: the model's answer, what each processor did, the draw, and the choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from decodekit.chain import Entry
from decodekit.distribution import Distribution, Schedule
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.choice import Choice, Draw
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.by_value import ByValue
from decodekit.trace.evidence import Evidence
from decodekit.trace.explanation import Explanation, explain_step
from decodekit.trace.summary import RawSummary
from decodekit.types import Ids

__all__ = ["Abandoned", "Explains", "FinishReason", "Level", "Step", "Timing"]

Level = Literal["none", "choice", "proof", "full"]
FinishReason = Literal["stop", "tool_calls", "length", "context", "deadline", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of one step, in seconds.

    Args:
        predict: the time for which the adapter's answer was waited for; the same for all rows of a batch.
        chain: processors, sampler and evidence.
    """

    predict: float
    chain: float


class Explains(Protocol):
    """What knows the run of a step (`decodekit.trace.origin`)."""

    def explain(self, step: Step, tokenizer: Tokenizer | None) -> Explanation:
        """Why the step's token was chosen."""
        ...


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
class Step(ByValue):
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
        complete: whether the text may end here; None where no part of the chain says.
        asked: what was asked for after the first answer: (the question, the disclosure it needs).
        abandoned: the branches that were taken back before this step was settled, oldest first.
        origin: its run, for `explain`; None for a step that was read from a file, and for a copy. No part of what it
            says.
    """

    index: int
    token_id: int
    text: str
    raw: RawSummary
    entries: tuple[Entry, ...]
    draw: Draw | None
    choice: Choice
    schedule: Schedule | None
    timing: Timing = field(compare=False)
    stream: int = 0
    evidence: Evidence | None = None
    row: tuple[Ids | None, NDArray[np.floating]] | None = None
    complete: bool | None = None
    asked: tuple[tuple[str, Disclosure], ...] = ()
    abandoned: tuple[Abandoned, ...] = ()
    origin: Explains | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        more = f", stream={self.stream}" if self.stream else ""
        logprob = "unknown" if self.logprob is None else f"{self.logprob:.4g}"
        return f"Step({self.index}, {self.text!r}, token_id={self.token_id}, logprob={logprob}{more})"

    @property
    def logprob(self) -> float | None:
        """The token's log-probability after the chain, in nats: of the law that it was drawn from."""
        return self.choice.logprob

    @property
    def raw_logprob(self) -> float | None:
        """The token's log-probability as the model gave it, in nats: ``Token.logprob``."""
        return self.choice.raw_logprob

    def explain(self, tokenizer: Tokenizer | None = None) -> Explanation:
        """Why this token was chosen: a table of text with ``str``, of HTML in a notebook.

        It is that of `Result.explain` where the step comes from a run of this process. Of a step that was read from a
        file, the texts of the other tokens need the model's ``tokenizer``, and neither the parameters of the chain nor
        the verdict are known.
        """
        return explain_step(self, tokenizer=tokenizer) if self.origin is None else self.origin.explain(self, tokenizer)

    def _repr_html_(self) -> str:
        return self.explain().to_html()

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
