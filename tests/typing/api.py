"""What type checkers promise a user. Checked, never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import decodekit
from decodekit import BoundRandomness, Choice, Context, Distribution, Result, Step, Verdict
from decodekit.testing import NGramAdapter


def halve(dist: Distribution, ctx: Context) -> Distribution:
    return dist.scaled(0.5)


def first(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
    return Choice(dist.mode, dist.logprob(dist.mode), None, 0, 0.0, 0.0)


def whole(text: str, ended: bool) -> bool:
    return bool(text) or not ended


processor: decodekit.Processor = halve
sampler: decodekit.Sampler = first
adapter: decodekit.Adapter = NGramAdapter("text")
chain: decodekit.Chain = decodekit.Chain([halve, decodekit.processor("top_p", top_p=0.9)], first)
session: decodekit.Session = decodekit.Session(adapter, chain, seed=7)
result: Result = session.generate("prompt", max_tokens=3)
steps: Iterator[Step] = session.stream([1, 2, 3])
sink: decodekit.Sink = decodekit.sink("memory")
traced: Result = session.generate("prompt", trace=["run.jsonl", Path("run.parquet"), sink])
guesser: decodekit.Guesser = decodekit.guesser("prompt_lookup")
guessed: Result = session.generate("prompt", max_tokens=3, guesser=guesser)
many: list[list[Result]] = session.generate_many([[{"role": "user", "content": "hello"}], decodekit.Prefix([1])], n=2)
done: Iterator[Result] = session.as_completed(["prompt"], n=2, chain=[halve], level="none", priority=1)
endless: Iterator[Result] = session.as_completed((f"{i}" for i in range(9)), progress=print)
score: decodekit.Score = session.score("prompt", " text", chain=[halve])
best: list[decodekit.Ranked] = session.rank("prompt", [" text", [1, 2]], by="per_byte", priority=1)
valid: decodekit.ValidSamples = decodekit.sample_valid(session, "prompt", whole, n=2, method="smc")
length: float = valid.mean(lambda sample: len(sample.text) + valid.weights[0])
scores: NDArray[np.float64] = decodekit.Distribution.dense([0.0, 1.0]).scores
verdict: Verdict = decodekit.verify(result.trace)
keyed: Verdict = decodekit.verify("run.jsonl", chain=chain)
attributed: decodekit.Detection = decodekit.was_drawn_with(result.token_ids, 7, offsets=range(3))
resumed: list[Result] = decodekit.resume(result.trace, adapter, max_tokens=9)
more: Iterator[Step] = decodekit.resume_stream("run.jsonl", adapter)
partial: Result | list[Result] | None = decodekit.DecodekitError().partial


async def asynchronous() -> tuple[Result, list[list[Result]], list[Result], list[Step], Result | None]:
    async with decodekit.AsyncSession(adapter, chain, seed=7) as tasks:
        one: Result = await tasks.generate("prompt", max_tokens=3, chain=[halve], metadata={"user": 1})
        several: list[list[Result]] = await tasks.generate_many(["prompt"], n=2)
        found: decodekit.ValidSamples = await decodekit.asample_valid(tasks, "prompt", whole, n=2, method="awrs")
        assert found.p_valid <= 1
        total: float = (await tasks.score("prompt", [1])).total
        assert (await tasks.rank("prompt", [[1], [2]]))[0].value >= total
        completed = [each async for each in tasks.as_completed(["prompt"], top_logprobs=2)]
        async with tasks.stream("prompt", deadline=2.0) as stream:
            streamed = [step async for step in stream]
        return one, several, completed, streamed, stream.result
