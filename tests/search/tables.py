"""Tiny models whose law can be enumerated, and validators for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from decodekit import Choice, Context, Distribution
from decodekit.testing import PiecesTokenizer, TableAdapter

LETTERS = "abc"
END = 3
PROMPT = [0]
MAX_TOKENS = 4

Law = dict[tuple[int, ...], float]
Rows = Callable[[tuple[int, ...]], np.ndarray]


@cache
def scores(ids: tuple[int, ...]) -> np.ndarray:
    """A row of scores that depends on all ids, and not evenly."""
    row = np.random.default_rng([7, *ids]).normal(0, 1.2, END + 1)
    row[END] += 1.5 * (len(ids) - len(PROMPT) - 1)
    return row


def model(rows: Rows = scores, **keywords: Any) -> TableAdapter:
    """A model of three letters and an end."""
    tokenizer = PiecesTokenizer([*(letter.encode() for letter in LETTERS), None], eos_ids=[END])
    return TableAdapter(rows, END + 1, tokenizer=tokenizer, **keywords)


class NotAgain:
    """A stateful processor: the score of the last token falls by one each time."""

    name = "not_again"

    def initial(self, ctx: Context) -> int:
        return -1

    def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
        return dist if state < 0 else dist.add([state], [-1.0])

    def advance(self, state: int, choice: Choice, ctx: Context) -> int:
        return choice.token_id


def probabilities(row: np.ndarray) -> np.ndarray:
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def plain(ids: tuple[int, ...]) -> np.ndarray:
    """The law of the next token without a chain."""
    return probabilities(scores((*PROMPT, *ids)))


def chained(ids: tuple[int, ...]) -> np.ndarray:
    """The same after temperature 1.5, `NotAgain`, and top_k 3."""
    row = scores((*PROMPT, *ids)) / 1.5
    if ids:
        row[ids[-1]] -= 1.0
    row[row.argmin()] = -math.inf
    return probabilities(row)


def texts(next_law: Rows, most: int = MAX_TOKENS) -> Law:
    """The probability of every text that ends within so many tokens."""
    found: Law = {}
    for length in range(most):
        for ids in product(range(END), repeat=length):
            p = math.prod(float(next_law(ids[:i])[ids[i]]) for i in range(length)) * float(next_law(ids)[END])
            found[*ids, END] = p
    return found


def odd(text: str, ended: bool) -> bool:
    """An odd number of a, and never two c in a row. What is only begun is hardly checked: there are dead ends."""
    return "cc" not in text and (not ended or text.count("a") % 2 == 1)


class Masked:
    """The same law as ids, with the tokens that may come next."""

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        return odd(self._text(ids), False)

    def complete(self, ids: tuple[int, ...]) -> bool:
        return odd(self._text(ids), True)

    def allowed(self, ids: tuple[int, ...]) -> list[int]:
        found = [i for i in range(END) if self.prefix_ok((*ids, i))]
        return [*found, END] if self.complete(ids) else found

    def _text(self, ids: tuple[int, ...]) -> str:
        return "".join(LETTERS[i] for i in ids)


def valid_of(law: Law, valid: Callable[[str, bool], bool] = odd) -> tuple[float, Law]:
    """The probability of a valid text, and the law given that."""
    kept: Law = {}
    for ids, p in law.items():
        text = "".join(LETTERS[i] for i in ids if i != END)
        if p > 0 and valid(text, True) and all(valid(text[:i], False) for i in range(1, len(text) + 1)):
            kept[ids] = p
    total = math.fsum(kept.values())
    return total, {ids: p / total for ids, p in kept.items()}
