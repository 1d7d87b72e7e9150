"""A step as one row of a table."""

from __future__ import annotations

import math
from typing import Any

from decodekit.trace.named_texts import DRAWN_BY
from decodekit.trace.step import Step

__all__ = ["row_of"]


def row_of(step: Step) -> dict[str, Any]:
    """A step as a dict of plain types, with the names of the columns of a Parquet table where both have them.

    Returns:
        ``stream``, ``step``, ``token_id``, ``text``; ``logprob`` after the chain and ``raw_logprob`` of the model, in
        nats, ``rank``, ``score``, ``margin``, ``runner_up``; ``word`` in hex; ``raw_support``, ``raw_entropy`` in nats,
        ``raw_top`` as lists of id and logprob; ``processors``, a dict for each; and ``predict_seconds``,
        ``chain_seconds``. None stands for what is not known, and for an infinite number, which JSON does not have: the
        margin of the only token that is left.
    """
    choice, raw = step.choice, step.raw
    drawn_here = DRAWN_BY not in (step.schedule or {})
    return {
        "stream": step.stream,
        "step": step.index,
        "token_id": step.token_id,
        "text": step.text,
        "logprob": _finite(choice.logprob),
        "raw_logprob": _finite(choice.raw_logprob),
        "rank": choice.rank,
        "score": _finite(choice.score) if drawn_here else None,
        "margin": _finite(choice.margin) if drawn_here else None,
        "runner_up": choice.runner_up,
        "word": None if step.draw is None else f"{step.draw.word:016x}",
        "raw_support": raw.support,
        "raw_entropy": _finite(raw.entropy),
        "raw_top": [[token_id, _finite(logprob)] for token_id, logprob in raw.top],
        "processors": [
            {
                "name": entry.name,
                "support": entry.support,
                "entropy": _finite(entry.entropy),
                "kl": _finite(entry.kl),
                "mass_removed": _finite(entry.mass_removed),
                "kept_mass": _finite(entry.kept_mass),
            }
            for entry in step.entries
        ],
        "predict_seconds": step.timing.predict,
        "chain_seconds": step.timing.chain,
    }


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
