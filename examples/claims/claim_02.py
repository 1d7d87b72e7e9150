"""Claim 2: greedy decoding is deterministic, except for experts and rounding."""

from functools import partial

from claim import BOTH, Claim, smollm2, tiny_mixtral, torch_smollm2

import decodekit
from decodekit.analysis.audit import audit
from decodekit.analysis.plots import plot_bars


def measure(small: bool = False) -> Claim:
    """Greedy texts of SmolLM2, repeated; a mixture of experts in bfloat16 on several schedules."""
    texts = {smollm2().generate("The sun is", chain="greedy", seed=seed, max_tokens=8).text for seed in range(4)}
    theirs = set() if small else {_greedy(torch_smollm2()) for _ in range(4)}
    outcomes = [] if small else _experts()

    figures = {"different greedy texts in 4 runs with 4 seeds, SmolLM2": str(len(texts))}
    if theirs:
        figures["different greedy texts in 4 runs, SmolLM2, torch"] = str(len(theirs))
        figures["the greedy text of torch is that of llama.cpp"] = "yes" if theirs == texts else "no"
    for each in outcomes:
        found = each.measured
        figures[f"{each.axis}, experts"] = (
            f"{found.places - found.equal} of {found.places} distributions with other bits, by up to "
            f"{found.largest:.2g} nats; another most likely token in {found.mode_flips}; "
            f"{found.flips} of {found.draws} draws with the same noise give another token"
        )
    words = {each.axis: each.measured for each in outcomes}
    return Claim(
        "Greedy decoding is deterministic, except for mixtures of experts and floating-point rounding.",
        f"{BOTH}; a tiny Mixtral with random weights, torch, bfloat16, 20 texts of 24 tokens",
        figures,
        "right, but for another reason",
        "A repetition has the same bits, with experts too. What moves the numbers is the shape of the computation "
        "(a text at once or token by token), and not chance. Other texts in the batch move nothing here, since "
        "these experts have no limit of capacity.",
        len(texts) == 1 and (small or (len(theirs) == 1 and words["repeat"].largest == 0 < words["cache"].largest)),
        None if small else partial(
            plot_bars, names=list(words), x_label="share of the experts' distributions with the same bits",
            bars={"experts": [each.equal / each.places for each in words.values()]},
        ),
        '"The sun is"; of the experts one token each',
        ("decodekit audit --model smollm2 --axis repeat --axis cache --axis portions --tokens 6",),
    )  # fmt: skip


def _greedy(adapter):
    with decodekit.Session(adapter, "greedy") as session:
        return session.generate("The sun is", max_tokens=8).text


def _experts():
    from decodekit_torch import TorchAdapter

    def make():
        return TorchAdapter(model=tiny_mixtral())

    axes = ["repeat", "batch neighbours", "cache", "portions"]
    return audit(make(), make=make, axes=axes, prompts=[[token] for token in range(20)], tokens=24).outcomes
