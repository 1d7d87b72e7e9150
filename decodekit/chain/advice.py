"""Contradictions and known traps of a chain, found without running it.

Your list is the program: nothing here changes a chain, and no advice makes one wrong. Each rule is a pure function of
the chain's parts, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from operator import mul

from decodekit.chain.chain import Chain
from decodekit.chain.link import Link
from decodekit.plugin import registry
from decodekit.plugin.traits import Traits

__all__ = ["Advice", "advice"]

_HOT = 1.5
_HEAT_REPORTS = "ggml-org/llama.cpp#3841, oobabooga/textgen#4463"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something about a chain that its author may not have meant.

    Args:
        rule: what kind of thing it is, as one word.
        places: the processors concerned, counted from 0.
        message: what happens, why, and what to do instead.
        source: where users met it, or the paper whose law is left; '' where it follows from the laws themselves.
    """

    rule: str
    places: tuple[int, ...]
    message: str
    source: str = ""


def advice(chain: Chain) -> list[Advice]:
    """All advice on a chain, rule by rule; empty for a chain without known traps."""
    parts = [_Placed.of(place, link) for place, link in enumerate(chain.links)]
    sampler = parts.pop().name
    return [item for rule in _RULES for item in rule(parts, sampler)]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A part of a chain, its place, and its main parameter: the one that has its name; NaN where that is no number."""

    place: int
    name: str
    main: float
    traits: Traits

    @classmethod
    def of(cls, place: int, link: Link) -> _Placed:
        described = registry.describe(link.call)
        value = described["params"].get(described["name"])
        main = float(value) if isinstance(value, int | float) else math.nan
        return cls(place, described["name"], main, link.traits)

    @property
    def removes(self) -> bool:
        return self.traits.kind == "truncation"

    @property
    def heat(self) -> float:
        """What it divides all scores by."""
        return self.main if self.traits.kind == "temperature" and not math.isnan(self.main) else 1.0


def _repeated(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for name in dict.fromkeys(part.name for part in parts):
        same = [part for part in parts if part.name == name]
        if len(same) == 1:
            continue
        law = same[0].traits.kind
        if law == "temperature":
            why = f"the scores are divided by each, which makes {math.prod(part.main for part in same):.4g}"
        elif law == "truncation":
            why = "each cuts what the one before left; write one"
        elif law == "penalty":
            why = "the same tokens are penalised by each; write one"
        else:
            continue
        yield Advice("repeated", tuple(part.place for part in same), f"{name} stands {len(same)} times: {why}")


def _cut_after_heat(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    """A flat distribution has many tokens that are likely beside its first."""
    for part, hot in zip(parts, accumulate((part.heat for part in parts), mul), strict=True):
        if part.traits.after_heat is None or not hot >= _HOT:
            continue
        heaters = [p.place for p in parts[: part.place] if p.traits.kind == "temperature"]
        yield Advice(
            "cut_after_heat",
            (*heaters, part.place),
            f"{part.name} stands after a temperature of {hot:.3g}: {part.traits.after_heat(hot)}; "
            "put the temperature after it",
            _HEAT_REPORTS,
        )


def _measure_after_cut(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.removes and p.name != part.name]
        if part.traits.measures is not None and cuts:
            what, source = part.traits.measures
            yield Advice(
                "measure_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} stands after {_listed(cuts)}: it measures the {what} of what is left, not of the model's "
                f"own distribution; put {part.name} first",
                source,
            )


def _addition_after_cut(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.removes]
        if part.traits.kind in ("penalty", "bias") and cuts:
            yield Advice(
                "addition_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} stands after {_listed(cuts)}: it cannot bring back a token that was removed, and the cut "
                f"was made by scores that it then changes; put {part.name} first",
            )


def _after_the_last_token(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for part in parts:
        after = list(takewhile(lambda p: not p.traits.revives, parts[part.place + 1 :]))
        if after and part.traits.leaves_one:
            yield Advice(
                "after_the_last_token",
                (part.place, *(p.place for p in after)),
                f"{part.name}={part.main:g} leaves one token, and {_listed(after)} after it can change nothing; "
                f"put {part.name} last",
            )
            return


def _greedy_and_order(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    """Only what no later processor builds on is without effect."""
    idle = list(takewhile(lambda part: part.traits.argmax_invariant, reversed(parts)))[::-1]
    if sampler == "greedy" and idle:
        yield Advice(
            "greedy_and_order",
            tuple(part.place for part in idle),
            f"greedy takes the most likely token, and {_listed(idle)} cannot change which that is: without effect "
            "here; draw with multinomial if they should have one",
            "huggingface/transformers#31839",
        )


_RULES: tuple[Callable[[Sequence[_Placed], str], Iterator[Advice]], ...] = (
    _repeated,
    _cut_after_heat,
    _measure_after_cut,
    _addition_after_cut,
    _after_the_last_token,
    _greedy_and_order,
)


def _listed(parts: Sequence[_Placed]) -> str:
    return " and ".join(dict.fromkeys(part.name for part in parts))
