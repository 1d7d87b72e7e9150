"""Claim 10: many samples at a very high temperature beat temperature 0; the best temperature is zero or one."""

from functools import partial

import numpy as np
from claim import PROMPT, SMOLLM2, SWEEP, Claim, percent, smollm2

from decodekit.analysis import sweep, temperature_curve
from decodekit.analysis.plots import Line, plot_curves

ANSWERS = {"all greedy": " Paris.", "not greedy": " Paris, the"}


def measure(small: bool = False) -> Claim:
    """pass@100 = 1 - (1 - p_T)^100 of two answers, exact: one of greedy steps only, one of other steps too."""
    grid = np.array([0.0, 0.7, 1.0, 2.0]) if small else np.round(np.linspace(0, 3, 61), 2)
    logprobs = temperature_curve(smollm2().adapter, PROMPT, list(ANSWERS.values()), grid)
    solved = 1 - (1 - np.exp(logprobs)) ** 100
    done = None if small else sweep(
        smollm2(), [PROMPT], ["temperature=0.7"], 128, check="regex:^ Paris, the", seed=3, max_tokens=4
    )  # fmt: skip

    at = {name: int(np.argmin(np.abs(grid - name))) for name in (0.0, 0.7, 1.0, 2.0)}
    figures = {
        f"pass@100 at T = {name:g}, {kind}": f"{percent(solved[i, at[name]])}, exact"
        for i, kind in enumerate(ANSWERS)
        for name in at
    }
    if done is not None:
        right, p = int(sum(row.value for row in done.rows)), float(np.exp(logprobs[1, at[0.7]]))
        spread = (128 * p * (1 - p)) ** 0.5
        figures |= {"best T for 100 samples, not greedy": f"{grid[solved[1].argmax()]:g}, on a grid of 0.05",
                    "of 128 samples at T = 0.7, right": f"{right}; {128 * p:.2f} ± {spread:.2f} expected"}  # fmt: skip
    return Claim(
        "Many samples at a very high temperature beat temperature 0; the best temperature is either zero or one.",
        f'{SMOLLM2}; answers: "{ANSWERS["all greedy"]}" (all greedy) and "{ANSWERS["not greedy"]}" (not greedy)',
        figures,
        "mostly wrong",
        "Where greedy decoding finds the answer, T = 0 is best for any number of samples. Where it does not, T = 0 "
        "never finds it, and the best temperature is moderate: at high T the answer is lost again.",
        bool(solved[0, 0] == 1 and solved[1, 0] == 0 and solved[1, at[2.0]] < solved[1].max()),
        partial(
            plot_curves, x=grid, lines={kind: Line(row) for kind, row in zip(ANSWERS, solved, strict=True)},
            x_label="temperature", y_label="pass@100",
        ),
        commands=((
            f'{SWEEP} --samples 128 --temperatures 0.7 --check "regex:^ Paris, the" --pass-at 100 --seed 3 '
            '--max-tokens 4'
        ),),
    )  # fmt: skip
