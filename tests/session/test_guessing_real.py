"""Guesses on SmolLM2: the same tokens, for prefixes past 64, 256 and 512 tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("llama_cpp")

import decodekit
from decodekit import Chain, Prefix, Result, Session, processor

pytestmark = pytest.mark.real_model

PARAGRAPH = (
    "The harbour of the old town lies between two hills. In the morning the boats come back with fish, and the women "
    "of the market wait for them on the stones. A boy carries baskets, a dog sleeps in the sun, and the keeper of the "
    "lighthouse counts the sails. When the bell rings at noon, the market ends.\n\n"
)


@pytest.fixture(scope="module")
def adapter() -> Iterator[decodekit.Adapter]:
    made = decodekit.adapter("llamacpp", model="smollm2", n_ctx=1024, n_threads=1)
    yield made
    made.close()


def agree_within_the_margin(ours: Result, theirs: Result) -> None:
    """Equal tokens; or the first other one was chosen by less than the bits of a forward pass may differ."""
    pairs = list(zip(ours.trace.steps, theirs.trace.steps, strict=False))
    first = next((n for n, (a, b) in enumerate(pairs) if a.token_id != b.token_id), None)
    if first is None:
        assert ours.token_ids == theirs.token_ids and ours.text == theirs.text
        return
    drift = max(abs(a.choice.logprob - b.choice.logprob) for a, b in pairs[:first])
    margin = min(step.choice.margin for step in pairs[first])
    assert margin <= max(4 * drift, 1e-6), f"step {first} was chosen by {margin}, and the drift is {drift}"


@pytest.mark.parametrize("prompt_tokens", [40, 240, 496])  # and then past 64, 256 and 512
@pytest.mark.parametrize("sampler", ["greedy", "multinomial"])
def test_a_guessed_run_has_the_tokens_of_one_without(adapter, prompt_tokens, sampler) -> None:
    chain = Chain([processor("top_k", top_k=40), processor("temperature", temperature=0.7)], sampler)
    session = Session(adapter, chain, seed=11)
    ids = adapter.tokenizer.encode(PARAGRAPH * 8)
    prompt = Prefix(ids[:prompt_tokens])
    alone = session.generate(prompt, max_tokens=32)
    written = alone.token_ids
    rows: list[int] = []

    class Most:
        """Right, then wrong, then right: every place of a guess is rejected once."""

        def guess(self, prefix, ctx):
            for n in range(ctx.step, len(written)):
                yield written[n] if n % 7 else 5
            yield from [3] * 9

    predict = adapter.predict
    adapter.predict = lambda prefixes, *rest: rows.append(len(prefixes)) or predict(prefixes, *rest)
    try:
        guessed = session.generate(prompt, max_tokens=32, guesser=Most())
        looked_up = session.generate(prompt, max_tokens=32, guesser="prompt_lookup")
    finally:
        del adapter.predict
    assert max(rows) > 1
    agree_within_the_margin(guessed, alone)
    agree_within_the_margin(looked_up, alone)
