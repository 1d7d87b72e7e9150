"""The laws no oracle here has, written down once more in plain loops and compared over every small case."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Context, Distribution

from .logit_rows import rows

INF = math.inf
# Every row of five tokens made of these: ties, masks, flat ones, leaders.
GRID = [row for row in itertools.product((-INF, -2.0, 0.0, 4.0), repeat=5) if max(row) > -INF and row[0] >= row[1]]
SOME = [row.astype(np.float64).tolist() for row in rows()[:400]]


def apply(name: str, row: list[float], **parameters: Any) -> Distribution:
    return decodekit.processor(name, **parameters)(Distribution.dense(row), Context())


def probabilities(row: list[float]) -> list[float]:
    top = max(row)
    weights = [math.exp(x - top) for x in row]
    total = math.fsum(weights)
    return [w / total for w in weights]


def by_limit(row: list[float], limit: float, min_keep: int) -> tuple[list[int], bool]:
    """The tokens at or above the limit, and whether one is so near that rounding decides."""
    p = probabilities(row)
    alive = [i for i, x in enumerate(row) if x > -INF]
    near = any(abs(p[i] / limit - 1) < 1e-9 for i in alive) if limit > 0 else False
    first = sorted(alive, key=lambda i: (-row[i], i))[:min_keep]
    return sorted({i for i in alive if p[i] >= limit} | set(first)), near


def top_a(row: list[float], a: float, min_keep: int) -> tuple[list[int], bool]:
    return by_limit(row, a * max(probabilities(row)) ** 2, min_keep)


def p_less(row: list[float], factor: float, min_keep: int) -> tuple[list[int], bool]:
    return by_limit(row, factor * math.fsum(p * p for p in probabilities(row)), min_keep)


def p_less_norm(row: list[float], factor: float, min_keep: int) -> tuple[list[int], bool]:
    agree = math.fsum(p * p for p in probabilities(row))
    return by_limit(row, factor * (len(row) * agree - 1) / (len(row) - 1), min_keep)


def tfs(row: list[float], z: float, min_keep: int, law: str = "original") -> tuple[list[int], bool]:
    order = sorted((i for i, x in enumerate(row) if x > -INF), key=lambda i: (-row[i], i))
    p = [probabilities(row)[i] for i in order]
    bends = [abs(p[i] - 2 * p[i + 1] + p[i + 2]) for i in range(len(p) - 2)]
    total = math.fsum(bends)
    if not bends or (total < 1e-15 and law == "original"):
        return sorted(order), False
    if law == "koboldcpp" and total <= 1e-6:
        bends, total = [1.0] * len(bends), float(len(bends))
    used, cut, near = 0.0, None, False
    for i, bend in enumerate(bends):
        used += bend / total
        near |= abs(used - z) < 1e-9
        if used > z and cut is None:
            cut = i
    assert cut is not None
    if law == "koboldcpp":  # it looks from the bend of this place on, and where it finds none it cuts nothing
        cut = max(cut, min_keep)
        return sorted(order[:cut] if cut < len(bends) else order), near
    return sorted(order[: max(cut + 1, min_keep)]), near


LAWS = {"top_a": top_a, "p_less": p_less, "p_less_norm": p_less_norm, "tfs": tfs}


@pytest.mark.parametrize(
    ("name", "values", "options"),
    [
        ("top_a", (0.03, 0.2, 0.9, 1.0), {}),
        ("p_less", (0.01, 0.3, 1.0), {}),
        ("p_less_norm", (0.01, 0.3, 1.0), {}),
        ("tfs", (0.0, 0.3, 0.6, 0.95), {}),
        ("tfs", (0.0, 0.3, 0.6, 0.95), {"law": "koboldcpp"}),
    ],
)
@pytest.mark.parametrize("min_keep", [1, 3])
def test_every_small_row_is_cut_as_the_definition_says(
    name: str, values: tuple[float, ...], options: dict[str, str], min_keep: int
) -> None:
    narrow = cases = 0
    for number, row in enumerate([*GRID, *SOME]):
        value = values[number % len(values)]
        expected, near = LAWS[name](row, value, min_keep, **options)
        after = apply(name, row, **{name: value}, min_keep=min_keep, **options)
        cases += 1
        if near:
            narrow += 1
            continue
        assert sorted(after.support().tolist()) == expected, (row, value)
        assert not after.ambiguous or len(expected) == len(row), (row, value)
        assert after.scores_of(expected).tolist() == [row[i] for i in expected]
    assert cases > 1_000 and narrow < 0.25 * cases, f"{narrow} of {cases} were narrow"


@pytest.mark.parametrize("size", [1, 2, 3, 40, 5_000])
def test_a_flat_distribution_stays_whole(size: int) -> None:
    row = [0.3] * size
    for name in ("p_less", "p_less_norm", "top_a", "tfs"):
        assert apply(name, row, **{name: 0.9 if name == "tfs" else 1.0}).support_size == size, name


def test_the_published_p_less_keeps_less_than_its_normalised_form() -> None:
    for row in SOME:
        less = set(apply("p_less", row, p_less=1.0).support().tolist())
        assert less <= set(apply("p_less_norm", row, p_less_norm=1.0).support().tolist())
        assert int(np.argmax(row)) in less


@pytest.mark.parametrize(("factor", "curve"), [(0.3, 1.0), (1.7, 2.0), (0.5, 3.0), (0.05, 6.0), (1e-300, 10.0)])
def test_quadratic_smoothing_is_its_formula(factor: float, curve: float) -> None:
    for row in [*GRID[:200], *SOME[:100]]:
        k, s, top = (3 - curve) / 2, (curve - 1) / 2, max(row)
        expected = [x if x == -INF else -k * factor * (x - top) ** 2 + s * factor * (x - top) ** 3 + top for x in row]
        after = apply("quadratic", row, quadratic=factor, curve=curve)
        assert after.scores.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert apply("quadratic", [1.0, 2.0], quadratic=0.0).scores.tolist() == [1.0, 2.0]


def test_quadratic_smoothing_by_hand() -> None:
    # 1 below the leader becomes 0.5 below it, 2 below becomes 2, 3 below 4.5.
    after = apply("quadratic", [3.0, 2.0, 1.0, 0.0], quadratic=0.5)
    assert after.scores.tolist() == [3.0, 2.5, 1.0, -1.5]
    assert apply("quadratic", [2.0, 1.0, -1.0, -2.0], quadratic=0.5).scores.tolist() == [2.0, 1.5, -2.5, -6.0]
    assert apply("quadratic", [0.0, -1e200], quadratic=1.0).support().tolist() == [0]  # it has no probability left


def test_dynamic_temperature_by_hand() -> None:
    # Two equal tokens: the entropy is all it can be, so the temperature is the highest.
    assert apply("dynamic_temperature", [1.0, 1.0], dynamic_temperature=1.0, spread=1.0).scores.tolist() == [0.5, 0.5]
    # A quarter of four: 1.5 bits of 2 with 1/2, 1/4, 1/8, 1/8 are 1.75 of 2.
    row = np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8]).tolist()
    after = apply("dynamic_temperature", row, dynamic_temperature=1.0, spread=0.8, exponent=2.0)
    assert after.scores.tolist() == pytest.approx([x / (0.2 + 1.6 * (1.75 / 2) ** 2) for x in row])
    assert apply("dynamic_temperature", row, dynamic_temperature=0.5).scores.tolist() == [2 * x for x in row]
    assert apply("dynamic_temperature", row, dynamic_temperature=0.0).support().tolist() == [0]
    assert apply("dynamic_temperature", [7.0, -INF], dynamic_temperature=1.0, spread=0.5).scores.tolist() == [7.0, -INF]
    # So sure that the temperature is next to nothing: the limit, and no overflow.
    assert apply("dynamic_temperature", [0.0, -40.0], dynamic_temperature=0.5, spread=1.0).support().tolist() == [0]
