"""One text split into tokens in several ways: after each, the model may answer with another distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.texts.law import AnyModel
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL
from decodekit.draw.whole import whole
from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.asking import ask, blocking, connect
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.utf8 import utf8
from decodekit.types import Floats

__all__ = ["Tokenised", "compare_tokenisations", "tokenisations"]

_MOST = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Tokenised:
    """The next token after each of several ways to split a text.

    Args:
        splits: the token ids of each; the first is the tokenizer's own.
        distributions: what the model answers after each.
        distances: float64[n, n], the total variation distance of each two.
    """

    splits: tuple[tuple[int, ...], ...]
    distributions: tuple[Distribution, ...]
    distances: Floats


def compare_tokenisations(
    model: AnyModel, text: str, *, splits: Sequence[Sequence[int]] | None = None, most: int = 8
) -> Tokenised:
    """The distribution of the next token after the same text, in several tokenisations. Exact.

    Args:
        model: the adapter.
        text: the text; the tokenizer's own begin-of-text token and leading space are not added.
        splits: the tokenisations to compare; by default those of `tokenisations`.
        most: how many of them at most.

    Raises:
        ParameterError: the adapter has no tokenizer, or ids that do not decode to the text, or no tokens.
        Undisclosed: the adapter shows no whole distributions.
        DecodekitError: the adapter's answer for a prefix.
    """
    adapter = blocking(model)
    connect(adapter)
    tokenizer = adapter.tokenizer
    if tokenizer is None:
        raise ParameterError("this adapter has no tokenizer, so a text cannot be split into tokens")
    wanted = tokenisations(tokenizer, text, most) if splits is None else [tuple(ids) for ids in splits]
    if not wanted or not all(wanted):
        raise ParameterError("there is nothing to compare: give tokenisations with at least one token each")
    for ids in wanted:
        if _bytes(tokenizer, ids) != utf8(text, "text"):
            raise ParameterError(f"the tokens {list(ids)} are not the text {text!r}")
    rows: list[Distribution] = []
    for answer in ask(adapter, [Prefix(ids) for ids in wanted], ALL):
        if isinstance(answer, DecodekitError):
            raise answer
        rows.append(answer)
    distances = np.array([[one.tv(other) for other in rows] for one in rows])
    return Tokenised(tuple(wanted), tuple(rows), distances)


def tokenisations(tokenizer: Tokenizer, text: str, most: int = 8) -> list[tuple[int, ...]]:
    """Ways to split a text into tokens: the tokenizer's own first, then the others by their number of tokens.

    Args:
        tokenizer: the model's.
        text: at least one character.
        most: how many at most, 1 to 100,000. Ways with equally many tokens come in the order of their ids.

    Raises:
        ParameterError: an empty text, or a number out of range.
    """
    limit, data = whole(most, "most", 1, _MOST), utf8(text, "text")
    if not data:
        raise ParameterError("text is empty: it has one tokenisation, without tokens")
    own = tuple(tokenizer.encode(text))
    found = [own] if _bytes(tokenizer, own) == data else []
    pieces = _pieces(tokenizer, data)
    shortest: list[list[tuple[int, ...]]] = [[] for _ in data] + [[()]]  # the best ways to write the rest
    for start in reversed(range(len(data))):
        ways = [(token, *rest) for token, end in pieces[start] for rest in shortest[end]]
        shortest[start] = sorted(ways, key=lambda ids: (len(ids), ids))[: limit + 1]
    return (found + [ids for ids in shortest[0] if ids != own])[:limit]


def _pieces(tokenizer: Tokenizer, data: bytes) -> list[list[tuple[int, int]]]:
    """The tokens that can stand at each place of the text, with the place where each ends."""
    found: list[list[tuple[int, int]]] = [[] for _ in data]
    for token in range(tokenizer.vocab_size):
        piece = tokenizer.token_bytes(token)
        if piece and piece in data and token not in tokenizer.eos_ids:
            for start in range(len(data)):
                if data.startswith(piece, start):
                    found[start].append((token, start + len(piece)))
    return found


def _bytes(tokenizer: Tokenizer, ids: Sequence[int]) -> bytes:
    return b"".join(tokenizer.token_bytes(token) or b"" for token in ids)
