"""Single processors: at a vocabulary of 151,936 against llama.cpp's C samplers, and on 64 tokens against ``np.exp``.

Ours runs the plugin on a fresh distribution, whose sums it has to make; the C side includes filling its candidate
array, as ``llama_sampler_sample`` does for each token. On 64 tokens the distribution is what a truncation left and the
chain has recorded: its normaliser and entropy are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import decodekit
from decodekit.draw.context import Context, TokenIds

from .chains import LogitRows, V, c_apply, real_rows, synthetic_rows
from .timing import Ratio, paired

CONTEXT = Context(TokenIds([1]), TokenIds())

# (ours, its parameters, the C sampler, its parameters, how many times faster ours should be)
AGAINST_C: list[tuple[str, dict[str, Any], str, tuple[Any, ...], float]] = [
    ("typical_p", {"typical_p": 0.95, "boundary": "keep"}, "typical", (0.95, 1), 10),
    ("top_p", {"top_p": 0.95}, "top_p", (0.95, 1), 3),
    ("min_p", {"min_p": 0.05}, "min_p", (0.05, 1), 1),
    ("top_k", {"top_k": 40}, "top_k", (40,), 1),
    ("top_n_sigma", {"top_n_sigma": 1.0}, "top_n_sigma", (1.0,), 1),
    ("temperature", {"temperature": 0.8}, "temp", (0.8,), 1),
    ("dynamic_temperature", {"dynamic_temperature": 1.0, "spread": 0.5}, "temp_ext", (1.0, 0.5, 1.0), 1),
]

ON_64: list[tuple[str, dict[str, Any]]] = [
    ("temperature", {"temperature": 0.8}),
    ("dynamic_temperature", {"dynamic_temperature": 1.0, "spread": 0.5}),
    ("quadratic", {"quadratic": 0.3}),
    ("top_k", {"top_k": 20}),
    ("top_p", {"top_p": 0.9}),
    ("min_p", {"min_p": 0.05}),
    ("typical_p", {"typical_p": 0.9}),
    ("top_n_sigma", {"top_n_sigma": 1.0}),
    ("top_a", {"top_a": 0.3}),
    ("tfs", {"tfs": 0.9}),
    ("epsilon_cutoff", {"epsilon_cutoff": 0.01}),
    ("eta_cutoff", {"eta_cutoff": 0.01}),
    ("top_h", {"top_h": 0.7}),
    ("p_less", {"p_less": 1.0}),
    ("p_less_norm", {"p_less_norm": 1.0}),
]
TIMES_EXP = 15


def flat_rows() -> LogitRows:
    """N(0, 1): nothing stands out, and a truncation keeps tens of thousands."""
    return [np.random.default_rng(seed).normal(0, 1, V).astype(np.float32) for seed in range(8)]


def ours(rows: LogitRows, name: str, parameters: dict[str, Any]) -> Callable[[], object]:
    """One processor on the next row."""
    plugin, turn = decodekit.processor(name, **parameters), iter(range(10**9))
    return lambda: plugin(decodekit.Distribution.dense(rows[next(turn) % len(rows)]), CONTEXT)


def c_sampler(rows: LogitRows, name: str, parameters: tuple[Any, ...]) -> Callable[[], object]:
    """The same sampler in C, with its candidate fill."""
    import llama_cpp as C  # noqa: N812 - it is the C library

    return c_apply(rows, getattr(C, f"llama_sampler_init_{name}")(*parameters))


def measure() -> Iterator[Ratio]:
    """All rows of the table. The goals do not hold for flat logits, which are there to be seen."""
    kinds = (("SmolLM2 tiled", real_rows()), ("N(0, 2.2), heavy head", synthetic_rows()), ("N(0, 1)", flat_rows()))
    for kind, rows in kinds:
        for name, parameters, theirs, their_parameters, goal in AGAINST_C:
            yield paired(
                f"{name}; {kind}",
                f"llama.cpp {theirs}",
                ours(rows, name, parameters),
                c_sampler(rows, theirs, their_parameters),
                rounds=40,
                goal=0 if kind == "N(0, 1)" else goal,
            )
    few = decodekit.Distribution.dense(np.random.default_rng(0).normal(0, 3, V)).top(64)
    scores = few.scores.copy()
    few.entropy  # noqa: B018 - what the stage before has computed
    for name, parameters in ON_64:
        plugin = decodekit.processor(name, **parameters)
        yield paired(
            f"{name}; 64 tokens",
            "np.exp of 64 tokens",
            repeated(lambda plugin=plugin: plugin(few, CONTEXT)),
            repeated(lambda: np.exp(scores)),
            rounds=40,
            goal=1 / TIMES_EXP,
        )


def repeated(call: Callable[[], object], times: int = 200) -> Callable[[], object]:
    """Many calls as one, so that the clock's own time does not count."""

    def all_of_them() -> object:
        for _ in range(times):
            call()
        return None

    return all_of_them
