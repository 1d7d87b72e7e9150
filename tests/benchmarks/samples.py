"""16 samples of one long prompt on SmolLM2: against runs one after the other, and against one batch in bare C."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import decodekit

from .bare_batch import BareBatch
from .decoding import PROMPT, Fresh, parameters_of
from .timing import Ratio, in_turns, ratio_of, seconds

SAMPLES = 16
CHAIN = (("top_k", 40), ("min_p", 0.05), ("temperature", 0.8))


def measure(rounds: int = 2, length: int = 512, tokens: int = 64, samples: int = SAMPLES) -> Iterator[Ratio]:
    """All rows of the table. Every side starts from an empty cache; making it is not timed."""

    def make() -> Any:
        return decodekit.adapter("llamacpp", model="smollm2", n_ctx=2048)

    fresh = Fresh(make, decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in CHAIN]), seed=1)
    ids = fresh.session.adapter.tokenizer.encode(PROMPT)  # type: ignore[union-attr]
    prompt = decodekit.Prefix((ids * length)[:length])
    bare = BareBatch(parameters_of(make), CHAIN)

    def ours() -> float:
        fresh.renew()
        return seconds(lambda: fresh.session.generate_many([prompt], n=samples, max_tokens=tokens))

    def one_by_one(*, kept: bool) -> float:
        spent = 0.0
        for stream in range(samples):
            if not (kept and stream):
                fresh.renew()
            spent += seconds(lambda stream=stream: fresh.session.generate(prompt, stream=stream, max_tokens=tokens))
        return spent

    def batch() -> float:
        return seconds(lambda: bare.run([prompt.token_ids], samples, tokens))

    batch()
    what = f"{samples} samples of {length} + {tokens} tokens"
    sides = (
        (f"bare C API, one batch of {samples}", batch, rounds, 0.85),
        (f"{samples} runs that keep the prompt", lambda: one_by_one(kept=True), rounds, 1.5),
        (f"{samples} runs that evaluate it again", lambda: one_by_one(kept=False), 1, 2.5),  # it takes a minute
    )
    for against, theirs, pairs, goal in sides:
        yield ratio_of(what, against, in_turns(ours, theirs, pairs), goal)
    bare.close()
