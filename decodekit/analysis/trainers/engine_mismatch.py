"""How far the probabilities of a trainer's model are from those that rollouts were drawn with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decodekit.analysis.numbers.given_numbers import between
from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.trainers.rows import Rollout
from decodekit.chain import Chain
from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter
from decodekit.model.stored import forget
from decodekit.session import Session

__all__ = ["Mismatch", "mismatch"]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Rollouts against another computation of their probabilities. mu is the behaviour's, pi the other's; in nats.

    All tokens count, those that a chain forced too: mu is 1 there, and pi is not, unless its chain forces them as well.

    Args:
        tokens: how many were compared.
        forced: how many of them have a loss mask of 0.
        max_gap, mean_gap: of ``|log pi - log mu|``.
        k1: the mean of ``log mu - log pi``, an unbiased estimate of KL(mu || pi) a token, with its error by sequence.
        k3: the mean of ``r - 1 - log r`` with ``r = pi / mu``: never negative; of the same mean where mu can
            draw all that pi can, and below it after a truncation.
        truncated_tokens: the share of tokens with a ratio over the cap, which truncated importance sampling cuts.
        truncated_sequences: the share of sequences whose product of ratios is over the cap.
        model_max_gap: the largest difference of the two models' own log-probabilities, before any chain.
        lost: how many tokens pi cannot draw; they are in no mean above, and each is a sequence of weight 0.
        cap: of the ratio.
    """

    tokens: int
    forced: int
    max_gap: float
    mean_gap: float
    k1: Estimate
    k3: Estimate
    truncated_tokens: float
    truncated_sequences: float
    model_max_gap: float
    lost: int
    cap: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def mismatch(
    rows: Iterable[Rollout], adapter: Adapter, chain: Chain | str | None = None, *, cap: float = 2.0
) -> Mismatch:
    """Compare rollouts with what another adapter says of their tokens, each in one teacher-forced pass.

    Args:
        rows: the rollouts.
        adapter: of the trainer, or of another engine.
        chain: what pi is: this chain over the adapter; None for the adapter's own distribution, which is what most
            trainers compute. The chain of the rollouts themselves leaves only the engines' difference. A trainer that
            masks forced tokens leaves their ratios out, and so a part of pi / mu: compare under the chain then.
        cap: of the ratio pi / mu.

    Raises:
        ParameterError: no tokens to compare, none that pi can draw, a chain without one law, or a cap not above 0.
        DecodekitError: the adapter's error for a sequence.
    """
    cap = between(cap, "cap", 0, math.inf)
    gaps: list[float] = []
    owners: list[int] = []
    totals: list[float] = []
    model_gap, forced, lost = 0.0, 0, 0
    forget(adapter)  # it may hold the answers that the rollouts were drawn from
    with Session(adapter) as session:
        for number, row in enumerate(rows):
            if not row.token_ids:
                continue
            score = session.score(row.prompt_ids, row.token_ids, chain=chain)
            law = score if score.under_chain is None else score.under_chain
            for ours, theirs in zip(row.model_logprobs, score.logprobs, strict=True):
                model_gap = max(model_gap, 0.0 if ours is None else abs(theirs - ours))
            own = [pi - mu for pi, mu in zip(law.logprobs, row.logprobs, strict=True)]
            totals.append(math.fsum(own) if min(own) > -math.inf else -math.inf)
            forced += row.loss_mask.count(0)
            lost += own.count(-math.inf)
            gaps += [gap for gap in own if gap > -math.inf]
            owners += [number] * (len(own) - own.count(-math.inf))
    if not totals:
        raise ParameterError("there is no token to compare: no sequence has one")
    if not gaps:
        raise ParameterError(f"pi can draw none of the {lost} tokens: there is no gap to average")
    ratio = np.array(gaps)
    return Mismatch(
        tokens=len(gaps) + lost,
        forced=forced,
        max_gap=float(np.abs(ratio).max()),
        mean_gap=float(np.abs(ratio).mean()),
        k1=mean(-ratio, owners),
        k3=mean(np.expm1(ratio) - ratio, owners),
        truncated_tokens=float((ratio > math.log(cap)).sum()) / (len(gaps) + lost),
        truncated_sequences=float(np.mean([total > math.log(cap) for total in totals])),
        model_max_gap=model_gap,
        lost=lost,
        cap=cap,
    )
