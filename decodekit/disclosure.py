"""How much of a distribution is wanted, and what is known of the part that was not shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from decodekit.errors import ParameterError

__all__ = ["ALL", "CHEAP", "Disclosure", "Interval", "Tail", "for_each"]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What part of a distribution is wanted, or can be had.

    Args:
        top: how many of the most likely tokens; None when no number was asked for.
        ids: token ids wanted by name, likely or not.
        kind: 'named' for the two above; the constants `ALL` (the whole vocabulary) and `CHEAP` (whatever costs the
            adapter little) are the other two.
    """

    top: int | None = None
    ids: tuple[int, ...] = ()
    kind: Literal["named", "all", "cheap"] = "named"

    def __post_init__(self) -> None:
        if self.top is not None and (isinstance(self.top, bool) or self.top < 1):
            raise ParameterError(f"Disclosure.top must be a positive integer or None, not {self.top!r}")

    def covers(self, need: Disclosure) -> bool:
        """Whether an answer of this size contains everything ``need`` asks for. Named ids need their names."""
        if self.kind == "all" or need.kind == "cheap" or need == Disclosure():
            return True
        if self.kind == "cheap" or need.kind == "all":
            return False
        return (need.top or 0) <= (self.top or 0) and set(need.ids) <= set(self.ids)

    def __or__(self, other: Disclosure) -> Disclosure:
        """The smallest disclosure that covers both."""
        if self.covers(other):
            return self
        if other.covers(self):
            return other
        top = max(self.top or 0, other.top or 0) or None
        return Disclosure(top, tuple(dict.fromkeys(self.ids + other.ids)))

    def __str__(self) -> str:
        if self.kind != "named":
            return "the whole vocabulary" if self.kind == "all" else "whatever is cheap"
        parts = [f"the {self.top} most likely tokens"] if self.top else []
        if self.ids:
            shown = ", ".join(map(str, self.ids[:5])) + (", …" if len(self.ids) > 5 else "")
            parts.append(f"{len(self.ids)} tokens by id ({shown})")
        return " and ".join(parts) or "nothing"


ALL = Disclosure(kind="all")
CHEAP = Disclosure(kind="cheap")


def for_each(disclose: Disclosure | Sequence[Disclosure], count: int) -> list[Disclosure]:
    """What is wanted of each of ``count`` prefixes: the same of all, or one disclosure for each.

    Raises:
        ParameterError: there are not as many as prefixes.
    """
    if isinstance(disclose, Disclosure):
        return [disclose] * count
    if len(disclose) != count:
        raise ParameterError(f"there are {len(disclose)} disclosures for {count} prefixes; give one, or one for each")
    return list(disclose)


class Interval(NamedTuple):
    """A closed interval that is sure to hold a value."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tail:
    """What is known of the tokens that were not disclosed.

    Args:
        mass_low: the least probability they can have together.
        mass_high: the most.
        count: how many they are; None when the vocabulary's size is unknown.
        max_logprob: an upper bound on the log-probability of each, in nats; None when there is none.
    """

    mass_low: float
    mass_high: float
    count: int | None
    max_logprob: float | None


@dataclass(frozen=True, slots=True)
class Hidden:
    """The undisclosed tokens of a distribution, in the units of its scores.

    `Tail` is how this looks after normalisation; here it can follow the scores through temperature and bias.

    Args:
        log_low: log of the least total weight ``sum(exp(score))`` of the hidden tokens; -inf for none.
        log_high: log of the most; +inf when nothing bounds it.
        count: how many tokens are hidden, or None.
        max_score: an upper bound on the score of each.
    """

    log_low: float
    log_high: float
    count: int | None
    max_score: float

    def scaled(self, factor: float) -> Hidden:
        """The bounds after every score was multiplied by ``factor > 0``.

        With weights ``w <= exp(max_score)`` of a known sum, the sum of ``w ** factor`` is extreme where the weight is
        spread evenly over all tokens, and where it is packed into as few as possible.
        """
        if factor <= 1:
            low, high = self._packed(self.log_low, factor), self._spread(self.log_high, factor, math.inf)
        else:
            low, high = self._spread(self.log_low, factor, -math.inf), self._packed(self.log_high, factor)
        return Hidden(low, high, self.count, self.max_score * factor)

    def _packed(self, log_weight: float, factor: float) -> float:
        if log_weight == -math.inf or self.max_score == -math.inf:
            return -math.inf
        if log_weight - self.max_score > 700:
            return math.inf
        if log_weight <= self.max_score:
            return log_weight * factor
        tokens = math.exp(log_weight - self.max_score)
        whole = math.floor(tokens)
        return self.max_score * factor + math.log(whole + (tokens - whole) ** factor)

    def _spread(self, log_weight: float, factor: float, unbounded: float) -> float:
        if log_weight == -math.inf:
            return -math.inf
        if self.count is None or log_weight == math.inf:
            return unbounded
        return math.log(self.count) + factor * (log_weight - math.log(self.count))
