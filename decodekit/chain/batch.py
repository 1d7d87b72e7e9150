"""Many rows of one round through their chains, bit for bit what each would give alone.

A processor that has the method ``many(dists, ctxs) -> dists`` gets all of its rows at once; any other is called for
each row, as always, and so is a stateful one, with the state of that row. The draw from all lists is one race, and the
sums for the notes are made together, whatever the chains. A row that fails here is left out: run alone, it fails with
its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from pydantic import BaseModel

from decodekit.chain.link import Applied, Link, call_processor
from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.distribution.together import sum_lists
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.together import multinomial_of_lists
from decodekit.errors import DecodekitError

__all__ = ["Drawn", "StepRow", "draw_rows"]


class StepRow(NamedTuple):
    """What one step of one sequence starts from.

    Args:
        dist: the adapter's answer.
        ctx: the ids so far.
        states: of the parts of the chain.
        noise: the noise of this step.
        links: the parts of its chain, which is pure, the sampler last.
        noted: whether `Reshaped.settle` follows, whose sums are then made with those of the other rows.
    """

    dist: Distribution
    ctx: Context
    states: tuple[Any, ...]
    noise: BoundRandomness
    links: tuple[Link, ...]
    noted: bool


class Drawn(NamedTuple):
    """One row after the processors.

    Args:
        reshaped: the row, from which a token is to be drawn.
        choice: the token that was drawn in the race of all lists; None where `Reshaped.choose` draws it.
        noise: of this step.
    """

    reshaped: Reshaped
    choice: Choice | None
    noise: BoundRandomness


def draw_rows(rows: Sequence[StepRow]) -> list[Drawn | None]:
    """What `Chain.reshape` gives for each row, and what `Reshaped.choose` gives for lists; None where one raises.

    A whole row is drawn from later, one by one: its noise is larger than a processor's cache.

    Args:
        rows: the rows; each runs as with ``truncate=False``.
    """
    dists: list[Distribution | None] = [row.dist for row in rows]
    applied: list[list[Applied]] = [[] for _ in rows]
    for place, links in enumerate(zip_longest(*(row.links[:-1] for row in rows))):
        alive = [i for i, dist in enumerate(dists) if dist is not None and links[i] is not None]
        for link, members in _of_each(links, alive):
            together = _together(link, [dists[i] for i in members], [rows[i].ctx for i in members])
            for at, i in enumerate(members):
                before, row = dists[i], rows[i]
                assert before is not None
                try:
                    after, tosses = (
                        call_processor(links[i], before, row.ctx, row.states[place], row.noise)
                        if together is None
                        else (together[at], ())
                    )
                except DecodekitError:
                    dists[i] = None
                    continue
                applied[i].append(Applied(links[i], before, after, tosses, None))
                dists[i] = after
    sum_lists(row.dist.row for row in rows if row.noted)  # whole rows are summed by the notes, after the draw
    for stage in zip_longest(*(parts for parts, row in zip(applied, rows, strict=True) if row.noted)):
        sum_lists(each.after.row for each in stage if each is not None)
    racing = [dist if row.links[-1].call is multinomial else None for dist, row in zip(dists, rows, strict=True)]
    choices = multinomial_of_lists(racing, [row.noise.within(TOKENS) for row in rows])
    return [
        None
        if dist is None
        else Drawn(Reshaped(row.links, row.dist, tuple(parts), dist, row.ctx, row.states), choice, row.noise)
        for dist, row, parts, choice in zip(dists, rows, applied, choices, strict=True)
    ]


def _of_each(links: Sequence[Link], rows: Sequence[int]) -> list[tuple[Link, list[int]]]:
    """The rows of each processor. Equal ones of several chains are one, where they take many rows at once."""
    found: dict[int, tuple[Link, list[int]]] = {}
    for i in rows:
        own = links[i]
        if id(own) not in found:
            known = (each for each in found.values() if _equal(each[0], own)) if own.takes_many else ()
            found[id(own)] = next(iter(known), (own, []))
        found[id(own)][1].append(i)
    return list({id(members): (link, members) for link, members in found.values()}.values())


def _equal(one: Link, other: Link) -> bool:
    """Whether two processors are one for `_together`: of a stranger's class, nobody knows what its equality means."""
    return type(one.call) is type(other.call) and isinstance(one.call, BaseModel) and bool(one.call == other.call)


def _together(link: Link, dists: Sequence[Any], ctxs: Sequence[Context]) -> Sequence[Distribution] | None:
    """The answer of a processor that takes all rows at once; None where it must be called for each."""
    if not link.takes_many or link.traits.stateful or link.traits.needs_logits or len(dists) < 2:
        return None
    try:
        after = link.call.many(dists, ctxs)
    except (Exception, SystemExit, GeneratorExit):  # one of the rows is the cause; called alone, it is named
        return None
    fit = (
        isinstance(after, list | tuple)
        and len(after) == len(dists)
        and all(
            isinstance(new, Distribution) and new.vocab_size == old.vocab_size
            for new, old in zip(after, dists, strict=True)
        )
    )
    return after if fit else None
