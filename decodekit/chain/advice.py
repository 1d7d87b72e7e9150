"""Contradictions and known traps of a chain, found without running it.

Your list is the program: nothing here changes a chain, and no advice makes one wrong. Each rule is a pure function of
the chain's parts, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from operator import mul
from typing import Any

from decodekit.chain.chain import Chain
from decodekit.plugin import registry

__all__ = ["Advice", "advice"]

_TRUNCATIONS = frozenset(
    {
        *("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "top_a", "tfs"),
        *("epsilon_cutoff", "eta_cutoff", "top_h", "p_less", "p_less_norm", "xtc", "llamacpp_xtc"),
        *("mirostat", "mirostat_v2"),
    }
)
_PENALTIES = frozenset(
    {"repetition_penalty", "frequency_penalty", "presence_penalty", "encoder_repetition_penalty", "dry"}
)
_ADDITIONS = frozenset({"logit_bias", "sequence_bias"}) | _PENALTIES
_HOT = 1.5
_WHOLE = {  # what a truncation measures of the whole distribution, and where that is defined
    "typical_p": ("entropy", "arXiv 2202.00666"),
    "top_n_sigma": ("standard deviation", "arXiv 2411.07641"),
    "top_h": ("entropy", "arXiv 2509.02510"),
    "eta_cutoff": ("entropy", "arXiv 2210.15191"),
    "mirostat": ("surprise", "arXiv 2007.14966"),
    "mirostat_v2": ("surprise", "arXiv 2007.14966"),
}
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
    parts = [_Part.of(place, processor) for place, processor in enumerate(chain.processors)]
    sampler = registry.describe(chain.sampler)["name"]
    return [item for rule in _RULES for item in rule(parts, sampler)]


@dataclass(frozen=True, slots=True)
class _Part:
    place: int
    name: str
    params: Mapping[str, Any]
    argmax_invariant: bool
    revives: bool

    @classmethod
    def of(cls, place: int, processor: Any) -> _Part:
        told = registry.describe(processor)
        invariant, revives = (getattr(processor, name, False) is True for name in ("argmax_invariant", "revives"))
        return cls(place, told["name"], told["params"], invariant, revives)

    @property
    def main(self) -> float:
        """The main parameter, which has the plugin's own name; NaN where it is no number."""
        value = self.params.get(self.name)
        return float(value) if isinstance(value, int | float) else math.nan


def _repeated(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    for name in dict.fromkeys(part.name for part in parts):
        same = [part for part in parts if part.name == name]
        if len(same) == 1:
            continue
        if name == "temperature":
            why = f"the scores are divided by each, which makes {math.prod(part.main for part in same):.4g}"
        elif name in _TRUNCATIONS:
            why = "each cuts what the one before left; write one"
        elif name in _PENALTIES:
            why = "the same tokens are penalised by each; write one"
        else:
            continue
        yield Advice("repeated", tuple(part.place for part in same), f"{name} stands {len(same)} times: {why}")


def _cut_after_heat(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    """A flat distribution has many tokens that are likely beside its first."""
    heat = accumulate((part.main if part.name == "temperature" else 1.0 for part in parts), mul)
    for part, hot in zip(parts, heat, strict=True):
        if part.name not in ("min_p", "top_p") or not hot >= _HOT:
            continue
        if part.name == "min_p":  # exp(gap / T) >= a is exp(gap) >= a ** T
            why = f"it keeps what min_p={part.main**hot:.3g} would keep before it"
        else:
            why = "it measures probabilities that the temperature has levelled, and lets unlikely tokens in"
        heaters = [p.place for p in parts[: part.place] if p.name == "temperature"]
        yield Advice(
            "cut_after_heat",
            (*heaters, part.place),
            f"{part.name} stands after a temperature of {hot:.3g}: {why}; put the temperature after it",
            _HEAT_REPORTS,
        )


def _measure_after_cut(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.name in _TRUNCATIONS - {part.name}]
        if part.name in _WHOLE and cuts:
            what, source = _WHOLE[part.name]
            yield Advice(
                "measure_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} stands after {_listed(cuts)}: it measures the {what} of what is left, not of the model's "
                f"own distribution; put {part.name} first",
                source,
            )


def _addition_after_cut(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    for part in parts:
        cuts = [p for p in parts[: part.place] if p.name in _TRUNCATIONS]
        if part.name in _ADDITIONS and cuts:
            yield Advice(
                "addition_after_cut",
                (*(p.place for p in cuts), part.place),
                f"{part.name} stands after {_listed(cuts)}: it cannot bring back a token that was removed, and the cut "
                f"was made by scores that it then changes; put {part.name} first",
            )


def _after_the_last_token(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    for part in parts:
        after = list(takewhile(lambda p: not p.revives, parts[part.place + 1 :]))
        if after and ((part.name == "temperature" and part.main == 0) or (part.name == "top_k" and part.main == 1)):
            yield Advice(
                "after_the_last_token",
                (part.place, *(p.place for p in after)),
                f"{part.name}={part.main:g} leaves one token, and {_listed(after)} after it can change nothing; "
                f"put {part.name} last",
            )
            return


def _greedy_and_order(parts: Sequence[_Part], sampler: str) -> Iterator[Advice]:
    """Only what no later processor builds on is without effect."""
    idle = list(takewhile(lambda part: part.argmax_invariant, reversed(parts)))[::-1]
    if sampler == "greedy" and idle:
        yield Advice(
            "greedy_and_order",
            tuple(part.place for part in idle),
            f"greedy takes the most likely token, and {_listed(idle)} cannot change which that is: without effect "
            "here; draw with multinomial if they should have one",
            "huggingface/transformers#31839",
        )


_RULES: tuple[Callable[[Sequence[_Part], str], Iterator[Advice]], ...] = (
    _repeated,
    _cut_after_heat,
    _measure_after_cut,
    _addition_after_cut,
    _after_the_last_token,
    _greedy_and_order,
)


def _listed(parts: Sequence[_Part]) -> str:
    return " and ".join(dict.fromkeys(part.name for part in parts))
