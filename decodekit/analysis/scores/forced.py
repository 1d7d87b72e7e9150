"""The model's distribution before each token of given texts, in as few questions as memory allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ContextOverflow, DecodekitError
from decodekit.model.adapter import Adapter, AdapterInfo
from decodekit.model.asking import ask
from decodekit.model.prefix import Prefix
from decodekit.model.token_budget import rows_at_once
from decodekit.session.continuation import require_known_token

__all__ = ["Place", "along", "forced"]

Place = tuple[int, int, Distribution]
"""The index of a text, the index of one of its tokens, and the distribution before this token."""
_PART = 64
"""Tokens of a part of a prefix: few parts are read fast, and each prefix copies and hashes fewer tokens than this."""


def forced(
    adapter: Adapter, texts: Iterable[tuple[Prefix, Sequence[int]]], disclose: Disclosure = ALL
) -> Iterator[Place]:
    """The distribution before each token of each text, in order. Teacher forcing: nothing is drawn.

    The prefixes of a text are one question, and short texts share one, so that an adapter that evaluates a path of
    prefixes in one pass does so.

    Args:
        adapter: the model; for one of a server, `decodekit.model.asking.blocking`.
        texts: the prefix that a text follows, and its token ids; read as they are needed.
        disclose: what to show of each distribution, besides the token itself. The whole of it is asked for only of an
            adapter that can show it; of another, its longest list.

    Yields:
        One place for each token.

    Raises:
        ContextOverflow: a text does not fit the model's context; its own places were not asked for.
        DecodekitError: the adapter's answer for a prefix.
    """
    named: deque[tuple[int, int]] = deque()  # the places that were asked for and not answered yet

    def asked() -> Iterator[tuple[Prefix, Sequence[int]]]:
        for i, (start, ids) in enumerate(texts):
            for at, prefix, token in _path(i, start, ids, adapter.info.context_length):
                named.append((i, at))
                yield prefix, (token,)

    for answer in along(adapter, asked(), disclose):
        i, at = named.popleft()
        yield i, at, answer


def along(
    adapter: Adapter, prefixes: Iterable[tuple[Prefix, Sequence[int]]], disclose: Disclosure = ALL
) -> Iterator[Distribution]:
    """The distribution after each prefix, in order, with the tokens that are named for it.

    Args:
        adapter, disclose: as for `forced`.
        prefixes: each with the ids of tokens that must be in the answer; read as they are needed.

    Raises:
        ParameterError: a text is given in place of a token, to a server whose tokenizer is not known.
        DecodekitError: the adapter's answer for a prefix.
    """
    rows, shown = rows_at_once(adapter.info.vocab_size), _showable(adapter.info, disclose)
    places = iter(prefixes)
    while part := list(islice(places, rows)):
        needs = [shown | Disclosure(ids=tuple(ids)) for _, ids in part]
        answers = ask(adapter, [prefix for prefix, _ in part], needs)
        for answer, (_, ids) in zip(answers, part, strict=True):
            if isinstance(answer, DecodekitError):
                raise answer
            for token_id in ids:
                require_known_token(adapter.tokenizer, answer, token_id)
            yield answer


def _showable(info: AdapterInfo, disclose: Disclosure) -> Disclosure:
    """What to ask for: where an adapter cannot show all, its longest list, because a question for all has no ids."""
    if disclose.kind == "all" and info.most.kind == "named":
        return Disclosure(top=info.most.top)
    return disclose


def _path(i: int, start: Prefix, ids: Sequence[int], room: int | None) -> Iterator[tuple[int, Prefix, int]]:
    if room is not None and len(start) + len(ids) - 1 > room:
        raise ContextOverflow(f"text {i}: {len(start) + len(ids)} tokens do not fit a context length of {room}")
    known = np.array(ids, dtype=np.int64)
    for at, token in enumerate(ids):
        if at and at % _PART == 0:
            start = start.extend(known[at - _PART : at])
        yield at, start.extend(known[at - at % _PART : at]), token
