"""Claim 4: some models make the distribution itself random."""

from functools import partial

from claim import BOTH, PROMPT, Claim, first_rows, plus_minus, torch_rows

import decodekit
from decodekit.analysis import disagreement, passes_of
from decodekit.analysis.plots import plot_bars


def measure(small: bool = False) -> Claim:
    """The entropy of a token in two parts: within a pass, and between passes."""
    steady = disagreement(first_rows(4))
    other = None if small else disagreement(torch_rows(4))
    shaken = None if small else disagreement(passes_of(_dropout(), [3], 200))

    figures = {
        "SmolLM2, 4 passes of newly loaded models: mean distance of a pass from the others": f"{steady.distance:.3f}",
        "SmolLM2: entropy of a pass": f"{steady.mean_entropy.value:.3f} nats",
    }
    if shaken is not None:
        figures |= {
            "SmolLM2, torch, 4 passes of new adapters: mean distance": f"{other.distance:.3f}",
            "SmolLM2, torch: entropy of a pass": f"{other.mean_entropy.value:.3f} nats",
            "dropout, 200 passes: mean distance of a pass from the others": f"{shaken.distance:.3f}",
            "dropout: entropy of a token": plus_minus(shaken.total, "nats"),
            "dropout: mean entropy of a pass": plus_minus(shaken.mean_entropy, "nats"),
            "dropout: information between token and pass": plus_minus(shaken.information, "nats"),
        }
    return Claim(
        "Some models make the distribution itself random.",
        f"{BOTH}; a network of two layers with random weights and a dropout of 0.5 left on, torch",
        figures,
        "true of such models",
        "With dropout left on, each pass has another distribution, and a part of the token's entropy is between "
        "passes. All passes of SmolLM2 agree.",
        steady.distance < 1e-9 and (small or (other.distance < 1e-9 and shaken.information.low > 0)),
        partial(_plot, models={"SmolLM2": steady} if small else {"SmolLM2": steady, "dropout": shaken}),
        f'"{PROMPT}"; of the network with dropout the token 3',
        ("decodekit audit --model smollm2 --axis repeat --tokens 3",),
    )


def _plot(path, models):
    bars = {name: [each.total.value, each.mean_entropy.value, each.information.value] for name, each in models.items()}
    names = ["entropy of the token", "mean entropy of a pass", "information of the pass"]
    plot_bars(path, names, bars, x_label="nats")


def _dropout():
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = torch.nn.Embedding(10, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 10)
    return decodekit.adapter("torch", model=torch.nn.Sequential(*layers), noise_seed=1)
