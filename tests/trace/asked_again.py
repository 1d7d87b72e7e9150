"""What a chain draws from a live model after each recorded token: what a counterfactual must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import decodekit
from decodekit import Context, Randomness
from decodekit.distribution.disclosure import ALL
from decodekit.draw.context import TokenIds
from decodekit.model.asking import ask
from decodekit.model.prefix import Prefix
from decodekit.testing import TableAdapter
from decodekit.trace import Trace

__all__ = ["CHAINS", "RUNS", "live", "rows", "run"]

CHAINS = (
    "",
    "temperature=0.7",
    "temperature=1.6",
    "top_k=2",
    "top_k=3 temperature=1.3",
    "temperature=0.8 top_p=0.8",
    "temperature=1.4 top_p=0.6",
    "min_p=0.2 temperature=0.9",
    "typical_p=0.7",
    "repetition_penalty=1.5 temperature=0.9",
    "repetition_penalty=1.5 top_p=0.8",
    "xtc(xtc=0.6,threshold=0.15)",
    "temperature=0.9 xtc(xtc=0.6,threshold=0.15)",
    "mirostat=1.5",
    "temperature=0",
)
RUNS = tuple(f"{chain} {sampler}".strip() for chain in CHAINS for sampler in ("multinomial", "inverse_cdf", "greedy"))


def rows(seed: int, size: int) -> Any:
    """A table with a random row for each length of the text so far."""

    def row(ids: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng([seed, len(ids)]).normal(0, 2, size).astype(np.float32)

    return TableAdapter(row, size)


def run(adapter: Any, chain: str, seed: int, level: str, top: int) -> Trace:
    """Five tokens."""
    session = decodekit.Session(adapter, chain, top_logprobs=top)
    return session.generate([0, 1], max_tokens=5, seed=seed, level=level).trace


def live(adapter: Any, trace: Trace, chain: Any, seed: int, prompt: Sequence[int] = (0, 1)) -> list[int]:
    """The tokens that a chain draws, each after the recorded tokens before it."""
    made = decodekit.Chain.of(chain)
    context = Context(TokenIds(prompt), TokenIds())
    states, drawn = made.initial(context), []
    for step in trace.steps:
        prefix = Prefix(prompt).extend(trace.token_ids()[: step.index])
        (answer,) = ask(adapter, [prefix], [ALL])
        noise = Randomness(seed, step.stream).at(step.index)
        reshaped = made.reshape(answer, context, states, noise)
        choice = reshaped.choose(noise)[0]
        drawn.append(choice.token_id)
        held = replace(choice, token_id=step.token_id, logprob=reshaped.final.logprob(step.token_id))
        states = reshaped.states_after(held)
        context = Context(context.prompt_ids, TokenIds([*context.output_ids, step.token_id]))
    return drawn
