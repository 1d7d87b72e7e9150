"""The token that crosses p: kept by most engines, dropped by exllamav3; with its equals in the fused kernel."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit import Chain, Context, Distribution, Undisclosed, processor

FOUR = [0.4, 0.3, 0.2, 0.1]
PAIR = [0.5, 0.25, 0.25]


def left(probs: list[float], p: float, **options: object) -> list[int]:
    nucleus = processor("top_p", top_p=p, crossing="drop", **options)
    return sorted(nucleus(Distribution.dense(np.log(probs)), Context()).support().tolist())


@pytest.mark.parametrize(
    ("probs", "p", "lowest", "everybody"),
    [
        (FOUR, 0.65, [0], [0]),
        (FOUR, 0.7, [0, 1], [0, 1]),  # the sum is p exactly
        (FOUR, 0.75, [0, 1], [0, 1]),
        (FOUR, 0.3, [0], [0]),  # the first stays in any case
        (FOUR, 0.999, [0, 1, 2], [0, 1, 2]),
        (PAIR, 0.75, [0, 1], [0]),  # equals share their fate: together they cross
        (PAIR, 0.8, [0, 1], [0]),
        ([0.25] * 4, 0.5, [0, 1], [0, 1, 2, 3]),  # and the first of all have their equals with them
        ([0.25] * 4, 0.2, [0], [0, 1, 2, 3]),
    ],
)
def test_the_token_that_crosses_goes(probs: list[float], p: float, lowest: list[int], everybody: list[int]) -> None:
    assert left(probs, p) == lowest
    assert left(probs, p, ties="all") == everybody
    asked = {"top_p": p, "temperature": 1.0}
    row = Distribution.dense(np.log(probs))
    eager, fused = (Chain.preset("exllamav3", fused=fused, **asked).apply(row, Context()) for fused in (False, True))
    assert (sorted(eager.support().tolist()), sorted(fused.support().tolist())) == (lowest, everybody)


def test_min_keep_comes_first_and_a_head_is_asked_no_more_than_it_knows() -> None:
    assert left(FOUR, 0.65, min_keep=3) == [0, 1, 2]
    head = Distribution.head([3, 1, 7], np.log([0.5, 0.3, 0.1]), 50)
    assert processor("top_p", top_p=0.6, crossing="drop")(head, Context()).support().tolist() == [3]
    with pytest.raises(Undisclosed):
        processor("top_p", top_p=0.95, crossing="drop")(head, Context())
