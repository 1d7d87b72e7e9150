"""Claim 11: the probability of near misses grows as the temperature falls."""

from functools import partial

import numpy as np
from claim import PROMPT, SMOLLM2, SWEEP, Claim, percent, smollm2

from decodekit.analysis import curves
from decodekit.analysis.plots import Line, plot_curves

ANSWERS = {"greedy": " Paris.", "not greedy": " Lyon."}


def measure(small: bool = False) -> Claim:
    """The mass of texts at edit distance 1 in tokens from two answers, within certain bounds."""
    grid = np.array([0.2, 0.5, 1.0]) if small else np.round(np.linspace(0.05, 1.5, 30), 2)
    model = smollm2().adapter
    found = {name: curves(model, PROMPT, [answer], grid, near=4).near for name, answer in ANSWERS.items()}

    at = [int(np.argmin(np.abs(grid - name))) for name in (0.2, 0.5, 1.0)]
    figures = {
        f"near misses of the {name} answer, T = {grid[i]:g}": f"{percent(each.low[i])} to {percent(each.high[i])}"
        for name, each in found.items()
        for i in at
    }
    greedy, other = found.values()
    return Claim(
        "The probability of near misses, texts close to the known solution, grows as the temperature falls to 0.",
        f'{SMOLLM2}; solutions: "{ANSWERS["greedy"]}" (greedy) and "{ANSWERS["not greedy"]}" (not greedy)',
        figures,
        "depends on the solution",
        "At T = 0 all probability is on the greedy text. If that is the solution, its near misses vanish; if it is "
        "one token away from the solution, it is itself a near miss and takes everything.",
        bool(greedy.high[at[0]] < greedy.low[at[2]] and other.low[at[0]] > other.high[at[2]]),
        partial(
            plot_curves, x=grid, x_label="temperature", y_label="near misses, lower to upper bound",
            lines={name: Line((each.low + each.high) / 2, each.low, each.high) for name, each in found.items()},
        ),
        commands=(
            f'{SWEEP} --answer " Paris." --answer " Lyon." --near 4 --temperatures 0.2,0.5,1',
        ),
    )  # fmt: skip
