"""Claim 6: at temperature 0 the same tokens give the same answer; the same text need not."""

from functools import partial

import numpy as np
from claim import BOTH, PROMPT, Claim, first_rows, smollm2, torch_rows, torch_smollm2

from decodekit.analysis import compare_tokenisations
from decodekit.analysis.plots import Line, plot_curves

AGAIN = "the same tokens, asked again of a newly loaded model: bits"
AGAIN_TORCH = "the same tokens, asked again of a new adapter: bits"


def measure(small: bool = False) -> Claim:
    """The next token after one text that is split into tokens in several ways."""
    model = smollm2().adapter
    one, again = first_rows(2)
    found = compare_tokenisations(model, PROMPT, most=4 if small else 24)
    theirs = [] if small else torch_rows(2)
    other = None if small else compare_tokenisations(torch_smollm2(), PROMPT, most=24)

    modes = [each.mode for each in found.distributions]
    first = {
        f"total variation from the usual split, {_pieces(model, found.splits[i])}": f"{found.distances[0, i]:.3f}"
        for i in (1, 2, 3)
    }
    figures = first if small else first | {
        "largest of 24 splits": f"{found.distances[0].max():.3f}",
        "splits of 24 with another most likely token": str(sum(mode != modes[0] for mode in modes)),
    }  # fmt: skip
    if other is not None:
        figures["largest of 24 splits, torch"] = f"{other.distances[0].max():.3f}"
        figures[f"torch, {AGAIN_TORCH}"] = _equal(*theirs)
    figures[AGAIN] = _equal(one, again)
    return Claim(
        "At temperature 0 the answer to the same tokens does not vary; where it seems to, the tokens were others.",
        BOTH,
        figures,
        "true here, and the tokens matter",
        "The same tokens have the same answer to the bit. One text in other tokens has other distributions, and "
        "often another most likely token. On engines that change with the batch (claim 2) the first part fails.",
        bool(found.distances[0, 1:].min() > 0.01) and figures[AGAIN] == "equal"
        and (small or _equal(*theirs) == "equal"),
        partial(_plot, engines={"llama.cpp": found} if other is None else {"llama.cpp": found, "torch": other}),
        f'"{PROMPT}", split in several ways',
        ("decodekit audit --model smollm2 --axis repeat --tokens 3",),
    )  # fmt: skip


def _equal(one, again):
    return "equal" if np.array_equal(one.logprobs, again.logprobs) else "other"


def _plot(path, engines):
    distances = {name: np.sort(found.distances[0, 1:]) for name, found in engines.items()}
    plot_curves(
        path, range(1, 1 + len(next(iter(distances.values())))), {name: Line(row) for name, row in distances.items()},
        x_label="another split of the same text, in the order of its distance", y_label="total variation",
    )  # fmt: skip


def _pieces(model, ids):
    return " ".join(f"`{model.tokenizer.decode([token]).decode()!r}`" for token in ids)
