"""Claim 13: a sample at temperature 1 is as far from the probability mass as possible."""

from functools import partial

import numpy as np
from claim import SMOLLM2, Claim, plus_minus, smollm2

from decodekit import Prefix
from decodekit.analysis import mean, score
from decodekit.analysis.plots import Line, plot_curves

PROMPT, ENDS = "Once upon a time", ("value", "low", "high")


def measure(small: bool = False) -> Claim:
    """Surprisal minus entropy under the model, along texts that were sampled at several temperatures."""
    grid = [0.6, 1.4] if small else [0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    n, length = (2, 6) if small else (16, 24)
    model, gaps = smollm2().adapter, {}
    for temperature in grid:
        group = smollm2().generate_many([PROMPT], n=n, seed=5, chain=f"temperature={temperature}", max_tokens=length)[0]
        scores = [score(model, list(each.token_ids), given=PROMPT).gaps for each in group]
        gaps[temperature] = mean(np.concatenate(scores), np.repeat(range(n), list(map(len, scores))).tolist())

    (first,) = model.predict([Prefix(model.tokenizer.encode(PROMPT))])
    figures = {f"first token, T = {at:g}": f"{_exact(first, at):.3f} nats, exact" for at in (0.6, 1.0, 1.4, 100.0)}
    figures |= {f"T = {at:g}, {n} texts of {length} tokens": plus_minus(each, "nats") for at, each in gaps.items()}
    return Claim(
        "A sample at temperature 1 is maximally distant from the probability mass.",
        f"{SMOLLM2}; surprisal minus entropy, mean by token with its error by text",
        figures,
        "wrong",
        "At T = 1 the mean surprisal is the entropy: such texts are typical ones. They surprise less at lower "
        "temperatures, and more the higher T is above 1: there is the far end.",
        gaps[0.6].value < gaps[1.4].value and (small or (gaps[1.0].low < 0 < gaps[1.0].high and gaps[1.4].low > 0)),
        partial(
            plot_curves, x=grid, x_label="temperature", y_label="surprisal minus entropy, nats",
            lines={"mean, and 95 %": Line(*([getattr(each, end) for each in gaps.values()] for end in ENDS))},
        ),
        f'"{PROMPT}"',
        ('decodekit score --model smollm2 --given "Once upon a time" ", there was a"',),
    )  # fmt: skip


def _exact(law, temperature):
    """The mean over the token, drawn at this temperature."""
    surprisal = float(np.exp(law.scaled(1 / temperature).logprobs) @ -law.logprobs)
    return round(surprisal - law.entropy, 9) + 0.0  # no -0.000
