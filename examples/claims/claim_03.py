"""Claim 3: addition of floats is not commutative, and its order is random."""

from claim import Claim

from decodekit.analysis import float_addition


def measure(small: bool = False) -> Claim:
    """Add random numbers in two orders and in two groupings."""
    found = {dtype: float_addition(10_000, dtype, repeats=100) for dtype in ("float32", "float16")}

    figures = {}
    for dtype, each in found.items():
        figures[f"a + b differs from b + a, {dtype}"] = f"{each.order_matters} of {each.tried}"
        figures[f"(a + b) + c differs from a + (b + c), {dtype}"] = f"{each.grouping_matters} of {each.tried}"
        figures[f"a sum of all with other bits in 100 repetitions, {dtype}"] = str(each.repeat_matters)
    return Claim(
        "Addition of floating-point numbers is not commutative, and a GPU adds in a random order.",
        "random numbers, numpy on the CPU; no GPU was used",
        figures,
        "wrong as put",
        "Addition commutes exactly. It is not associative, so the grouping of a sum matters; and the same grouping "
        "gives the same bits each time. Whether a GPU kernel groups at random was not measured.",
        all(each.order_matters == each.repeat_matters == 0 < each.grouping_matters for each in found.values()),
    )
