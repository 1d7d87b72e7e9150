"""The record of a token that a provider drew."""

from __future__ import annotations

from decodekit.chain.entry import known
from decodekit.distribution.disclosure import Tail
from decodekit.draw.choice import Choice
from decodekit.model.drawn import DrawnToken
from decodekit.trace.named_texts import DRAWN_BY
from decodekit.trace.step import Level, Step, Timing
from decodekit.trace.summary import RawSummary

__all__ = ["drawn_step"]

_NOTHING_SHOWN = RawSummary(0, None, None, None, "logprobs", "unknown", 1.0, Tail(1.0, 1.0, None, 0.0), ())


def drawn_step(drawn: DrawnToken, *, index: int, stream: int, text: str, level: Level, top: int, waited: float) -> Step:
    """The record of a token that the provider drew.

    Its log-probability after the chain is known only where the provider's list is of processed values.
    """
    token_id, shown = drawn.token_id, drawn.shown
    choice = Choice(token_id=token_id, logprob=None)
    raw = _NOTHING_SHOWN
    row = None
    if shown is not None:
        logprob = known(shown.logprob, token_id)
        choice = Choice(
            token_id=token_id,
            logprob=logprob if shown.stage == "processed" else None,
            raw_logprob=logprob,
            rank=known(shown.rank, token_id),
        )
        raw = RawSummary.brief(shown) if level == "none" else RawSummary.of(shown, top)
        row = (shown.token_ids, shown.scores) if level == "full" else None
    return Step(
        index=index,
        token_id=token_id,
        text=text,
        raw=raw,
        entries=(),
        draw=None,
        choice=choice,
        schedule={DRAWN_BY: "the provider", **(drawn.schedule or {})},
        timing=Timing(waited, 0.0),
        stream=stream,
        row=row,
    )
