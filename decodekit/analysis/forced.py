"""The model's distribution before each token of given texts, in as few questions as memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ContextOverflow, DecodekitError
from decodekit.model.adapter import Adapter
from decodekit.model.asking import ask
from decodekit.model.prefix import Prefix
from decodekit.model.token_budget import rows_at_once

__all__ = ["Place", "forced"]

Place = tuple[int, int, Distribution]
"""The index of a text, the index of one of its tokens, and the distribution before this token."""


def forced(
    adapter: Adapter, texts: Iterable[tuple[Prefix, Sequence[int]]], disclose: Disclosure = ALL
) -> Iterator[Place]:
    """The distribution before each token of each text, in order. Teacher forcing: nothing is drawn.

    The prefixes of a text are one question, and short texts share one, so that an adapter that evaluates a path of
    prefixes in one pass does so.

    Args:
        adapter: the model; for one of a server, `decodekit.model.asking.blocking`.
        texts: the prefix that a text follows, and its token ids; read as they are needed.
        disclose: what to show of each distribution, besides the token itself.

    Yields:
        One place for each token.

    Raises:
        ContextOverflow: a text does not fit the model's context; its own places were not asked for.
        DecodekitError: the adapter's answer for a prefix.
    """
    rows, room = rows_at_once(adapter.info.vocab_size), adapter.info.context_length
    places = (
        (i, at, prefix, token) for i, (start, ids) in enumerate(texts) for at, prefix, token in _along(start, ids, room)
    )
    while part := list(islice(places, rows)):
        needs = [disclose | Disclosure(ids=(token,)) for _, _, _, token in part]
        answers = ask(adapter, [prefix for _, _, prefix, _ in part], needs)
        for (i, at, _, _), answer in zip(part, answers, strict=True):
            if isinstance(answer, DecodekitError):
                raise answer
            yield i, at, answer


def _along(start: Prefix, ids: Sequence[int], room: int | None) -> Iterator[tuple[int, Prefix, int]]:
    if room is not None and len(start) + len(ids) - 1 > room:
        raise ContextOverflow(f"{len(start) + len(ids)} tokens do not fit a context length of {room}")
    prefix = start
    for at, token in enumerate(ids):
        yield at, prefix, token
        prefix = prefix.extend((token,))
