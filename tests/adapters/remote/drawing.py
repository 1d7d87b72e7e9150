"""What a server that draws does with sampling parameters, from the API's documentation, with numpy alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["law", "next_tokens"]


def law(row: np.ndarray, written: Sequence[int], body: Any) -> np.ndarray:
    """float64[n], the probabilities of the next token: bias and penalties, temperature, min_p, top_k, top_p.

    Args:
        row: float64[n], the model's logprobs.
        written: the tokens of the answer so far.
        body: the request.
    """
    scores = np.array(row, dtype=np.float64)
    for token, bias in (body.get("logit_bias") or {}).items():
        scores[int(token)] += bias
    for token, count in Counter(written).items():
        scores[token] -= count * body.get("frequency_penalty", 0) + body.get("presence_penalty", 0)
    if body["temperature"] == 0:
        return np.eye(len(scores))[int(scores.argmax())]
    weights = np.exp((scores - scores.max()) / body["temperature"])
    weights[weights < body.get("min_p", 0) * weights.max()] = 0
    order = np.lexsort((np.arange(len(weights)), -weights))
    if body.get("top_k", 0) > 0:
        weights[order[body["top_k"] :]] = 0
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= body.get("top_p", 1) * weights.sum() - 1e-12]] = 0
    return weights / weights.sum()


def next_tokens(server: Any, prompt: Sequence[int], body: Any) -> tuple[list[tuple[np.ndarray, int]], str]:
    """The rows and the tokens of an answer, and why it ends: token 256, a stop string, which is cut, or its length."""
    ids, drawn = list(prompt), []
    for _ in range(body["max_tokens"]):
        row = server.row(ids)
        shares = law(row, [token for _, token in drawn], body)
        server.laws.append(shares)
        chosen = int(server.chance.choice(len(shares), p=shares))
        if chosen == 256:
            return drawn, "stop"
        ids.append(chosen)
        drawn.append((row, chosen))
        text = bytes(token for _, token in drawn)
        for stop in body.get("stop", ()):
            if text.endswith(stop.encode()):
                return drawn[: -len(stop.encode())], "stop"
    return drawn, "length"
