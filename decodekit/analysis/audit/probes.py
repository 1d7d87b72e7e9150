"""One question asked in several ways: each probe asks a model for the same prefixes on another schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from decodekit.analysis.audit.material import Place, Rows, Text, drawn
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.randomness import Randomness
from decodekit.errors import ContextOverflow, DecodekitError
from decodekit.model.adapter import Adapter
from decodekit.model.asking import ask, cached_tokens
from decodekit.model.prefix import Prefix
from decodekit.model.stored import forget

__all__ = ["Asked", "alone", "apart", "in_one_call", "in_portions", "staggered", "together", "with_others", "written"]

Make = Callable[[], Adapter]


@dataclass(slots=True)
class Asked:
    """The answers of a probe, and what the adapter said of its cache.

    Attributes:
        rows: the answers.
        cached: before each question that had one prefix, how many of its tokens needed no evaluation; None where the
            adapter does not say.
        stored: the places that needed none at all, as the adapter says: it repeated an earlier answer.
    """

    rows: Rows = field(default_factory=dict)
    cached: dict[Place, int | None] = field(default_factory=dict)
    stored: set[Place] = field(default_factory=set)

    def ask(self, adapter: Adapter, wanted: Sequence[tuple[Place | None, Prefix]], want: Disclosure) -> None:
        """One call. A place that is None is only there to be beside the others.

        Raises:
            DecodekitError: the adapter's answer for a place.
        """
        before = [cached_tokens(adapter, prefix, asked=False) for _, prefix in wanted]
        answers = ask(adapter, [prefix for _, prefix in wanted], want)
        for (place, prefix), answer, known in zip(wanted, answers, before, strict=True):
            if place is None:
                continue
            if isinstance(answer, DecodekitError):
                raise answer
            if known is None and len(wanted) == 1:
                known = cached_tokens(adapter, prefix, asked=True)
            self.rows[place] = answer
            if known == len(prefix):
                self.stored.add(place)
            if len(wanted) == 1:
                self.cached[place] = known


def _anew(adapter: Adapter) -> Asked:
    """Nothing asked yet, and nothing that was answered before is repeated, where the adapter can see to that."""
    forget(adapter)
    return Asked()


def written(
    adapter: Adapter, prompts: Sequence[Prefix], tokens: int, seed: int, want: Disclosure
) -> tuple[list[Text], Asked]:
    """Texts of so many tokens, drawn at temperature 1: the i-th with the noise of stream i. They go on past an end.

    Where the disclosed tokens decide no draw, the most likely token follows. The schedule is that of `alone`.

    Raises:
        ContextOverflow: they do not fit the model's context.
        DecodekitError: what the adapter answered.
    """
    room, longest = adapter.info.context_length, max(map(len, prompts)) + tokens - 1
    if room is not None and longest > room:
        raise ContextOverflow(f"prompts with {tokens} tokens need a context of {longest}, and the model's is {room}")
    texts, asked = [], Asked()
    for i, prompt in enumerate(prompts):
        noise, prefixes, ids = Randomness(seed, i), [prompt], list[int]()
        for step in range(tokens):
            asked.ask(adapter, [((i, step), prefixes[-1])], want)
            row = asked.rows[i, step]
            chosen = drawn(row, noise, step)
            ids.append(row.row.mode if chosen is None else chosen[0])
            prefixes.append(prefixes[-1].extend(ids[-1:]))
        texts.append(Text(tuple(prefixes[:-1]), tuple(ids)))
    return texts, asked


def alone(adapter: Adapter, texts: Sequence[Text], want: Disclosure) -> Asked:
    """Text by text, token by token: each prefix in a call of its own, as a run of one sequence asks."""
    asked = _anew(adapter)
    for i, text in enumerate(texts):
        for at, prefix in enumerate(text.prefixes):
            asked.ask(adapter, [((i, at), prefix)], want)
    return asked


def together(adapter: Adapter, texts: Sequence[Text], want: Disclosure, order: Sequence[int]) -> Asked:
    """Token by token, all texts in one call, in this order."""
    asked = _anew(adapter)
    for at in range(len(texts[0].ids)):
        asked.ask(adapter, [((i, at), texts[i].prefixes[at]) for i in order], want)
    return asked


def with_others(adapter: Adapter, texts: Sequence[Text], others: Sequence[Text], want: Disclosure) -> Asked:
    """As `together`, in calls of as many rows; but every second row is of another text. Twice, so that all are asked
    for.
    """
    asked = _anew(adapter)
    for turn in (0, 1):
        for at in range(len(texts[0].ids)):
            call: list[tuple[Place | None, Prefix]] = []
            for i, (text, other) in enumerate(zip(texts, others, strict=True)):
                own = i % 2 == turn
                call.append(((i, at), text.prefixes[at]) if own else (None, other.prefixes[at]))
            asked.ask(adapter, call, want)
    return asked


def in_one_call(adapter: Adapter, texts: Sequence[Text], want: Disclosure) -> Asked:
    """Each text in one call: the prompt and every longer prefix, ancestors of one another."""
    asked = _anew(adapter)
    for i, text in enumerate(texts):
        asked.ask(adapter, [((i, at), prefix) for at, prefix in enumerate(text.prefixes)], want)
    return asked


def apart(make: Make, texts: Sequence[Text], want: Disclosure, turns: Sequence[Sequence[int]]) -> Asked:
    """A new adapter for each turn, asked once for each text at its place: nothing of a text was evaluated before."""
    asked = Asked()
    for places in turns:
        with _new(make) as adapter:
            for i, at in enumerate(places):
                asked.ask(adapter, [((i, at), texts[i].prefixes[at])], want)
    return asked


def staggered(make: Make, texts: Sequence[Text], want: Disclosure, turns: Sequence[Sequence[int]]) -> Asked:
    """As `apart`, with all texts of a turn in one call: of unequal lengths, where the places differ."""
    asked = Asked()
    for places in turns:
        with _new(make) as adapter:
            asked.ask(adapter, [((i, at), texts[i].prefixes[at]) for i, at in enumerate(places)], want)
    return asked


def in_portions(make: Make, texts: Sequence[Text], want: Disclosure, size: int) -> Asked:
    """A new adapter, which evaluates each text in portions of so many tokens; the answers after the first one."""
    asked = Asked()
    with _new(make) as adapter:
        for i, text in enumerate(texts):
            ids, short = text.prefixes[-1].token_ids, len(text.prompt)
            for end in range(size, len(ids) + 1, size):
                place = (i, end - short) if end >= max(short, size + 1) else None
                asked.ask(adapter, [(place, Prefix(ids[:end]))], want)
    return asked


@contextmanager
def _new(make: Make) -> Iterator[Adapter]:
    adapter = make()
    try:
        yield adapter
    finally:
        adapter.close()
