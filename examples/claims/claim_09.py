"""Claim 9: even a small temperature lowers success, exponentially in the length."""

from functools import partial

import numpy as np
from claim import PROMPT, SMOLLM2, SWEEP, Claim, percent, smollm2

from decodekit.analysis import temperature_curve
from decodekit.analysis.plots import Line, plot_curves


def measure(small: bool = False) -> Claim:
    """The probability of the beginnings of one greedy text at each temperature; exact, nothing is sampled."""
    greedy = smollm2().generate(PROMPT, chain="greedy", max_tokens=20).token_ids
    grid = np.array([0.1, 0.5, 1.0]) if small else np.round(np.linspace(0, 1.5, 31), 2)
    lengths = (2, 5, 10, 20)
    found = np.exp(temperature_curve(smollm2().adapter, PROMPT, [list(greedy[:n]) for n in lengths], grid))

    at = {name: int(np.argmin(np.abs(grid - name))) for name in (0.1, 0.5, 1.0)}
    return Claim(
        "Even a very small temperature lowers success markedly, and exponentially with the length.",
        f'{SMOLLM2}; success: the greedy text after "{PROMPT}"',
        {
            f"{n} tokens, T = {name:g}": f"{percent(found[i, at[name]])}, exact"
            for i, n in enumerate(lengths)
            for name in at
        },
        "true of long exact texts only",
        "The probability is a product over tokens. A short text with clear margins hardly loses at small T; twenty "
        "tokens, where all others count as wrong, lose half at T = 0.1.",
        bool(found[0, at[0.1]] > 0.99 and found[3, at[0.1]] < 0.6 and np.all(np.diff(found, axis=0) <= 1e-12)),
        partial(
            plot_curves, x=grid, lines={f"{n} tokens": Line(row) for n, row in zip(lengths, found, strict=True)},
            x_label="temperature", y_label="probability",
        ),
        commands=(f'{SWEEP} --answer " Paris." --temperatures 0.1,0.5,1',),
    )  # fmt: skip
