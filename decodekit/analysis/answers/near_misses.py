"""How probable the near misses of answers are: continuations at edit distance 1 in tokens.

There are more near misses than can be evaluated: each token of an answer may be replaced by any other of the
vocabulary. The most likely alternatives at each place are evaluated, which is a lower bound on the mass. All others
together have at most the probability of leaving the answers there by a token that was not tried, which is known
exactly; that gives the upper bound. Temperature keeps the order of tokens, so the same ones are tried for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from decodekit.analysis.answers.tree import Ids, Node, Tree
from decodekit.types import Floats

__all__ = ["near_miss_mass", "prefix_free"]


def prefix_free(sequences: Collection[Ids]) -> list[Ids]:
    """Those that do not begin with another one, sorted: the events that a text begins with them are disjoint."""
    known = set(sequences)
    return [ids for ids in sorted(known) if not any(ids[:at] in known for at in range(len(ids)))]


def near_miss_mass(
    tree: Tree, answers: Sequence[Ids], end: int | None, ends: frozenset[int], width: int
) -> tuple[Floats, Floats]:
    """Bounds on the probability that a text begins with a near miss, and with none of the answers.

    Args:
        tree: with the distributions along the answers, their ``width`` most likely tokens and the ``ends``; those along
            the near misses are added.
        answers: prefix-free.
        end: the token that ends each answer and is not edited; None where a text may go on.
        ends: tokens that end a text: nothing follows them, so they replace no token of an answer.
        width: how many alternatives are tried at each place.

    Returns:
        float64[m] each, the bounds at each temperature.
    """
    whole = set() if end is not None else {ids[:-1] for ids in answers}  # any other last token is a near miss
    tried = _tried(tree, answers, end, ends, width)
    near = _near(answers, end, tried, whole)
    tree.add(near)
    low, high = np.zeros((2, *tree.bounds(())[0].shape))
    for ids in near:
        below = [tree.bounds(answer) for answer in answers if answer[: len(ids)] == ids]
        least, most = tree.bounds(ids)
        low = low + np.maximum(0.0, np.exp(least) - sum(np.exp(each[1]) for each in below))
        high = high + np.maximum(0.0, np.exp(most) - sum(np.exp(each[0]) for each in below))
    closed = set(near)
    for path in sorted(tried):
        if any(path[:at] in closed for at in range(len(path) + 1)):
            continue
        on = {ids[len(path)] for ids in answers if ids[: len(path)] == path}
        least, most = _left(tree.nodes[path], on if path in whole else on | tried[path] | ends)
        if path in whole:
            low = low + np.exp(tree.bounds(path)[0]) * least
        high = high + np.exp(tree.bounds(path)[1]) * most
    return low, high


def _tried(
    tree: Tree, answers: Sequence[Ids], end: int | None, ends: frozenset[int], width: int
) -> dict[Ids, set[int]]:
    """What may stand at each place of an answer: the most likely tokens, and those of near misses that are known."""
    paths = {ids[:at] for ids in answers for at in range(len(ids))}
    tried = {path: set(tree.nodes[path].leading[:width]) - ends for path in paths}
    for ids in answers:
        for at, token in enumerate(ids):
            tried[ids[:at]].add(token)  # it replaces a token of another answer that goes this way
        for shorter in _deletions(ids, end):
            parts = (at for at, pair in enumerate(zip(shorter, ids, strict=False)) if pair[0] != pair[1])
            at = next(parts, -1)
            if at >= 0:
                tried[ids[:at]].add(shorter[at])
    return tried


def _near(answers: Sequence[Ids], end: int | None, tried: dict[Ids, set[int]], whole: Collection[Ids]) -> list[Ids]:
    """The near misses that are evaluated, prefix-free; none begins with an answer, or leaves it at ``whole``."""
    found = {near for ids in answers for near in (*_deletions(ids, end), *_edited(ids, end, tried)) if near}
    known = set(answers)
    beside = (near for near in found if not any(near[:at] in known for at in range(len(near) + 1)))
    return prefix_free([ids for ids in beside if not any(_leaves(ids, path, tried, known) for path in whole)])


def _left(node: Node, without: Collection[int]) -> tuple[Floats, Floats]:
    """Bounds on the probability of all other tokens than these."""
    least = sum(np.exp(node.low[token]) for token in without)
    most = sum(np.exp(node.high[token]) for token in without)
    return np.clip(1.0 - most, 0.0, 1.0), np.clip(1.0 - least, 0.0, 1.0)


def _leaves(ids: Ids, path: Ids, paths: Collection[Ids], answers: Collection[Ids]) -> bool:
    """Whether a sequence leaves the answers behind this path, where any other token counts already."""
    step = ids[: len(path) + 1]
    return len(ids) > len(path) and ids[: len(path)] == path and step not in paths and step not in answers


def _deletions(ids: Ids, end: int | None) -> Iterator[Ids]:
    body, last = (ids, ()) if end is None else (ids[:-1], ids[-1:])
    for at in range(len(body)):
        yield body[:at] + body[at + 1 :] + last


def _edited(ids: Ids, end: int | None, tried: dict[Ids, set[int]]) -> Iterator[Ids]:
    """The answer with a token replaced by, or put after, each that is tried there."""
    for at in range(len(ids)):
        for token in sorted(tried[ids[:at]] - {ids[at]}):
            yield (*ids[:at], token, *ids[at:])
            if end is None or at + 1 < len(ids):
                yield (*ids[:at], token, *ids[at + 1 :])
