"""Tokens per round trip, and how often draws follow the draft, against what the logged distributions predict.

DECODEKIT_LLAMA_SERVER or DECODEKIT_VLLM is the address of a running server with SmolLM2.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import decodekit
from decodekit import Session
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.real import CHAINS, PROMPTS, acceptance, trips

HEADER = (
    "| chain, draft | tokens | tokens per trip | predicted | ratio | goal | | acceptance | predicted | std errors |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
TOKENS = 104
STREAMED = 64  # tokens of a stream at most


@dataclass(frozen=True)
class Trips:
    """What so many tokens took, and what they should have taken.

    Args:
        what: chain and draft.
        tokens: how many.
        requests: how many were made.
        predicted: how many should have been.
        accepted: draws of the drafted token.
        probabilities: of the drafted tokens, as logged.
    """

    what: str
    tokens: int
    requests: int
    predicted: float
    accepted: int
    probabilities: list[float]

    def line(self) -> str:
        ratio = self.predicted / self.requests
        met = "met" if ratio >= 0.9 else "MISSED"
        expected = sum(self.probabilities)
        error = math.sqrt(sum(p * (1 - p) for p in self.probabilities))
        return (
            f"| {self.what} | {self.tokens} | {self.tokens / self.requests:.2f} | {self.tokens / self.predicted:.2f} "
            f"| {ratio:.2f} | 0.9 | {met} | {self.accepted / self.tokens:.3f} | {expected / self.tokens:.3f} "
            f"| {(self.accepted - expected) / error:+.1f} |"
        )


def measure() -> Iterator[Trips]:
    url = os.environ.get("DECODEKIT_LLAMA_SERVER") or os.environ.get("DECODEKIT_VLLM") or ""
    for chain in CHAINS if url.startswith("http") else ():
        for draft in (4, 16, "stream"):
            yield counted(url, chain, draft)


def counted(url: str, chain: str, draft: int | str, seed: int = 5) -> Trips:
    adapter = RemoteAdapter(base_url=url, draft=draft, top=1000)  # type: ignore[arg-type]
    session = Session(adapter, decodekit.Chain(CHAINS[chain][1]), seed=seed)
    starts = [session.adapter.tokenizer.encode(text) for text in PROMPTS]  # type: ignore[union-attr]
    before = adapter.measured["requests"]
    runs = [list(session.stream(ids, max_tokens=TOKENS, stream=i)) for i, ids in enumerate(starts)]
    requests = int(adapter.measured["requests"] - before)
    steps = [step for run in runs for step in run]
    length = draft if isinstance(draft, int) else STREAMED
    return Trips(
        f"{chain}, draft={draft}", len(steps), requests, sum(trips(run, length) for run in runs),
        sum(step.token_id == step.raw.top[0][0] for step in steps), acceptance(steps),
    )  # fmt: skip
