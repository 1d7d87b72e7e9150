"""Whatever decides the schedule (portions, guesses, other callers, one call for many), the tokens are those of a run
alone: on models with a sliding window, with a state, and with experts.

A row of another pass is not bit-equal, so a close choice may fall otherwise, inside the recorded margin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from decodekit import AsyncSession, Chain, Prefix, Result, Session, processor
from decodekit.session import portions
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import DRIFT, passes_of, tiny

CHAIN = Chain([processor("top_k", top_k=20), processor("temperature", temperature=1.2)])
KINDS = ["Mistral", "Gemma3", "Mamba", "Mixtral"]
PROMPTS = [Prefix([5 + caller, *[11, 12, 13, 14, 15, 16, 17] * 9]) for caller in range(4)]
TOKENS = 20


def adapter_of(kind: str) -> TorchAdapter:
    return TorchAdapter(model=tiny(kind), max_sequences=8, cells=1000)


def check(found: Sequence[Result], alone: Sequence[Result]) -> None:
    for result, expected in zip(found, alone, strict=True):
        pairs = zip(result.trace.steps, expected.trace.steps, strict=False)
        at = next((step for step, other in pairs if step.token_id != other.token_id), None)
        if at is None:
            assert result.token_ids == expected.token_ids and len(result.token_ids) == TOKENS
        else:
            assert at.choice.margin <= 2 * DRIFT["float32"], at


@pytest.fixture(scope="module", params=KINDS)
def kind_and_alone(request: pytest.FixtureRequest) -> tuple[str, list[Result]]:
    """A kind, and what each prompt gives alone, evaluated in one pass."""
    session = Session(adapter_of(request.param), CHAIN, seed=1)
    return request.param, [
        session.generate(each, stream=i, max_tokens=TOKENS, guesser="none") for i, each in enumerate(PROMPTS)
    ]


def test_in_portions(kind_and_alone: tuple[str, list[Result]], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, alone = kind_and_alone
    monkeypatch.setattr(portions, "_FIRST", 16)
    monkeypatch.setattr(portions, "QUICK", 0.0)
    adapter = adapter_of(kind)
    passes = passes_of(adapter.module, monkeypatch)
    session = Session(adapter, CHAIN, seed=1)
    found = [session.generate(each, stream=i, max_tokens=TOKENS) for i, each in enumerate(PROMPTS)]
    check(found, alone)
    assert passes[:4] == ([(1, 16)] * 4 if adapter.caches else [(1, 64), (1, 65), (1, 66), (1, 67)])


def test_guessed(kind_and_alone: tuple[str, list[Result]]) -> None:
    kind, alone = kind_and_alone
    session = Session(adapter_of(kind), CHAIN, seed=1)
    check(
        [
            session.generate(each, stream=i, max_tokens=TOKENS, guesser="prompt_lookup")
            for i, each in enumerate(PROMPTS)
        ],
        alone,
    )


def test_by_callers_at_once(kind_and_alone: tuple[str, list[Result]]) -> None:
    kind, alone = kind_and_alone

    async def main() -> list[Result]:
        session = AsyncSession(adapter_of(kind), CHAIN, seed=1)
        calls = (
            session.generate(each, stream=i, max_tokens=TOKENS, guesser="prompt_lookup" if i % 2 else "none")
            for i, each in enumerate(PROMPTS)
        )
        return await asyncio.gather(*calls)

    check(asyncio.run(main()), alone)


def test_in_one_call(kind_and_alone: tuple[str, list[Result]]) -> None:
    """The stream of each sample follows from its place in the call, so it is asked for alone here."""
    kind, _ = kind_and_alone
    call = Session(adapter_of(kind), CHAIN, seed=1).generate_many(PROMPTS[:2], n=2, max_tokens=TOKENS)
    solo = Session(adapter_of(kind), CHAIN, seed=1)
    found, alone = [], []
    for prompt, results in zip(PROMPTS, call, strict=False):
        for each in results:
            steps = [step for step in each.trace.steps if step.stream == each.stream]
            found.append(replace(each, trace=replace(each.trace, steps=steps)))
            alone.append(solo.generate(prompt, stream=each.stream, max_tokens=TOKENS))
    check(found, alone)
