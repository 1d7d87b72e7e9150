"""Guesses by prompt lookup: where the text repeats its prompt, and where it does not. Against the same run without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import decodekit

from .decoding import PROMPT, Endless
from .timing import Ratio, paired

TOKENS = 256
PARAGRAPH = (
    "The harbour of the old town lies between two hills. In the morning the boats come back with fish, and the women "
    "of the market wait for them on the stones. A boy carries baskets, a dog sleeps in the sun, and the keeper of the "
    "lighthouse counts the sails. When the bell rings at noon, the market ends, and the square is empty until the "
    "evening, when the lamps are lit and the music begins. Nobody is in a hurry here, except for the doctor, who has "
    "three villages to look after and only one horse.\n\n"
)


def runs(adapter: Any, prompt: str, chain: decodekit.Chain, tokens: int) -> tuple[Callable[[], object], ...]:
    """The run with prompt lookup, and the one without; each evaluates the prompt's last token and ``tokens`` others."""
    session = decodekit.Session(Endless(adapter), chain, seed=1)  # type: ignore[arg-type]
    prefix = decodekit.Prefix(adapter.tokenizer.encode(prompt))

    def run(guesser: str) -> Callable[[], object]:
        return lambda: session.generate(prefix, max_tokens=tokens, guesser=guesser).token_ids

    if adapter.info.schedule_invariant:
        assert run("prompt_lookup")() == run("none")()
    return run("prompt_lookup"), run("none")


def measure(rounds: int = 5) -> Iterator[Ratio]:
    """All rows of the table."""
    greedy = decodekit.Chain(sampler="greedy")
    sampled = decodekit.Chain(
        [decodekit.processor("top_p", top_p=0.95), decodekit.processor("temperature", temperature=0.8)]
    )
    tasks = (("copy", PARAGRAPH * 3 + PARAGRAPH[:40], greedy, 1.5), ("prose", PROMPT, sampled, 0.97))
    for name in ("llamacpp", "torch"):
        adapter = decodekit.adapter(name, model="smollm2", **({"n_threads": 1} if name == "llamacpp" else {}))
        tokens = TOKENS if name == "llamacpp" else 64
        for task, prompt, chain, goal in tasks:
            ours, theirs = runs(adapter, prompt, chain, tokens)
            yield paired(
                f"{task}, {name}, {tokens} tokens, prompt lookup", "without", ours, theirs, rounds=rounds, goal=goal
            )
        adapter.close()
