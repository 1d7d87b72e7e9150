"""A sweep with 64 samples against `generate_many` alone, which keeps and checks nothing."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import decodekit
from decodekit.analysis.sweeps.sweeping import sweep
from decodekit.analysis.sweeps.units import Task
from decodekit.testing import NGramAdapter

from .timing import Ratio, paired

SAMPLES = 64
TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 20
PROMPTS = ("the cat ", "and the ", "on the ")


def measure(rounds: int = 5, tokens: int = 32) -> Iterator[Ratio]:
    """All rows of the table, in the time of this process: a check runs in another one, and the model does not wait."""
    rhyme = NGramAdapter(TEXT)
    yield _row("64 samples of 3 prompts, table model", rhyme, PROMPTS, tokens, rounds)
    smollm2 = decodekit.adapter("llamacpp", model="smollm2", n_ctx=512, n_threads=1)
    prompt = ("The capital of France is",)
    yield _row("64 samples of 8 tokens, SmolLM2", smollm2, prompt, 8, 3)
    smollm2.close()


def _row(what: str, adapter: object, prompts: tuple[str, ...], tokens: int, rounds: int) -> Ratio:
    session = decodekit.Session(adapter, "temperature=0.8 top_p=0.95", seed=1)  # type: ignore[arg-type]
    tasks = [Task(prompt, "cat") for prompt in prompts]
    with tempfile.TemporaryDirectory() as folder:
        names = (Path(folder) / str(at) for at in itertools.count())

        def ours() -> object:
            own = {"check": r"regex:(\w+)", "out": next(names), "max_tokens": tokens}
            return sweep(session, tasks, [session.chain], SAMPLES, **own)  # type: ignore[arg-type]

        def theirs() -> object:
            return session.generate_many(prompts, n=SAMPLES, max_tokens=tokens, level="none")

        against = "generate_many, level none"
        return paired(what, against, ours, theirs, rounds=rounds, goal=1 / 1.2, clock=time.process_time)
