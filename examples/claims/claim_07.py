"""Claim 7: temperature is noise that breaks ties between hidden states."""

from functools import partial

import numpy as np
from claim import BOTH, PROMPT, SWEEP, Claim, smollm2, torch_rows

from decodekit import Prefix
from decodekit.analysis import temperature_facts
from decodekit.analysis.plots import Line, plot_curves


def measure(small: bool = False) -> Claim:
    """One distribution at many temperatures."""
    model = smollm2().adapter
    (answer,) = model.predict([Prefix(model.tokenizer.encode(PROMPT))])
    grid = np.array([0.5, 1.0, 2.0]) if small else np.round(np.arange(0.1, 4.01, 0.1), 1)
    facts = temperature_facts(answer, grid.tolist(), draws=10 if small else 50)
    other = None if small else temperature_facts(torch_rows(1)[0], grid.tolist(), draws=50)

    entropy = dict(zip(grid.tolist(), facts.entropies.tolist(), strict=True))
    tried = facts.draws * len(grid)
    theirs = {} if other is None else _figures(other, grid)
    lines = {"llama.cpp": facts} if other is None else {"llama.cpp": facts, "torch": other}
    return Claim(
        "Temperature is noise that is added to break ties between hidden states.",
        BOTH,
        {
            "the order of all 49,152 tokens is the same at every temperature": "yes" if facts.same_order else "no",
            **{f"entropy at T = {at:g}": f"{entropy[at]:.3f} nats, exact" for at in (0.5, 1.0, 2.0)},
            f"of {tried} draws, not the token with the largest score + T * noise": str(int(facts.other_draws.sum())),
            **theirs,
        },
        "wrong",
        "Temperature divides the scores. Hidden states and the order of the tokens stay as they are, and the entropy "
        "rises with T. The grain of truth: a draw takes the largest score plus T times a Gumbel number.",
        facts.same_order and bool(np.all(np.diff(facts.entropies) > 0)) and not facts.other_draws.any()
        and (other is None or (other.same_order and not other.other_draws.any())),
        partial(
            plot_curves, x=grid, lines={name: Line(each.entropies) for name, each in lines.items()},
            x_label="temperature", y_label="entropy of the next token, nats",
        ),
        commands=(f'{SWEEP} --answer " Paris" --temperatures 0.5,1,2',),
    )  # fmt: skip


def _figures(facts, grid):
    at = [int(np.argmin(np.abs(grid - name))) for name in (0.5, 1.0, 2.0)]
    return {
        "torch: the order of all tokens is the same": "yes" if facts.same_order else "no",
        **{f"torch: entropy at T = {grid[i]:g}": f"{facts.entropies[i]:.3f} nats, exact" for i in at},
    }
