"""Claim 14: train on samples of a high temperature."""

from claim import SMOLLM2, Claim, plus_minus, smollm2

from decodekit import Prefix
from decodekit.analysis import chain_shift

PROMPT = "Once upon a time"


def measure(small: bool = False) -> Claim:
    """What a trainer meets: the entropy of the behaviour, its divergence, and what importance weights are worth."""
    n, length = (4, 4) if small else (32, 12)
    grid = [1.5] if small else [0.7, 1.0, 1.5, 2.0]
    found = {at: chain_shift(smollm2().adapter, PROMPT, f"temperature={at}", length, n=n, seed=2) for at in grid}

    model = smollm2().adapter
    (first,) = model.predict([Prefix(model.tokenizer.encode(PROMPT))])
    figures = {f"first token, T = {at:g}: divergence from the model": _exact(first, at) for at in (0.7, 1.5, 2.0)}
    for at, shift in found.items():
        name = f"T = {at:g}, {n} texts of {length} tokens"
        figures[f"{name}: entropy of a token"] = plus_minus(shift.chain_entropy, "nats")
        figures[f"{name}: divergence from the model, per token"] = plus_minus(shift.kl_per_token, "nats")
        figures[f"{name}: effective number of texts"] = f"{shift.effective_size:.1f} of {n}"
    return Claim(
        "Fine-tune, or train with rewards, on samples of a high temperature.",
        f"{SMOLLM2}; nothing was trained",
        figures,
        "the training is not tested",
        "Tested is what a trainer would get. Above T = 1 samples are more diverse. At every temperature but 1, after a "
        "dozen tokens, a few texts carry nearly all importance weight. Whether training helps was not measured.",
        small or all((at == 1) == (shift.effective_size > n / 4) for at, shift in found.items()),
    )


def _exact(law, temperature):
    return f"{law.scaled(1 / temperature).kl(law):.3f} nats, exact"
