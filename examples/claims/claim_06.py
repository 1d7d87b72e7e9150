"""Claim 6: at temperature 0 the same tokens give the same answer; the same text need not."""

import numpy as np
from claim import PROMPT, SMOLLM2, Claim, first_rows, smollm2

from decodekit.analysis import compare_tokenisations

AGAIN = "the same tokens, asked again of a newly loaded model: bits"


def measure(small: bool = False) -> Claim:
    """The next token after one text that is split into tokens in several ways."""
    model = smollm2().adapter
    one, again = first_rows(2)
    found = compare_tokenisations(model, PROMPT, most=4 if small else 24)

    modes = [each.mode for each in found.distributions]
    first = {
        f"total variation from the usual split, {_pieces(model, found.splits[i])}": f"{found.distances[0, i]:.3f}"
        for i in (1, 2, 3)
    }
    figures = first if small else first | {
        "largest of 24 splits": f"{found.distances[0].max():.3f}",
        "splits of 24 with another most likely token": str(sum(mode != modes[0] for mode in modes)),
    }  # fmt: skip
    figures[AGAIN] = "equal" if np.array_equal(one.logprobs, again.logprobs) else "other"
    return Claim(
        "At temperature 0 the answer to the same tokens does not vary; where it seems to, the tokens were others.",
        SMOLLM2,
        figures,
        "true here, and the tokens matter",
        "The same tokens have the same answer to the bit. One text in other tokens has other distributions, and "
        "often another most likely token. On engines that change with the batch (claim 2) the first part fails.",
        bool(found.distances[0, 1:].min() > 0.01) and figures[AGAIN] == "equal",
    )


def _pieces(model, ids):
    return " ".join(f"`{model.tokenizer.decode([token]).decode()!r}`" for token in ids)
