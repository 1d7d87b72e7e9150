"""Claim 12: at a high temperature the known solution falls below chance."""

from functools import partial

import numpy as np
from claim import PROMPT, SMOLLM2, SWEEP, Claim, smollm2

from decodekit import Prefix
from decodekit.analysis import curves
from decodekit.analysis.plots import Line, plot_curves

ANSWERS = [" Paris.", " a city", " Lyon."]
NAMES = ['" Paris."', '" a city"', '" Lyon."', "the least likely token"]


def measure(small: bool = False) -> Claim:
    """log P_T of answers against uniformly random tokens; exact."""
    model = smollm2().adapter
    (answer,) = model.predict([Prefix(model.tokenizer.encode(PROMPT))])
    answers = [*ANSWERS, [int(answer.order[-1])]]
    grid = np.array([0.2, 1.0, 4.0, 100.0]) if small else np.array([0.2, 0.3, *np.linspace(0.5, 12, 47), 100.0])
    found = curves(model, PROMPT, answers, grid)
    above = found.logprobs - found.chance[:, np.newaxis]

    at = [int(np.argmin(np.abs(grid - name))) for name in (0.2, 1.0, 4.0, 100.0)]
    figures = {
        f"{name}, T = {grid[i]:g}": f"{row[i]:.2f} nats above chance, exact"
        for name, row in zip(NAMES, above, strict=True)
        for i in at
    }
    return Claim(
        "At a high temperature the probability of the known solution falls below chance.",
        f"{SMOLLM2}; chance: uniformly random tokens",
        figures,
        "mostly wrong",
        "High temperatures bring a solution down to chance and not below it, unless its scores are below the average. "
        "A solution that is not greedy lies below chance at a low temperature.",
        bool((above[:3, at[1:]] > 0).all() and above[2, at[0]] < 0 and (above[3] < 0).all()),
        partial(
            plot_curves, x=grid[:-1], x_label="temperature", y_label="nats above chance",
            lines={name: Line(row[:-1]) for name, row in zip(NAMES[:3], above[:3], strict=True)},
        ),
        commands=(
            f'{SWEEP} --answer " Paris." --answer " Lyon." --temperatures 0.2,1,4,100',
        ),
    )  # fmt: skip
