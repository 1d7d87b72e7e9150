"""How much of a distribution is requested, and what is known of the part that was not disclosed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from decodekit.errors import DecodekitError, ParameterError
from decodekit.text.counted import counted

__all__ = ["ALL", "CHEAP", "Disclosure", "Interval", "Tail", "Undisclosed", "for_each"]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What part of a distribution is requested, or available.

    Args:
        top: how many of the most likely tokens; None when no number was asked for.
        ids: token ids requested one by one, likely or not.
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
        """Whether such an answer contains everything ``need`` asks for. Ids in ``need`` must be ids here too."""
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
        parts = [_most_likely(self.top)] if self.top else []
        if self.ids:
            shown = ", ".join(map(str, self.ids[:5])) + (", …" if len(self.ids) > 5 else "")
            parts.append(f"{counted(len(self.ids), 'token')} by id ({shown})")
        return " and ".join(parts) or "nothing"


def _most_likely(count: int) -> str:
    return f"the {count} most likely tokens" if count > 1 else "the most likely token"


ALL = Disclosure(kind="all")
CHEAP = Disclosure(kind="cheap")


def for_each(disclose: Disclosure | Sequence[Disclosure], count: int) -> list[Disclosure]:
    """The request for each of ``count`` prefixes: the same for all, or one disclosure for each.

    Raises:
        ParameterError: there are not as many as prefixes.
    """
    if isinstance(disclose, Disclosure):
        return [disclose] * count
    if len(disclose) != count:
        raise ParameterError(f"there are {len(disclose)} disclosures for {count} prefixes; give one, or one for each")
    return list(disclose)


class Interval(NamedTuple):
    """A closed interval that certainly contains a value."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tail:
    """What is known of the tokens that were not disclosed.

    Args:
        mass_low: the smallest probability that they can have together.
        mass_high: the largest.
        count: how many there are; None when the vocabulary's size is unknown.
        max_logprob: an upper bound on the log-probability of each, in nats; None when none is known.
    """

    mass_low: float
    mass_high: float
    count: int | None
    max_logprob: float | None


class Undisclosed(DecodekitError):
    """The disclosed part of a distribution does not answer the question.

    Attributes:
        need: what would answer it. A session asks the adapter for exactly this and runs the pure step again.
    """

    def __init__(self, need: Disclosure, question: str = "this question") -> None:
        self.need = need
        self.question = question
        super().__init__(
            f"{question} cannot be answered from what was disclosed; it needs {need}. "
            "Ask the adapter for more, shorten the question with a truncation such as top_k, "
            "or set on_undisclosed='truncate'."
        )
