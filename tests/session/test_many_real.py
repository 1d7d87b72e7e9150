"""Eight tasks on one real model: each has the tokens of its solo run, or first differs inside the recorded margin.

A row of a batch is not bit-equal to the same row alone, so a close choice may fall otherwise; see docs/drawing.md.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from decodekit import AsyncSession, Chain, Prefix, Result, Session, processor

CHAINS = [
    Chain([processor("top_k", top_k=k), processor("temperature", temperature=t)], sampler)
    for k, t, sampler in [
        (1, 1.0, "multinomial"),
        (5, 0.7, "multinomial"),
        (20, 1.0, "greedy"),
        (40, 1.3, "multinomial"),
        (3, 1.0, "multinomial"),
        (50, 0.9, "greedy"),
        (8, 1.1, "multinomial"),
        (100, 0.8, "multinomial"),
    ]
]
DRIFT = 0.1  # nats that a score may move between a batch and a row alone; on many CPUs none moves


def check(adapter: Any, prompts: list[Any], tokens: int) -> None:
    options: list[dict[str, Any]] = [
        {"chain": chain, "seed": 2, "stream": i, "max_tokens": tokens} for i, chain in enumerate(CHAINS)
    ]

    async def main() -> list[Result]:
        session = AsyncSession(adapter)
        calls = (session.generate(prompts[i % len(prompts)], **each) for i, each in enumerate(options))
        return await asyncio.gather(*calls)

    for i, result in enumerate(asyncio.run(main())):
        assert_same_or_close(result, Session(adapter).generate(prompts[i % len(prompts)], **options[i]))


def assert_same_or_close(result: Result, alone: Result, *, temperature: float = 0.7) -> None:
    """The tokens of the solo run, or a first difference inside the recorded margin; the lowest temperature is given."""
    steps = zip(result.trace.steps, alone.trace.steps, strict=False)
    at = next((step for step, other in steps if step.token_id != other.token_id), None)
    if at is None:
        assert result.token_ids == alone.token_ids
    else:
        assert at.choice.margin <= 2 * DRIFT / temperature, at  # two scores moved, and a temperature divides them


@pytest.mark.real_model
def test_eight_tasks_on_llama_cpp() -> None:
    pytest.importorskip("llama_cpp")
    from decodekit_llamacpp import LlamaCppAdapter

    adapter = LlamaCppAdapter(model="smollm2", n_ctx=1024, n_threads=1)
    try:
        check(adapter, ["Once upon a time", "The capital of France is", "One, two, three,"], 12)
    finally:
        adapter.close()


def test_eight_tasks_on_torch() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from decodekit_torch import TorchAdapter
    from tests.adapters.torch.models import tiny

    adapter = TorchAdapter(model=tiny("Llama"), max_sequences=8, cells=1000)
    check(adapter, [Prefix([1, 2, 3]), Prefix([4]), Prefix(range(40))], 24)
