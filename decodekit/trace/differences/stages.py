"""All stages of a step in two traces beside each other: the model's answer, each processor, and what was drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from decodekit.plugin import registry
from decodekit.trace.differences.parts import StageDifference
from decodekit.trace.differences.values import after, compare, final_values, raw_values
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["Stages", "first_different"]


class Stages:
    """Compares the steps of two traces stage by stage.

    Args:
        a, b: their headers name the vocabulary and the chain.
        ids_agree: whether an id means the same token in both; otherwise nothing is compared.

    Attributes:
        one_seed: whether both have the same seed, of the same algorithm.
    """

    def __init__(self, a: Trace, b: Trace, *, ids_agree: bool = True) -> None:
        self._sizes = a.header.adapter.get("vocab_size"), b.header.adapter.get("vocab_size")
        self._places = _merged(_names(a), _names(b))
        self._ids_agree = ids_agree
        self.one_seed = (a.header.seed, a.header.rng) == (b.header.seed, b.header.rng)

    def final(self, a: Step, b: Step) -> StageDifference | None:
        """What the tokens were drawn from; None where ids mean other tokens."""
        if not self._ids_agree:
            return None
        return compare("final", final_values(a), final_values(b))

    def of(self, a: Step, b: Step) -> tuple[StageDifference, ...]:
        """All stages, in the order of the computation; none where ids mean other tokens."""
        final = self.final(a, b)
        if final is None:
            return ()
        stages = [compare("raw", raw_values(a, self._sizes[0]), raw_values(b, self._sizes[1]))]
        for name, one, other in self._places:
            left = after(a, a.entries[one]) if one is not None and one < len(a.entries) else None
            right = after(b, b.entries[other]) if other is not None and other < len(b.entries) else None
            stages.append(compare(name, left, right, one, other))
        return (*stages, final)


def first_different(stages: Sequence[StageDifference]) -> StageDifference | None:
    """The first stage of both chains in which something recorded differs."""
    return next((stage for stage in stages if stage.in_both and stage.same is False), None)


def _names(trace: Trace) -> list[str]:
    return [registry.shown_name("processors", part) for part in trace.header.chain["processors"]]


def _merged(a: Sequence[str], b: Sequence[str]) -> list[tuple[str, int | None, int | None]]:
    """The processors of both chains in one order: (name, place in a, place in b)."""
    merged: list[tuple[str, int | None, int | None]] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            merged += [(a[start + i], start + i, begin + i) for i in range(end - start)]
        else:
            merged += [(a[i], i, None) for i in range(start, end)]
            merged += [(b[i], None, i) for i in range(begin, stop)]
    return merged
