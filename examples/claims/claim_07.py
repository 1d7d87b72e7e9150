"""Claim 7: temperature is noise that breaks ties between hidden states."""

from functools import partial

import numpy as np
from claim import PROMPT, SMOLLM2, Claim, smollm2

from decodekit import Prefix
from decodekit.analysis import temperature_facts
from decodekit.analysis.plots import Line, plot_curves


def measure(small: bool = False) -> Claim:
    """One distribution at many temperatures."""
    model = smollm2().adapter
    (answer,) = model.predict([Prefix(model.tokenizer.encode(PROMPT))])
    grid = np.array([0.5, 1.0, 2.0]) if small else np.round(np.arange(0.1, 4.01, 0.1), 1)
    facts = temperature_facts(answer, grid.tolist(), draws=10 if small else 50)

    entropy = dict(zip(grid.tolist(), facts.entropies.tolist(), strict=True))
    tried = facts.draws * len(grid)
    return Claim(
        "Temperature is noise that is added to break ties between hidden states.",
        SMOLLM2,
        {
            "the order of all 49,152 tokens is the same at every temperature": "yes" if facts.same_order else "no",
            **{f"entropy at T = {at:g}": f"{entropy[at]:.3f} nats, exact" for at in (0.5, 1.0, 2.0)},
            f"of {tried} draws, not the token with the largest score + T * noise": str(int(facts.other_draws.sum())),
        },
        "wrong",
        "Temperature divides the scores. Hidden states and the order of the tokens stay as they are, and the entropy "
        "rises with T. The grain of truth: a draw takes the largest score plus T times a Gumbel number.",
        facts.same_order and bool(np.all(np.diff(facts.entropies) > 0)) and not facts.other_draws.any(),
        partial(
            plot_curves, x=grid, lines={"next token": Line(facts.entropies)}, x_label="temperature",
            y_label="entropy, nats",
        ),
    )  # fmt: skip
