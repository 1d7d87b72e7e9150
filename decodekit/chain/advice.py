"""Contradictions and frequent mistakes in a chain, found without running it.

Nothing here changes a chain, and a chain with advice still runs. Each rule is a pure function of the chain's parts and
gives its reason.
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
    """An effect of a chain that its author may not have intended.

    Args:
        rule: the name of the rule that found it, as one word.
        places: the positions of the processors concerned, counted from 0.
        message: what happens, why, and what to do instead.
        source: where users reported it, or the paper whose definition no longer holds; '' where it follows from the
            formulas alone.
    """

    rule: str
    places: tuple[int, ...]
    message: str
    source: str = ""


def advice(chain: Chain) -> list[Advice]:
    """All advice on a chain, rule by rule; empty where no rule applies."""
    parts = [_Placed.of(place, link) for place, link in enumerate(chain.links)]
    sampler = parts.pop().name
    return [item for rule in _RULES for item in rule(parts, sampler)]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A part of a chain, its position, and its main parameter (the one with the part's name; NaN if not a number)."""

    place: int
    name: str
    main: float
    traits: Traits

    @classmethod
    def of(cls, place: int, link: Link) -> _Placed:
        described = registry.describe(link.call)
        value = described["params"].get(described["name"])
        main = float(value) if isinstance(value, int | float) else math.nan
        return cls(place, link.shown, main, link.traits)

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
        kind = same[0].traits.kind
        if kind == "temperature":
            why = f"the scores are divided by each of them, in total by {math.prod(part.main for part in same):.4g}"
        elif kind == "truncation":
            why = "each one cuts what the one before has kept; write one"
        elif kind == "penalty":
            why = "each one penalises the same tokens; write one"
        else:
            continue
        yield Advice("repeated", tuple(part.place for part in same), f"{name} occurs {len(same)} times: {why}")


def _cut_after_heat(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    """A truncation after a high temperature: the flat distribution has many tokens of similar probability."""
    for part, hot in zip(parts, accumulate((part.heat for part in parts), mul), strict=True):
        if part.traits.after_heat is None or not hot >= _HOT:
            continue
        heaters = [p.place for p in parts[: part.place] if p.traits.kind == "temperature"]
        yield Advice(
            "cut_after_heat",
            (*heaters, part.place),
            f"{part.name} comes after a temperature of {hot:.3g}: {part.traits.after_heat(hot)}; "
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
                f"{part.name} comes after {_listed(cuts)}: it measures the {what} of the remaining tokens, not of the "
                f"model's distribution; put {part.name} first",
                source,
            )


def _addition_after_cut(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.removes]
        if part.traits.kind in ("penalty", "bias") and cuts:
            yield Advice(
                "addition_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} comes after {_listed(cuts)}: it cannot bring back a removed token, and it changes the "
                f"scores that decided which tokens were removed; put {part.name} first",
            )


def _mask_after_cut(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    """A mask that depends on what was written, such as a grammar, after a truncation."""
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.removes]
        if part.traits.kind == "mask" and part.traits.needs_state and cuts:
            yield Advice(
                "mask_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} comes after {_listed(cuts)}: the law is another one than with the mask first, all "
                "allowed tokens may be removed already, and the mass that the mask keeps is measured on what is left; "
                f"put {part.name} first",
            )


def _after_the_last_token(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    for part in parts:
        after = list(takewhile(lambda p: not p.traits.revives, parts[part.place + 1 :]))
        if after and part.traits.leaves_one:
            yield Advice(
                "after_the_last_token",
                (part.place, *(p.place for p in after)),
                f"{part.name}={part.main:g} leaves one token, so {_listed(after)} after it can change nothing; "
                f"put {part.name} last",
            )
            return


def _greedy_and_order(parts: Sequence[_Placed], sampler: str) -> Iterator[Advice]:
    """Processors at the end of the chain that do not change which token is most likely, before greedy."""
    idle = list(takewhile(lambda part: part.traits.argmax_invariant, reversed(parts)))[::-1]
    if sampler == "greedy" and idle:
        yield Advice(
            "greedy_and_order",
            tuple(part.place for part in idle),
            f"greedy takes the most likely token, and {_listed(idle)} cannot change which token that is, so there is "
            "no effect; use the sampler multinomial to get one",
            "huggingface/transformers#31839",
        )


_RULES: tuple[Callable[[Sequence[_Placed], str], Iterator[Advice]], ...] = (
    _repeated,
    _cut_after_heat,
    _measure_after_cut,
    _addition_after_cut,
    _mask_after_cut,
    _after_the_last_token,
    _greedy_and_order,
)


def _listed(parts: Sequence[_Placed]) -> str:
    return " and ".join(dict.fromkeys(part.name for part in parts))
