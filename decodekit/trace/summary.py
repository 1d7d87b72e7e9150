"""The summary of an adapter's answer that a step keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from decodekit.distribution import Distribution, Origin, Stage
from decodekit.distribution.disclosure import Tail

__all__ = ["RawSummary"]


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
