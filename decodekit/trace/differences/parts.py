"""The parts of a difference of two traces, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CAUSES",
    "Before",
    "Cause",
    "FieldDifference",
    "Parting",
    "SequenceDifference",
    "Side",
    "StageDifference",
]

Cause = Literal["none", "configuration", "tokenisation", "distribution", "processors", "draw", "choice", "end"]
CAUSES: tuple[Cause, ...] = (
    "none", "configuration", "tokenisation", "distribution", "processors", "draw", "choice", "end",
)  # fmt: skip
"""In the order of the computation; of several causes the first one is named."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field of the headers that differs.

    Args:
        field: its path in the header, such as 'seed' or 'chain.processors[0].params.temperature'.
        a, b: both values, as plain data; None where the field is absent.
        mattered: whether it is the named cause.
    """

    field: str
    a: Any
    b: Any
    mattered: bool = False


@dataclass(frozen=True, slots=True)
class StageDifference:
    """One stage of one step, in both traces.

    Args:
        name: 'raw' (the model's answer), the name of a processor, or 'final' (what was drawn from).
        place_a, place_b: its place among the processors of each chain; None for 'raw' and 'final', and for a processor
            that one chain does not have.
        compared: how many tokens have a recorded log-probability, and not zero probability, on both sides.
        only_a, only_b: how many recorded tokens have probability on this side only.
        drift: the largest change of a log-probability among the compared tokens, in nats; None where there are none.
        tv_low, tv_high: bounds on the total variation distance of the two distributions; None where a recorded
            log-probability is not normalised, or none was recorded.
        entropy_a, entropy_b: in nats; None where not known.
        support_a, support_b: how many tokens have probability; None where not known.
        top_a, top_b: (token id, log-probability in nats) of the leading recorded tokens.
        same: whether nothing recorded differs, up to the rounding of a sum; None where nothing can be compared. Lists
            without a common token differ if one has a token that is more likely than the least of the other.
        missing: how much is recorded, in words; '' where the whole of both distributions is.
    """

    name: str
    place_a: int | None
    place_b: int | None
    compared: int
    only_a: int
    only_b: int
    drift: float | None
    tv_low: float | None
    tv_high: float | None
    entropy_a: float | None
    entropy_b: float | None
    support_a: int | None
    support_b: int | None
    top_a: tuple[tuple[int, float], ...]
    top_b: tuple[tuple[int, float], ...]
    same: bool | None
    missing: str

    @property
    def in_both(self) -> bool:
        """Whether both chains have this stage."""
        return (self.place_a is None) == (self.place_b is None)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sequences where they part.

    Args:
        index: the step's place in its sequence.
        token_id: the token there; None where the sequence has ended.
        text: what the token added to the text.
        score, margin, runner_up: as of `decodekit.Choice`; None without a token.
        logprob, raw_logprob: of the token, in nats; None where not known.
        rank: how many tokens the model found more likely; None where not known.
        seed, stream, attempt: where its noise comes from; the attempt is None where nothing was drawn.
        word: the random word that decided, in hex; None where nothing was drawn.
        finish_reason: how the sequence ended; None if it goes on here, 'incomplete' where no end is recorded.
        sound: whether the recorded scores and noise give the recorded token; None where too little is recorded.
    """

    index: int
    token_id: int | None
    text: str
    score: float | None
    margin: float | None
    runner_up: int | None
    logprob: float | None
    raw_logprob: float | None
    rank: int | None
    seed: int
    stream: int
    attempt: int | None
    word: str | None
    finish_reason: str | None
    sound: bool | None


@dataclass(frozen=True, slots=True)
class Parting:
    """The first step where two sequences have other tokens, or where one of them has ended.

    Args:
        a, b: the two sides.
        stages: from the model's answer to what was drawn from; empty where one side has ended.
        drift: the largest change of a final log-probability, in nats; None where none can be compared.
        margin: the smaller margin of the two draws; None where one side has ended or drew nothing.
        explained: whether twice the drift reaches the larger margin of the two draws, so that the change of the
            distribution explains the other token; None where the noise is another, or a final score of one of the two
            tokens is not known on both sides.
    """

    a: Side
    b: Side
    stages: tuple[StageDifference, ...]
    drift: float | None
    margin: float | None
    explained: bool | None


@dataclass(frozen=True, slots=True)
class Before:
    """All steps before the parting, which have equal tokens; of equal sequences all steps.

    Args:
        steps: how many there are.
        compared: of how many the final scores can be compared.
        max_drift, mean_drift: of the final log-probabilities, in nats; None where none can be compared.
        max_at: the step of the largest drift; None where there is none.
        max_tv_low, max_tv_high: the largest bounds on the total variation distance of the final distributions.
        rank_changes: in how many steps the token has another rank under the model.
        first_step, first_stage: where a recorded value first differs, a stage or 'text', 'draw' or 'choice'; None where
            all agree. Draws are compared under one seed and stream.
    """

    steps: int
    compared: int
    max_drift: float | None
    mean_drift: float | None
    max_at: int | None
    max_tv_low: float | None
    max_tv_high: float | None
    rank_changes: int
    first_step: int | None
    first_stage: str | None


@dataclass(frozen=True, slots=True)
class SequenceDifference:
    """Two sequences that were laid beside each other.

    Args:
        stream_a, stream_b: which ones.
        paired_by: 'stream and prompt', 'prompt', 'stream' or 'order'.
        aligned_by: 'ids', or 'texts' where the same ids mean other tokens.
        tokens_a, tokens_b: how many tokens each has.
        equal: whether the tokens are equal, and where ids mean other tokens, never.
        same_text: whether the texts are equal, also where the tokens are not; None where no text is recorded.
        cause: why they part; 'none' if they do not.
        where: the field, the stage or the reason: such as 'seed', 'raw', 'top_p', 'stream', 'stop.max_tokens',
            'deadline'; '' if they do not part.
        step: the step of the first sequence where they part; None if they do not.
        why: the cause, in a sentence.
        also: what else differs at that step, in the order of the computation.
        before: the steps before.
        parting: the step itself; None if they do not part.
    """

    stream_a: int
    stream_b: int
    paired_by: str
    aligned_by: Literal["ids", "texts"]
    tokens_a: int
    tokens_b: int
    equal: bool
    same_text: bool | None
    cause: Cause
    where: str
    step: int | None
    why: str
    also: tuple[str, ...]
    before: Before
    parting: Parting | None
