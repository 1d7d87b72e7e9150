"""Many rows of one round through one chain, bit for bit what each would give alone.

A processor that has the method ``many(dists, ctxs) -> dists`` gets all rows at once; any other is called for each row,
as always, and so is a stateful one, with the state of that row. The draw from all lists is one race, and the sums for
the notes are made together. A row that fails here is left out: run alone, it fails with its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from decodekit.chain.link import Applied, Link, call_processor, call_sampler
from decodekit.chain.reshaped import Reshaped, require_choice
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


Drawn = tuple[Choice, Reshaped]


def draw_rows(links: tuple[Link, ...], rows: Sequence[StepRow], *, noted: bool) -> list[Drawn | None]:
    """What `Chain.reshape` and `Reshaped.choose` give for each row; None where one of them raises.

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
        sum_lists(row.dist.row for row in rows)
        for stage in range(len(links) - 1):
            sum_lists(parts[stage].after.row for parts in applied if len(parts) > stage)
    reshaped = [
        None if dist is None else Reshaped(links, row.dist, tuple(parts), dist, row.ctx, row.states)
        for dist, row, parts in zip(dists, rows, applied, strict=True)
    ]
    return _chosen(links[-1], reshaped, rows)


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


def _chosen(link: Link, reshaped: Sequence[Reshaped | None], rows: Sequence[StepRow]) -> list[Drawn | None]:
    places = [i for i, each in enumerate(reshaped) if each is not None]
    finals = [each.final for each in reshaped if each is not None]
    noises = [rows[i].noise.within(TOKENS) for i in places]
    drawn: list[Drawn | None] = [None] * len(rows)
    ready: list[Choice | None] = [None] * len(places)
    if link.call is multinomial:
        ready = multinomial_of_lists(finals, noises)
    for i, choice, dist, noise in zip(places, ready, finals, noises, strict=True):
        each = reshaped[i]
        assert each is not None
        try:
            if choice is None:
                choice = call_sampler(link, dist, each.ctx, noise, each.states[-1])
                require_choice(choice, dist, link, each.ctx)
        except DecodekitError:
            continue
        drawn[i] = (choice, each)
    return drawn
