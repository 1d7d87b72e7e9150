"""The tree of prefixes known to be invalid, whose probability CARS takes away from the next draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from decodekit.distribution import Distribution
from decodekit.errors import EmptySupport

__all__ = ["Known", "Passed", "learn", "remaining"]


@dataclass(slots=True)
class Known:
    """A prefix, with what is known of its continuations.

    Args:
        alive: the probability that a continuation is not known to be invalid.
        kept: the probability of the next tokens that are allowed; 1.0 where all may be.
        children: the tokens that were drawn, each with its probability and what is known after it.
        masked: whether tokens that are not allowed are taken away.
    """

    alive: float = 1.0
    kept: float = 1.0
    children: dict[int, tuple[float, Known]] = field(default_factory=dict)
    masked: bool = False

    def after(self, token_id: int | None) -> Known | None:
        """What is known after this token; None where that is nothing."""
        child = None if token_id is None else self.children.get(token_id)
        return None if child is None else child[1]


class Passed(NamedTuple):
    """A token of a run, and what was seen where it was drawn.

    Args:
        token_id: the token; None where no token was possible.
        probability: its probability under the chain.
        kept: the probability of all tokens that are allowed; None where those are not known.
        allowed: whether the token is one of them; true where those are not known.
    """

    token_id: int | None
    probability: float
    kept: float | None
    allowed: bool


def remaining(law: Distribution, known: Known | None, masked: Distribution | None) -> Distribution | None:
    """The law of the next token, without what is known to be invalid.

    Args:
        law: the chain's.
        known: of the prefix; None where nothing is.
        masked: the law on the tokens that are allowed; None where there are none, or where they are not known.

    Returns:
        None where nothing is left.
    """
    if known is None:
        return law
    if known.masked:
        if masked is None:
            return None
        law = masked
    less = {token_id: child.alive for token_id, (_, child) in known.children.items() if child.alive < 1}
    if not less:
        return law
    try:
        return law.add(list(less), [math.log(alive) if alive > 0 else -math.inf for alive in less.values()])
    except EmptySupport:
        return None


def learn(root: Known, path: Sequence[Passed], *, valid: bool) -> None:
    """Add a run that has ended: take the invalid text away, and all siblings on its path that are not allowed.

    Args:
        root: what is known of the prompt.
        path: the tokens of the run.
        valid: whether it became a valid text. If not, nothing begins with its last token any more.
    """
    nodes = [root]
    for passed in path:
        node = nodes[-1]
        if passed.kept is not None:
            node.masked, node.kept = True, passed.kept
        if passed.token_id is None or not passed.allowed:
            break
        _, child = node.children.setdefault(passed.token_id, (passed.probability, Known()))
        nodes.append(child)
    if not valid and (not path or path[-1].allowed):
        nodes[-1].alive = 0.0
        nodes.pop()
    for node in reversed(nodes):
        if node.children or node.masked:
            gone = (p * (1 - child.alive) for p, child in node.children.values())
            node.alive = max(0.0, node.kept - math.fsum(gone))
