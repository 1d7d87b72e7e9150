"""The law of a llama-server whose operator has set sampling defaults, from llama.cpp's sources, with numpy alone.

Source: ggml-org/llama.cpp ``common/sampling.cpp`` (``common_sampler_init``), ``src/llama-sampler.cpp``,
``tools/server/server-schema.cpp``: what a request does not say is the operator's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["PLAIN", "llama_law"]

PLAIN: Mapping[str, Any] = {
    "temperature": 0.8,
    "dynatemp_range": 0.0,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "min_keep": 0,
    "repeat_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repeat_last_n": 64,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "logit_bias": {},
    "ignore_eos": False,
    "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature"],
}
"""llama.cpp's own defaults."""


def llama_law(row: np.ndarray, history: Sequence[int], body: Mapping[str, Any]) -> np.ndarray:
    """float64[n], the probabilities of the next token, where ``body`` says everything; 256 ends a text."""
    scores = np.array(row, dtype=np.float64)
    for token, bias in body["logit_bias"].items():
        scores[int(token)] += bias
    if body["ignore_eos"]:
        scores[256] = -np.inf
    stages = ["temperature", "mirostat"] if body["mirostat"] else body["samplers"]
    for stage in stages:
        scores = _after(stage, scores, history, body)
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def _after(stage: str, scores: np.ndarray, history: Sequence[int], body: Mapping[str, Any]) -> np.ndarray:
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    keep = np.ones(len(scores), dtype=bool)
    match stage:
        case "penalties":
            recent = Counter(history[-body["repeat_last_n"] :] if body["repeat_last_n"] else ())
            scores = scores.copy()
            for token, count in recent.items():
                factor = body["repeat_penalty"]
                scores[token] *= factor if scores[token] <= 0 else 1 / factor
                scores[token] -= count * body["frequency_penalty"] + body["presence_penalty"]
            return scores
        case "top_k":
            keep[order[body["top_k"] or len(scores) :]] = False
        case "top_p":
            before = np.cumsum(shares[order]) - shares[order]
            cut = before >= body["top_p"] - 1e-12
            cut[: max(1, body["min_keep"])] = False
            keep[order[cut]] = False
        case "min_p":
            keep = shares >= body["min_p"] * shares.max()
            keep[order[: body["min_keep"]]] = True
        case "mirostat":
            keep = -np.log2(np.maximum(shares, 1e-300)) <= 2 * body["mirostat_tau"]
        case "temperature":
            degrees = body["temperature"]
            if body["dynatemp_range"]:
                entropy = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
                least, most = max(0.0, degrees - body["dynatemp_range"]), degrees + body["dynatemp_range"]
                degrees = least + (most - least) * entropy / np.log(len(shares))
            return np.where(order[0] == np.arange(len(scores)), 0.0, -np.inf) if degrees <= 0 else scores / degrees
        case _:
            raise AssertionError(f"{stage} is the operator's, and was left on")
    return np.where(keep, scores, -np.inf)
