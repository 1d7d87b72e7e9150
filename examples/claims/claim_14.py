"""Claim 14: train on samples of a high temperature."""

from functools import partial

from claim import SMOLLM2, Claim, in_python, plus_minus, smollm2

from decodekit import Prefix
from decodekit.analysis import chain_shift
from decodekit.analysis.plots import Line, plot_curves

PROMPT, ENDS = "Once upon a time", ("value", "low", "high")


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
        partial(
            plot_curves, x=grid, x_label="temperature", y_label="nats a token",
            lines={"entropy, and 95 %": _line(found, "chain_entropy"),
                   "divergence from the model, and 95 %": _line(found, "kl_per_token")},
        ),
        f'"{PROMPT}"',
        (in_python(
            "import decodekit",
            "from decodekit.analysis import chain_shift",
            "model = decodekit.adapter('llamacpp', model='smollm2', n_threads=1)",
            "found = chain_shift(model, 'Once upon a time', 'temperature=1.5', 12, n=32, seed=2)",
            "print(found.kl_per_token.value, found.chain_entropy.value, found.effective_size)",
        ),),
    )  # fmt: skip


def _line(found, what):
    return Line(*([getattr(getattr(each, what), end) for each in found.values()] for end in ENDS))


def _exact(law, temperature):
    return f"{law.scaled(1 / temperature).kl(law):.3f} nats, exact"
