"""Claim 3: addition of floats is not commutative, and its order is random."""

from functools import partial

from claim import Claim, in_python

from decodekit.analysis import float_addition
from decodekit.analysis.plots import plot_bars


def measure(small: bool = False) -> Claim:
    """Add random numbers in two orders and in two groupings."""
    found = {dtype: float_addition(10_000, dtype, repeats=100) for dtype in ("float32", "float16")}
    results = None if small else _products(100)

    figures = {}
    for dtype, each in found.items():
        figures[f"a + b differs from b + a, {dtype}"] = f"{each.order_matters} of {each.tried}"
        figures[f"(a + b) + c differs from a + (b + c), {dtype}"] = f"{each.grouping_matters} of {each.tried}"
        figures[f"a sum of all with other bits in 100 repetitions, {dtype}"] = str(each.repeat_matters)
    if results is not None:
        figures["different results in 100 products of the same two matrices, torch"] = str(results)
    return Claim(
        "Addition of floating-point numbers is not commutative, and a GPU adds in a random order.",
        "random numbers, numpy and torch on the CPU; no GPU was used",
        figures,
        "wrong as put",
        "Addition commutes exactly. It is not associative, so the grouping of a sum matters; and the same grouping "
        "gives the same bits each time. Whether a GPU kernel groups at random was not measured.",
        all(each.order_matters == each.repeat_matters == 0 < each.grouping_matters for each in found.values())
        and results in (None, 1),
        partial(
            plot_bars, names=["a + b and b + a", "(a + b) + c and a + (b + c)"], x_label="share of pairs that differ",
            bars={name: [each.order_matters / each.tried, each.grouping_matters / each.tried]
                  for name, each in found.items()},
        ),
        "none",
        (in_python(
            "from decodekit.analysis import float_addition",
            "print(float_addition(10_000, 'float32', repeats=100))",
        ),),
    )  # fmt: skip


def _products(repeats):
    """How many different results torch has for one product of two matrices of 512 rows."""
    import torch

    noise = torch.Generator().manual_seed(0)
    one, other = (torch.randn(512, 512, generator=noise) for _ in range(2))
    return len({(one @ other).numpy().tobytes() for _ in range(repeats)})
