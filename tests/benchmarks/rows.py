"""A batch of 32 sequences against the same 32 one after the other, and 32 callers in tasks that draw together against
each for itself: processor time, the library's share only.

The adapter is synthetic, and the time in which it makes its answers does not count. Times are for 32 tokens: one round.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from decodekit import CHEAP, AdapterInfo, AsyncSession, Chain, Distribution, Prefix, Session, processor

from .chains import synthetic_rows
from .timing import Ratio, paired

SEQUENCES, TOKENS, LISTED = 32, 4, 64
FULL = (("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8))
Make = Callable[[int], Distribution]


class Synthetic:
    """An adapter whose answers cost nothing: `spent` is the processor time in which they were made."""

    tokenizer = None

    def __init__(self, vocab_size: int, make: Make) -> None:
        self.info = AdapterInfo("synthetic", "synthetic", vocab_size=vocab_size, concurrency=SEQUENCES)
        self.make, self.spent = make, 0.0

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> list[Distribution]:
        started = time.process_time()
        answers = [self.make(7 * len(prefix) + prefix.token_ids[-1]) for prefix in prefixes]
        self.spent += time.process_time() - started
        return answers

    def close(self) -> None:
        """Nothing is open."""

    def clock(self) -> float:
        """Processor time without its own share."""
        return time.process_time() - self.spent


def whole(size: int) -> Synthetic:
    rows = [row[:size] for row in synthetic_rows()]
    return Synthetic(size, lambda number: Distribution.dense(rows[number % len(rows)]))


def heads(size: int) -> Synthetic:
    shown = []
    for row in synthetic_rows():
        dist = Distribution.dense(row[:size])
        ids = dist.order[:LISTED]
        shown.append((ids, dist.logprobs_of(ids), dist.entropy))

    def make(number: int) -> Distribution:
        ids, logprobs, entropy = shown[number % len(shown)]
        return Distribution.head(ids, logprobs, size, entropy=entropy)

    return Synthetic(size, make)


def measure() -> Iterator[Ratio]:
    """All rows of the table."""
    hot = FULL[-1:]
    for what, adapter, parts in (
        ("heads of 64 at V=151,936, top_k", heads(151_936), FULL[:1]),
        ("heads of 64 at V=151,936, four processors", heads(151_936), FULL),
        ("whole rows, V=49,152, four processors", whole(49_152), FULL),
        ("whole rows, V=151,936, four processors", whole(151_936), FULL),
        ("whole rows, V=151,936, temperature", whole(151_936), hot),
    ):
        chain = Chain([processor(name, **{name: value}) for name, value in parts])
        session = Session(adapter, chain, seed=3)
        for level in ("proof", "none"):
            yield _against_one_by_one(f"{what}; {level}", session, adapter, level)
            yield _callers(f"{what}; {level}; 32 callers in tasks", adapter, parts, level)


def _against_one_by_one(what: str, session: Session, adapter: Synthetic, level: Any) -> Ratio:
    def together() -> object:
        return session.generate_many([[1, 2]], n=SEQUENCES, max_tokens=TOKENS, level=level)

    def alone() -> object:
        return [session.generate([1, 2], stream=stream, max_tokens=TOKENS, level=level) for stream in range(SEQUENCES)]

    found = paired(what, "one by one", together, alone, rounds=10, goal=1.0, clock=adapter.clock)
    return replace(found, ours=found.ours / TOKENS, theirs=found.theirs / TOKENS)


def _callers(what: str, adapter: Synthetic, parts: Any, level: Any) -> Ratio:
    """A call of the model takes 10 ms, as on a GPU, and is waited for: rounds are full then."""

    def chain(*, together: bool) -> Chain:
        made = Chain([processor(name, **{name: value}) for name, value in parts])
        made.ours = together  # a chain with a part of somebody else's is drawn for itself
        return made

    def calls(*, together: bool) -> object:
        async def main() -> object:
            session = AsyncSession(slow, seed=3)
            options: Any = {"max_tokens": 8 * TOKENS, "level": level}
            return await asyncio.gather(
                *(
                    session.generate([1, 2], stream=i, chain=chain(together=together), **options)
                    for i in range(SEQUENCES)
                )
            )

        return asyncio.run(main())

    def make(number: int) -> Distribution:
        return adapter.make(number)

    slow = Synthetic(adapter.info.vocab_size or 0, make)
    answered = slow.predict

    def predict(prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> list[Distribution]:
        time.sleep(0.01)
        return answered(prefixes, disclose)

    slow.predict = predict  # type: ignore[method-assign]
    ours, theirs = (lambda together=t: calls(together=together) for t in (True, False))  # type: ignore[misc]
    found = paired(what, "each for itself", ours, theirs, rounds=5, goal=1.0, clock=slow.clock)
    return replace(found, ours=found.ours / 8 / TOKENS, theirs=found.theirs / 8 / TOKENS)
