"""Claim 5: the distribution of the second token is random unless the first is known."""

import numpy as np
from claim import PROMPT, SMOLLM2, Claim, percent, smollm2

import decodekit
from decodekit.analysis import marginal, sampled_marginal


def measure(small: bool = False) -> Claim:
    """The second token after a known first one, and whatever the first one is."""
    model = smollm2().adapter
    ids = model.tokenizer.encode(PROMPT)
    paris, comma = (model.tokenizer.encode(text)[0] for text in (" Paris", ","))
    (known,) = model.predict([decodekit.Prefix([*ids, paris])])
    mixed = marginal(model, PROMPT, 1, width=100)
    greedy = marginal(model, PROMPT, 1, chain="greedy")
    sampled = None if small else sampled_marginal(model, PROMPT, 1, n=200, seed=1)

    after, low = np.exp(known.logprob(comma)), mixed.probabilities[comma]
    figures = {
        'probability of "," after " Paris"': f"{percent(after)}, exact",
        'probability of "," whatever the first token is': f"{percent(low)} to {percent(low + mixed.missing)}, certain",
        "information of the first token on the second under greedy": f"{greedy.information:.3f} nats, exact",
    }
    if sampled is not None:
        estimate = sampled.probabilities[comma], sampled.errors[comma]
        figures["the same from 200 sampled first tokens"] = f"{percent(estimate[0])} ± {percent(estimate[1])}"
    return Claim(
        "The distribution of the second token is itself random, unless it is conditioned on the first.",
        SMOLLM2,
        figures,
        "true",
        "After a known first token there is one distribution. If the first is drawn, the second has a distribution "
        "that depends on the draw; their mixture is another one. With greedy decoding nothing is random.",
        abs(after - low) > mixed.missing and greedy.information == 0,
    )
