"""The library's own share of the time, here and in another commit: ``against.py OTHER_PYTHON [GROUPS]``.

The other interpreter is that of an environment in which the other commit is installed. Both run this file in turns,
each time in a new process, and measure thread time without any model; so only calls that both commits have are used.
The groups are session, chain, verify, lines (of a trace file), and rows: sequences of one call, which a commit may take
through the chain together.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

ROUNDS = 6
Case = tuple[str, Callable[[], object], int, int]
"""What is measured, the call, how many tokens one call is, and how many calls. Seconds that a call returns are of
others, and do not count."""


def main(other: str, groups: list[str]) -> None:
    """Measure in turns, the order alternating, and print a table."""
    times: dict[str, list[list[float]]] = {}
    pythons = [other, sys.executable]
    for turn in range(ROUNDS):
        for side in (0, 1) if turn % 2 else (1, 0):
            for what, value in measured(pythons[side], groups).items():
                times.setdefault(what, [[], []])[side].append(value)
    print("| what, thread time | other, us | this, us | ratio of the least | median of the pairs' ratios |")
    print("| --- | --- | --- | --- | --- |")
    for what, (before, now) in times.items():
        pairs = statistics.median(b / a for a, b in zip(before, now, strict=True))
        least = min(before), min(now)
        print(f"| {what} | {least[0]:.1f} | {least[1]:.1f} | {least[1] / least[0]:.3f} | {pairs:.3f} |")


def measured(python: str, groups: list[str]) -> dict[str, float]:
    """Microseconds per token of each case, in a new process of this interpreter."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [python, "-P", __file__, "--measure", *groups]  # -P: the decodekit of its environment, not of this folder
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(groups: list[str]) -> None:
    """What the other process does: the least of many calls, as JSON."""
    found = {}
    for group in groups or list(GROUPS):
        for what, call, tokens, calls in GROUPS[group]():
            call()
            found[what] = min(thread_time(call) for _ in range(calls)) / tokens * 1e6
    print(json.dumps(found))


def thread_time(call: Callable[[], object]) -> float:
    started = time.thread_time()
    others = call()
    return time.thread_time() - started - (others if isinstance(others, float) else 0.0)


# -- what is measured --------------------------------------------------------------------------------------------------

USUAL: tuple[tuple[str, float], ...] = (("top_k", 40), ("top_p", 0.95), ("min_p", 0.05), ("temperature", 0.8))
CHAINS = {"the usual chain": USUAL, "no chain": ()}


def rows(count: int, size: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(0, 3, (count, size)).astype(np.float32)


def chain_of(parts: tuple[tuple[str, float], ...]) -> Any:
    import decodekit

    return decodekit.Chain([decodekit.processor(name, **{name: value}) for name, value in parts])


def session_of(parts: tuple[tuple[str, float], ...]) -> Any:
    """A session over a model that costs nothing."""
    import decodekit

    prepared = rows(64, 2000)

    class Rows:
        info = decodekit.AdapterInfo("rows", "rows", vocab_size=2000)
        tokenizer = None

        def predict(self, prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
            return [decodekit.Distribution.dense(prepared[len(prefix) % 64]) for prefix in prefixes]

        def close(self) -> None: ...

    return decodekit.Session(Rows(), chain_of(parts), seed=1)


def sessions() -> Iterator[Case]:
    for name, parts in CHAINS.items():
        session = session_of(parts)
        yield f"session, {name}, V=2,000", lambda session=session: session.generate([1], max_tokens=100), 100, 12


def chain_steps() -> Iterator[Case]:
    import decodekit

    noise = decodekit.Randomness(1).at(0)
    for size, calls in ((151_936, 3), (257, 60)):
        prepared = rows(8, size)
        for parts in (USUAL, USUAL[1:2], USUAL[3:]):
            chain, ctx = chain_of(parts), decodekit.Context()

            def steps(prepared: Any = prepared, chain: Any = chain, ctx: Any = ctx) -> None:
                for row in prepared:
                    chain.step(decodekit.Distribution.dense(row), ctx, chain.initial(ctx), noise)

            names = ", ".join(name for name, _ in parts)
            yield f"`Chain.step` of {names}, V={size:,}", steps, len(prepared), calls


def verifications() -> Iterator[Case]:
    import decodekit

    with tempfile.TemporaryDirectory() as folder:
        for name, parts in CHAINS.items():
            path = Path(folder) / name
            session_of(parts).generate([1], max_tokens=100, trace=path)
            assert decodekit.verify(path).word == "proved"
            yield f"verify, {name}, V=2,000", lambda path=path: decodekit.verify(path), 100, 8


def trace_lines() -> Iterator[Case]:
    """A step's line in a trace file, without its digests."""
    from decodekit.trace.lines import Lines

    for name, parts in CHAINS.items():
        trace = session_of(parts).generate([1], max_tokens=100).trace
        lines = Lines()
        lines.add(lines.header(trace.header))

        def write(lines: Any = lines, trace: Any = trace) -> None:
            for number, step in enumerate(trace.steps):
                lines.step(step, number)

        yield f"a step's line, {name}, V=2,000", write, 100, 50


def batches() -> Iterator[Case]:
    """32 sequences of one call, over heads and whole rows; where there is no level 'none', at 'choice' with one
    logprob."""
    import decodekit
    from decodekit import Distribution

    sequences, tokens, listed = 32, 8, 64
    try:
        from decodekit.trace.step import Level

        has_none = "none" in get_args(Level)
    except ImportError:
        has_none = False

    def rounds(size: int, make: Callable[[Any], Any], parts: Any, level: str) -> Callable[[], float]:
        spent = [0.0]

        class Rows:
            info = decodekit.AdapterInfo("rows", "rows", vocab_size=size, concurrency=sequences)
            tokenizer = None

            def predict(self, prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
                started = time.thread_time()
                answers = [make(7 * len(prefix) + prefix.token_ids[-1]) for prefix in prefixes]
                spent[0] += time.thread_time() - started
                return answers

            def close(self) -> None: ...

        old = level == "none" and not has_none
        session = decodekit.Session(Rows(), chain_of(parts), seed=1, top_logprobs=1 if old else 5)

        def call() -> float:
            spent[0] = 0.0
            session.generate_many([[1]], n=sequences, max_tokens=tokens, level="choice" if old else level)
            return spent[0]

        return call

    prepared = peaked_rows(8, 151_936)
    for size, shown, parts in (
        (151_936, True, USUAL[:1]),
        (49_152, False, USUAL),
        (151_936, False, USUAL),
        (151_936, False, USUAL[3:]),
    ):
        wholes = [Distribution.dense(row[:size]) for row in prepared]
        heads = [(ids := dist.order[:listed], dist.logprobs_of(ids), dist.entropy) for dist in wholes if shown]

        def make(number: int, size: int = size, heads: Any = heads) -> Any:
            if not heads:
                return Distribution.dense(prepared[number % 8][:size])
            ids, logprobs, entropy = heads[number % 8]
            return Distribution.head(ids, logprobs, size, entropy=entropy)

        for level in ("proof", "none"):
            names = ", ".join(name for name, _ in parts)
            what = f"32 {'heads of 64' if shown else 'whole rows'}, {names}, V={size:,}, level {level}"
            yield what, rounds(size, make, parts, level), sequences * tokens, 4


def peaked_rows(count: int, size: int) -> Any:
    """N(0, 2.2) with 30 tokens raised so that they hold almost all of the mass."""
    import numpy as np

    noise = np.random.default_rng(0)
    made = noise.normal(0, 2.2, (count, size)).astype(np.float32)
    for row in made:
        row[noise.choice(min(size, 49_152), 30, replace=False)] = noise.normal(20, 1.5, 30)
    return made


GROUPS = {"session": sessions, "chain": chain_steps, "verify": verifications, "lines": trace_lines, "rows": batches}

if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        measure(sys.argv[2:])
    else:
        main(sys.argv[1], sys.argv[2:])
