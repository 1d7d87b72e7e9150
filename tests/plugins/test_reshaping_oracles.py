"""Temperature and truncations against llama.cpp's C samplers and transformers' warpers, on logits without ties.

Their sums are float32. Where a decision lies within 1e-5 of its boundary they may differ from ours; such cases are
counted, and must be few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Context, Distribution

from . import laws
from .logit_rows import Logits, rows

CONTEXT = Context()
NARROW = 1e-5
FEW = 0.01

Oracle = Callable[[Logits], Any]


def kept_by(plugin: Any, row: Logits) -> Distribution:
    return plugin(Distribution.dense(row), CONTEXT)


def compare(
    name: str,
    oracle: Callable[[float], Oracle],
    draw: Callable[[np.random.Generator, Logits], Any],
    *,
    large: float = NARROW,
    **options: Any,
) -> None:
    """1,000 rows, each with a parameter of its own: equal supports and scores, but for counted narrow decisions.

    Args:
        name: our plugin.
        oracle: makes theirs from a parameter.
        draw: a parameter for a row.
        large: what is narrow on the ten rows of 32,000 and more, where theirs adds them all up one after the other.
        options: further parameters of ours.
    """
    rng = np.random.default_rng(7)
    narrow: list[str] = []
    for number, row in enumerate(rows()):
        value = draw(rng, row)
        case = f"row {number} of {len(row)} tokens, {name}={value}"
        kept = kept_by(decodekit.processor(name, **{name: value}, **options), row)
        ids = kept.support()
        ours = set(ids.tolist())
        expected, margins = getattr(laws, name)(row, value)
        assert ours == expected or kept.ambiguous, f"{case}: against the law, {sorted(ours ^ expected)[:9]}"
        their_ids, their_scores = oracle(value)(row)
        alive = their_scores > -np.inf
        theirs = dict(zip(their_ids[alive].tolist(), their_scores[alive].tolist(), strict=True))
        if theirs.keys() == ours:
            scores = np.array([theirs[i] for i in ids.tolist()])
            assert np.abs(kept.scores_of(ids) - scores).max() <= 1e-6, case
            continue
        margin = float(margins[sorted(theirs.keys() ^ ours)].max())
        assert margin < (large if len(row) > 5_000 else NARROW), f"{case}: they differ where the margin is {margin:.3g}"
        narrow.append(f"{case}: {len(theirs.keys() ^ ours)} tokens within {margin:.2g}")
    assert len(narrow) <= FEW * len(rows()), f"{len(narrow)} of {len(rows())} decisions differ: {narrow}"


def uniform(low: float, high: float) -> Callable[[np.random.Generator, Logits], float]:
    return lambda rng, _: float(rng.uniform(low, high))


def log_uniform(low: float, high: float) -> Callable[[np.random.Generator, Logits], float]:
    return lambda rng, _: float(np.exp(rng.uniform(math.log(low), math.log(high))))


def count(rng: np.random.Generator, row: Logits) -> int:
    return int(np.exp(rng.uniform(0, math.log(len(row)))))


DRAWS: dict[str, Callable[[np.random.Generator, Logits], Any]] = {
    "top_k": count,
    "top_p": uniform(0.02, 0.995),
    "min_p": log_uniform(1e-4, 1),
    "typical_p": uniform(0.02, 0.995),
    "top_n_sigma": uniform(0.05, 4),
    "epsilon_cutoff": log_uniform(1e-6, 0.5),
    "eta_cutoff": log_uniform(1e-6, 0.5),
    "top_h": uniform(0.02, 0.995),
}


# -- llama.cpp -----------------------------------------------------------------------------------------------------


def llama(name: str, *parameters: Any) -> Oracle:
    from . import llama_cpp_samplers

    sampler = llama_cpp_samplers.build(name, *parameters)
    return lambda row: llama_cpp_samplers.apply(sampler, row)


def test_top_k_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    compare("top_k", lambda k: llama("top_k", k), DRAWS["top_k"])


def test_top_p_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    compare("top_p", lambda p: llama("top_p", p, 1), DRAWS["top_p"], large=1e-4)


def test_min_p_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    compare("min_p", lambda p: llama("min_p", p, 1), DRAWS["min_p"])


def test_typical_p_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    compare("typical_p", lambda p: llama("typical", p, 1), DRAWS["typical_p"], large=2e-3, boundary="keep")


def test_top_n_sigma_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    compare("top_n_sigma", lambda n: llama("top_n_sigma", n), DRAWS["top_n_sigma"], large=1e-4)


@pytest.mark.parametrize("engine", ["llama_cpp", "transformers"])
def test_temperature_is_theirs(engine: str) -> None:
    pytest.importorskip(engine)
    rng = np.random.default_rng(3)
    for row in rows():
        temperature = float(np.float32(np.exp(rng.uniform(-3, 3))))
        ours = kept_by(decodekit.processor("temperature", temperature=temperature), row)
        oracle = llama("temp", temperature) if engine == "llama_cpp" else warper("TemperatureLogitsWarper", temperature)
        ids, scores = oracle(row)
        assert np.abs(ours.scores_of(ids) / scores - 1).max() < 1e-6


def test_dynamic_temperature_is_llama_cpps() -> None:
    pytest.importorskip("llama_cpp")
    rng = np.random.default_rng(4)
    for row in rows():
        centre, spread, exponent = (float(np.float32(x)) for x in rng.uniform([0.3, 0.0, 0.3], [2, 1.5, 2]))
        plugin = decodekit.processor(
            "dynamic_temperature", dynamic_temperature=centre, spread=spread, exponent=exponent
        )
        ours = kept_by(plugin, row)
        ids, scores = llama("temp_ext", centre, spread, exponent)(row)
        probs = laws.probabilities(row)
        low, high = max(0.0, centre - spread), centre + spread
        exact = low + (high - low) * (laws.entropy(probs) / math.log(len(row))) ** exponent
        assert np.abs(ours.scores_of(ids) * exact / row[ids].astype(np.float64) - 1).max() < 1e-10
        # Their entropy is a float32 sum over the vocabulary, and their temperature follows it.
        error = np.abs(ours.scores_of(ids) / scores - 1).max()
        assert error < (1e-5 if len(row) <= 300 else 2e-3), f"{len(row)} tokens, {plugin!r}"


# -- transformers --------------------------------------------------------------------------------------------------


def warper(name: str, *parameters: Any, **options: Any) -> Oracle:
    import torch
    from transformers import generation

    made = getattr(generation, name)(*parameters, **options)

    def apply(row: Logits) -> tuple[np.ndarray, np.ndarray]:
        scores = made(torch.zeros((1, 1), dtype=torch.long), torch.tensor(row)[None])[0].numpy()
        return np.arange(len(row)), scores

    return apply


@pytest.mark.parametrize(
    ("name", "their_name"),
    [
        ("top_k", "TopKLogitsWarper"),
        ("top_p", "TopPLogitsWarper"),
        ("min_p", "MinPLogitsWarper"),
        ("typical_p", "TypicalLogitsWarper"),
        ("epsilon_cutoff", "EpsilonLogitsWarper"),
        ("eta_cutoff", "EtaLogitsWarper"),
        ("top_h", "TopHLogitsWarper"),
    ],
)
def test_truncations_are_those_of_transformers(name: str, their_name: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    compare(name, lambda value: warper(their_name, value), DRAWS[name], large=1e-4)


# -- min_keep ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "engine", "theirs", "ties"),
    [
        ("top_p", "llama_cpp", "top_p", "lowest"),
        ("min_p", "llama_cpp", "min_p", "lowest"),
        ("typical_p", "llama_cpp", "typical", "lowest"),
        ("top_p", "transformers", "TopPLogitsWarper", "highest"),
        ("min_p", "transformers", "MinPLogitsWarper", "lowest"),
        ("typical_p", "transformers", "TypicalLogitsWarper", "all"),
        ("epsilon_cutoff", "transformers", "EpsilonLogitsWarper", "all"),
        ("eta_cutoff", "transformers", "EtaLogitsWarper", "all"),
    ],
)
def test_min_keep_is_theirs(name: str, engine: str, theirs: str, ties: str) -> None:
    pytest.importorskip(engine)
    rng = np.random.default_rng(5)
    decided = differing = 0
    for row in rows()[:200]:
        value, least = DRAWS[name](rng, row), int(rng.integers(2, 9))
        kept = kept_by(decodekit.processor(name, **{name: value}, min_keep=least, ties=ties), row).support()
        oracle = (
            llama(theirs, value, least) if engine == "llama_cpp" else warper(theirs, value, min_tokens_to_keep=least)
        )
        ids, scores = oracle(row)
        decided += len(kept) == min(least, len(row))
        differing += set(ids[scores > -np.inf].tolist()) != set(kept.tolist())
    assert decided > 20 and differing <= 1, f"{differing} of 200 differ; min_keep decided {decided}"
