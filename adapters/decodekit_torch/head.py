"""The head of a distribution, computed on the device of the logits: one small transfer instead of whole rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from decodekit.distribution import Distribution, Schedule
from decodekit.errors import DecodekitError, DistributionError
from decodekit.model.adapter import Answer

__all__ = ["heads", "statistics"]


def statistics(rows: torch.Tensor) -> torch.Tensor:
    """The log-normaliser and the entropy of each row, in nats, and how many tokens have probability: float64[3, n].

    They stay on the rows' device.

    Args:
        rows: float[n, V], logits.
    """
    wide = rows.double()
    log_normalizer = torch.logsumexp(wide, -1)
    probabilities = (wide - log_normalizer[:, None]).exp()
    entropy = torch.special.entr(probabilities).sum(-1).clamp_min(0.0)
    return torch.stack([log_normalizer, entropy, (rows > -torch.inf).sum(-1).double()])


def heads(
    rows: torch.Tensor,
    top: int,
    ids: Sequence[int],
    schedules: Sequence[Schedule],
    summed: torch.Tensor | None = None,
) -> list[Answer]:
    """The ``top`` most likely tokens of each row and the tokens of ``ids``, with log-probabilities; the rest bounded.

    Each head states the entropy of its whole row, and how many of its tokens have probability.

    Args:
        rows: float[n, V], logits on any device.
        top: how many, at least 1.
        ids: tokens requested by id, in every row.
        schedules: how each row was computed.
        summed: the `statistics` of the rows, if they were computed before.
    """
    count, size = rows.shape
    top = min(top, size)
    log_normalizer, entropy, support = statistics(rows) if summed is None else summed
    scores, leaders = torch.topk(rows, top, dim=-1)
    named = torch.tensor(ids, dtype=torch.int64, device=rows.device).expand(count, -1)
    chosen = torch.cat([leaders, named], -1)
    logprobs = torch.cat([scores, rows.gather(-1, named)], -1).double() - log_normalizer[:, None]
    # Token ids are exact in float64, so everything fits in one transfer.
    packed = torch.cat([entropy[:, None], support[:, None], chosen.double(), logprobs], -1).cpu().numpy()
    answers: list[Answer] = []
    for row, schedule in zip(packed, schedules, strict=True):
        stated, (numbers, values) = (float(row[0]), int(row[1])), row[2:].reshape(2, -1)
        known = dict(zip(numbers.astype("int64").tolist(), values.tolist(), strict=True))
        try:
            answers.append(_head(known, float(values[:top].min()), stated, size, schedule))
        except DecodekitError as error:
            answers.append(error)
    return answers


def _head(
    known: dict[int, float], smallest: float, stated: tuple[float, int], size: int, schedule: Schedule
) -> Distribution:
    if any(value != value for value in known.values()):
        raise DistributionError("the logits of this row hold NaN or +inf")
    bound = smallest if smallest > float("-inf") else -1e300  # every token that was left out has no probability
    entropy, support = stated
    return Distribution.head(
        list(known), list(known.values()), size, schedule=schedule, max_hidden=bound, entropy=entropy, support=support
    )
