"""Claim 8: at temperature 0 the model follows its prior completely."""

from functools import partial

import numpy as np
from claim import SMOLLM2, Claim, in_python, percent, smollm2

from decodekit.analysis import greedy_and_mode
from decodekit.analysis.plots import plot_bars

PROMPTS = ["Once upon a time", "The capital of France is", "She opened the door and", "Water boils at", "The sun is",
           "I think that", "One day, a girl", "The best way to learn is"]  # fmt: skip


def measure(small: bool = False) -> Claim:
    """The greedy text of four tokens, and the most likely one, by branch and bound."""
    prompts = PROMPTS[:2] if small else PROMPTS
    found = [greedy_and_mode(smollm2().adapter, prompt, 4, most=1000) for prompt in prompts]

    write, other = smollm2().adapter.tokenizer.decode, sum(not each.greedy_is_mode for each in found)
    texts = {
        f'greedy after "{prompt}"': f"{_said(write, each.greedy)} with {percent(np.exp(each.greedy_logprob))}; most "
        f"likely: {_said(write, each.mode)} with {percent(np.exp(each.mode_logprob))}; exact"
        for prompt, each in zip(prompts, found, strict=True)
    }
    return Claim(
        "At temperature 0 the model is completely aligned with its prior: it says what it holds most likely.",
        SMOLLM2,
        texts | {f"greedy is not the most likely text, of {len(prompts)} prompts": str(other)},
        "wrong",
        "Greedy decoding takes the most likely token each time. The most likely text is often another, and either "
        "has a small probability.",
        other > 0,
        partial(
            plot_bars, names=prompts, x_label="probability of the text of four tokens",
            bars={"greedy": np.exp([each.greedy_logprob for each in found]),
                  "most likely": np.exp([each.mode_logprob for each in found])},
        ),
        "the eight of the table",
        (in_python(
            "import decodekit",
            "from decodekit.analysis import greedy_and_mode",
            "model = decodekit.adapter('llamacpp', model='smollm2', n_threads=1)",
            "found = greedy_and_mode(model, 'Once upon a time', 4, most=1000)",
            "print(*map(model.tokenizer.decode, (found.greedy, found.mode)))",
        ),),
    )  # fmt: skip


def _said(write, ids):
    return f"`{write(ids).decode()!r}`"
