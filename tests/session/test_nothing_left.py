"""Many short requests from 64 tasks, of which some fail and some are cancelled, leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from decodekit import AsyncSession, ContextOverflow, DecodekitError, Prefix, Session
from decodekit.model.asking import rounds_of
from tests.session.callers import RAISES, faulty

TASKS, TOKENS = 64, 3


def descriptors() -> int:
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.is_dir() else 0


async def storm(adapter: Any, requests: int, prompt: Any, wrong: Any, expected: list[tuple[int, ...]] | None) -> None:
    """Short requests; those that are well have the tokens that they have alone, where a model computes exactly."""
    session, left, tokens = AsyncSession(adapter), iter(range(requests)), [0]

    async def worker() -> None:
        for i in left:
            options: Any = {"max_tokens": TOKENS, "seed": 3, "stream": i % 16, "level": "none"}
            if i % 31 == 0:
                with pytest.raises(DecodekitError):
                    await session.generate(wrong, **options)
            elif i % 37 == 0:
                task = asyncio.ensure_future(session.generate(prompt, **options))
                for _ in range(i % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            else:
                result = await session.generate(prompt, **options)
                assert expected is None or result.token_ids == expected[i % 16]
                assert (len(result.token_ids), result.finish_reason) == (TOKENS, "length")
                tokens[0] += 1

    await asyncio.gather(*(worker() for _ in range(TASKS)))
    assert len(asyncio.all_tasks()) == 1
    assert tokens[0] == sum(i % 31 != 0 and i % 37 != 0 for i in range(requests))


def leaves_nothing(adapter: Any, requests: int, *args: Any) -> None:
    """Two storms: what the first one makes once, such as caches, the second one does not make again."""
    threads, files = set(threading.enumerate()), descriptors()
    blocks = 0
    for _ in range(2):
        before = blocks
        asyncio.run(storm(adapter, requests, *args))
        getattr(adapter, "asked", []).clear()  # what a test's adapter keeps
        gc.collect()
        blocks = sys.getallocatedblocks()
    assert blocks - before < max(2000, requests)  # a question that is kept has ten blocks or more
    assert set(threading.enumerate()) <= threads and descriptors() <= files
    assert rounds_of(adapter).waiting == 0


@pytest.mark.parametrize("requests", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_on_an_exact_adapter(requests: int) -> None:
    adapters = [faulty()]
    expected = [Session(faulty()).generate([9], max_tokens=TOKENS, seed=3, stream=i).token_ids for i in range(16)]
    leaves_nothing(adapters[0], requests, [9], [RAISES], expected)
    gone = weakref.ref(adapters[0])
    adapters.clear()
    gc.collect()
    assert gone() is None  # nothing keeps it: no round, no question


@pytest.fixture
def make() -> Iterator[Callable[[str], Any]]:
    built: list[Any] = []

    def build(kind: str) -> Any:
        if kind == "torch":
            pytest.importorskip("transformers")
            from decodekit_torch import TorchAdapter
            from tests.adapters.torch.models import tiny

            built.append(TorchAdapter(model=tiny("Llama").double(), max_sequences=8, cells=CELLS))
        else:
            pytest.importorskip("llama_cpp")
            from decodekit_llamacpp import LlamaCppAdapter

            built.append(LlamaCppAdapter(model="smollm2", n_ctx=CELLS, n_threads=1))
        return built[-1]

    yield build
    for adapter in built:
        adapter.close()


CELLS = 96
REQUESTS = [
    ("torch", 120),
    pytest.param("torch", 10_000, marks=pytest.mark.slow),
    pytest.param("llamacpp", 33, marks=pytest.mark.real_model),
    pytest.param("llamacpp", 10_000, marks=[pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(1800)]),
]


@pytest.mark.parametrize(("kind", "requests"), REQUESTS)
def test_on_a_model_with_few_cells(make: Callable[[str], Any], kind: str, requests: int) -> None:
    """Fewer cells than the callers' prefixes need: they are taken from one for the next, and none is lost.

    In float64 a batch changes a score by 1e-14, and no token.
    """
    adapter, prompt, expected = make(kind), Prefix(range(20, 30)), None
    if kind == "torch":
        session = Session(make(kind), seed=3)
        expected = [session.generate(prompt, max_tokens=TOKENS, stream=i).token_ids for i in range(16)]
    leaves_nothing(adapter, requests, prompt, Prefix([5] * 400), expected)
    (answer,) = adapter.predict([Prefix([7] * (CELLS - 3))])  # all of them can be used
    assert not isinstance(answer, DecodekitError), answer
    assert isinstance(adapter.predict([Prefix([5] * 400)])[0], ContextOverflow)
