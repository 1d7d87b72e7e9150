"""Log-probabilities of many sequences after one prompt, at many temperatures, each of their prefixes asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.answers.tempered import tempered
from decodekit.analysis.scores.forced import along
from decodekit.distribution import Distribution
from decodekit.errors import ContextOverflow
from decodekit.model.adapter import Adapter
from decodekit.model.prefix import Prefix
from decodekit.types import Floats

__all__ = ["Ids", "Node", "Tree"]

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The distribution after a sequence, at m temperatures.

    Args:
        low, high: of each token that may follow, float64[m] in nats: bounds on its log-probability.
        entropy_low, entropy_high: float64[m] in nats.
        leading: the most likely tokens, as many as were asked for and are certain.
    """

    low: Mapping[int, Floats]
    high: Mapping[int, Floats]
    entropy_low: Floats
    entropy_high: Floats
    leading: Ids


class Tree:
    """Sequences after a prompt, and the distributions along them. Rows are not kept, only what is asked of them.

    Args:
        adapter: the model.
        prompt: what the sequences follow.
        temperatures: float64[m].

    Attributes:
        nodes: the distribution after each sequence that something follows.
    """

    def __init__(self, adapter: Adapter, prompt: Prefix, temperatures: Floats) -> None:
        self._adapter, self._prompt, self._temperatures = adapter, prompt, temperatures
        self.nodes: dict[Ids, Node] = {}

    def add(self, sequences: Iterable[Ids], leading: int = 0, also: Sequence[int] = ()) -> None:
        """Ask for the distributions along these sequences, in depth-first order.

        Args:
            sequences: each with one token at least.
            leading: how many of the most likely tokens to know after each prefix of them.
            also: tokens to know after each prefix of them.

        Raises:
            ContextOverflow: the longest does not fit the model's context; nothing was asked for.
            DecodekitError: the adapter's answer for a prefix.
        """
        wanted: dict[Ids, set[int]] = {}
        for ids in sorted(sequences):
            for at, token in enumerate(ids):
                known = self.nodes[ids[:at]].low if ids[:at] in self.nodes else {}
                if token not in known:
                    wanted.setdefault(ids[:at], {*also, *known}).add(token)
        room, longest = self._adapter.info.context_length, max(map(len, wanted), default=0)
        if room is not None and len(self._prompt) + longest > room:
            raise ContextOverflow(f"{len(self._prompt) + longest} tokens do not fit a context length of {room}")
        places = [(self._prompt.extend(before), sorted(after)) for before, after in wanted.items()]
        for (before, after), dist in zip(wanted.items(), along(self._adapter, places), strict=True):
            self.nodes[before] = self._node(dist, after, leading)

    def _node(self, dist: Distribution, after: set[int], leading: int) -> Node:
        first = tuple(dist.ranked(leading)[0].tolist()) if leading else ()
        ids = sorted({*after, *first})
        found = tempered(dist, ids, self._temperatures)
        low, high = (dict(zip(ids, side, strict=True)) for side in (found.low, found.high))
        return Node(low, high, found.entropy_low, found.entropy_high, first)

    def bounds(self, ids: Ids) -> tuple[Floats, Floats]:
        """Bounds on the log-probability that the text begins with these tokens, float64[m] each, in nats."""
        low, high = np.zeros((2, len(self._temperatures)))
        for at, token in enumerate(ids):
            node = self.nodes[ids[:at]]
            low, high = low + node.low[token], high + node.high[token]
        return low, high
