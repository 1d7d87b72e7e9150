"""Many rows of one round through one chain, bit for bit what each would give alone.

A processor that has the method ``many(dists, ctxs) -> dists`` gets all rows at once; any other is called for each row,
as always, and so is a stateful one, with the state of that row. The draw from all lists is one race, and the sums for
the notes are made together. A row that fails here is left out: run alone, it fails with its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    """

    dist: Distribution
    ctx: Context
    states: tuple[Any, ...]
    noise: BoundRandomness


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


def draw_rows(links: tuple[Link, ...], rows: Sequence[StepRow], *, noted: bool) -> list[Drawn | None]:
    """What `Chain.reshape` gives for each row, and what `Reshaped.choose` gives for lists; None where one raises.

    A whole row is drawn from later, one by one: its noise is larger than a processor's cache.

    Args:
        links: the parts of a pure chain, the sampler last.
        rows: the rows; each runs as with ``truncate=False``.
        noted: whether `Reshaped.settle` follows, whose sums are then made here.
    """
    dists: list[Distribution | None] = [row.dist for row in rows]
    applied: list[list[Applied]] = [[] for _ in rows]
    for place, link in enumerate(links[:-1]):
        alive = [i for i, dist in enumerate(dists) if dist is not None]
        together = _together(link, [dists[i] for i in alive], [rows[i].ctx for i in alive])
        for at, i in enumerate(alive):
            before, row = dists[i], rows[i]
            assert before is not None
            try:
                after, tosses = (
                    call_processor(link, before, row.ctx, row.states[place], row.noise)
                    if together is None
                    else (together[at], ())
                )
            except DecodekitError:
                dists[i] = None
                continue
            applied[i].append(Applied(link, before, after, tosses, None))
            dists[i] = after
    if noted:
        sum_lists(row.dist.row for row in rows)  # whole rows are summed by the notes, after the draw
        for stage in range(len(links) - 1):
            sum_lists(parts[stage].after.row for parts in applied if len(parts) > stage)
    choices: list[Choice | None] = [None] * len(rows)
    if links[-1].call is multinomial:
        choices = multinomial_of_lists(dists, [row.noise.within(TOKENS) for row in rows])
    return [
        None
        if dist is None
        else Drawn(Reshaped(links, row.dist, tuple(parts), dist, row.ctx, row.states), choice, row.noise)
        for dist, row, parts, choice in zip(dists, rows, applied, choices, strict=True)
    ]


def _together(link: Link, dists: Sequence[Any], ctxs: Sequence[Context]) -> Sequence[Distribution] | None:
    """The answer of a processor that takes all rows at once; None where it must be called for each."""
    many = getattr(link.call, "many", None)
    if many is None or link.traits.stateful or link.traits.needs_logits or len(dists) < 2:
        return None
    try:
        after = many(dists, ctxs)
    except Exception:  # one of the rows is the cause; called alone, it is named
        return None
    fit = len(after) == len(dists) and all(
        isinstance(new, Distribution) and new.vocab_size == old.vocab_size
        for new, old in zip(after, dists, strict=True)
    )
    return after if fit else None
