"""Claim 5: the distribution of the second token is random unless the first is known."""

from functools import partial

import numpy as np
from claim import BOTH, PROMPT, Claim, in_python, percent, smollm2, torch_smollm2

import decodekit
from decodekit.analysis import marginal, sampled_marginal
from decodekit.analysis.plots import plot_bars


def measure(small: bool = False) -> Claim:
    """The second token after a known first one, and whatever the first one is."""
    model = smollm2().adapter
    (first,) = model.predict([decodekit.Prefix(model.tokenizer.encode(PROMPT))])
    known = {int(token): _after(model, int(token)) for token in first.order[:6]}  # each likely first token
    mixed = marginal(model, PROMPT, 1, width=100)  # whatever the first token is
    greedy = marginal(model, PROMPT, 1, chain="greedy")
    sampled = None if small else sampled_marginal(model, PROMPT, 1, n=200, seed=1)
    other = None if small else marginal(torch_smollm2(), PROMPT, 1, width=100)

    paris, comma = (model.tokenizer.encode(text)[0] for text in (" Paris", ","))
    after, low = {token: float(np.exp(row.logprob(comma))) for token, row in known.items()}, mixed.probabilities[comma]
    figures = {
        'probability of "," after " Paris"': f"{percent(after[paris])}, exact",
        'probability of "," whatever the first token is': f"{percent(low)} to {percent(low + mixed.missing)}, certain",
        "information of the first token on the second under greedy": f"{greedy.information:.3f} nats, exact",
    }
    if sampled is not None:
        estimate = sampled.probabilities[comma], sampled.errors[comma]
        figures["the same from 200 sampled first tokens"] = f"{percent(estimate[0])} ± {percent(estimate[1])}"
        theirs, least = np.exp(_after(torch_smollm2(), paris).logprob(comma)), other.probabilities[comma]
        most = least + other.missing
        figures['torch: probability of "," after " Paris"'] = f"{percent(theirs)}, exact"
        figures["torch: whatever the first token is"] = f"{percent(least)} to {percent(most)}, certain"
    names = [f'after "{model.tokenizer.decode([token]).decode()}"' for token in after]
    return Claim(
        "The distribution of the second token is itself random, unless it is conditioned on the first.",
        BOTH,
        figures,
        "true",
        "After a known first token there is one distribution. If the first is drawn, the second has a distribution "
        "that depends on the draw; their mixture is another one. With greedy decoding nothing is random.",
        abs(after[paris] - low) > mixed.missing and greedy.information == 0 and (small or not least <= theirs <= most),
        partial(
            plot_bars, names=[*names, "first token not known (lower bound)"], x_label="probability",
            bars={'probability of ","': [*after.values(), low]},
        ),
        commands=(in_python(
            "import decodekit",
            "from decodekit.analysis import marginal",
            "model = decodekit.adapter('llamacpp', model='smollm2', n_threads=1)",
            "found = marginal(model, 'The capital of France is', 1, width=100)",
            "comma = model.tokenizer.encode(',')[0]",
            "print(found.probabilities[comma], 'to', found.probabilities[comma] + found.missing)",
        ),),
    )  # fmt: skip


def _after(model, token):
    (row,) = model.predict([decodekit.Prefix([*model.tokenizer.encode(PROMPT), token])])
    return row
