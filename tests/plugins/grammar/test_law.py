"""The law of masked texts, by enumeration: each finished text has p / prod Z, and is not the law given validity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance")

from decodekit import Choice, Context, Distribution, processor
from decodekit.draw.context import TokenIds
from decodekit.testing.tokenizers import PiecesTokenizer

PIECES: list[bytes | None] = [b"a", b"b", b"c", b"ab", None]
END = 4
TOKENS = PiecesTokenizer(PIECES, eos_ids=[END])


def enumerated(part: Any, rows: Any) -> dict[tuple[int, ...], tuple[float, float, float]]:
    """For each finished text: its probability without the mask, with it, and the product of Z."""
    ctx = Context(TokenIds([0]), TokenIds(), TOKENS)
    found = {}
    waiting = [((), part.initial(ctx), 1.0, 1.0, 1.0)]
    while waiting:
        ids, place, p, q, z = waiting.pop()
        row = np.asarray(rows(ids), dtype=np.float64)
        with np.errstate(divide="ignore"):
            masked = part(Distribution.dense(np.log(row)), ctx, place)
        kept = float(row[place.mask].sum())
        for token in place.mask.nonzero()[0].tolist():
            share = math.exp(masked.logprob(token))
            each = p * row[token], q * share, z * kept
            if token == END:
                found[(*ids, token)] = each
            elif row[token] > 0:
                waiting.append(((*ids, token), part.advance(place, Choice(token, 0.0), ctx), *each))
    return found


def random_rows(ids: tuple[int, ...]) -> Any:
    row = np.random.default_rng([3, *ids]).dirichlet(np.ones(len(PIECES)))
    return np.maximum(row, 1e-6) / np.maximum(row, 1e-6).sum()


@pytest.mark.parametrize("forcing", ["canonical", "free"])
def test_a_masked_text_has_its_probability_over_the_product_of_z(forcing: str) -> None:
    found = enumerated(processor("regex", regex="(ab?){1,3}c?", forcing=forcing), random_rows)
    assert sum(q for _, q, _ in found.values()) == pytest.approx(1)
    for p, q, z in found.values():
        assert q == pytest.approx(p / z, rel=1e-6)
    texts = {b"".join(PIECES[i] or b"" for i in ids) for ids in found}
    assert len(texts) == 2 * (2 + 4 + 8) < len(found)  # several splits of a text are several outcomes


def toy_rows(ids: tuple[int, ...]) -> Any:
    """a (0.9) is valid only where c (0.01) follows; b (0.1) is valid with anything."""
    if not ids:
        return [0.9, 0.1, 0, 0, 0]
    return [0, 0, 0, 0, 1] if len(ids) == 2 else [0, 0.99, 0.01, 0, 0]


def test_the_masked_law_is_far_from_the_law_of_valid_texts_and_weights_mend_it() -> None:
    found = enumerated(processor("choice", choice=["ac", "bb", "bc"], forcing="free"), toy_rows)
    valid = sum(p for p, _, _ in found.values())
    assert valid == pytest.approx(0.109)
    assert sum(q * z for _, q, z in found.values()) == pytest.approx(valid)  # the mean weight
    apart = sum(abs(q - p / valid) for p, q, _ in found.values()) / 2
    assert apart == pytest.approx(0.9 - 0.009 / 0.109)  # total variation: 0.82
