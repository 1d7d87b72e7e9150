"""On an exact adapter a request's trace has the same content however it is run and whoever runs beside it."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import decodekit
from decodekit import AsyncSession, Chain, DecodekitError, Session, processor
from decodekit.model import ahead
from tests.session.conftest import Around, plain
from tests.session.cutting import NOISE, PARTS, SAMPLERS, build
from tests.session.test_together import lines

LENGTH, PROMPT = 6, [104, *range(40)]  # longer than the first portion of a call with a deadline
OTHERS = [Chain(), Chain([processor("top_k", top_k=3)], "greedy"), Chain([processor("temperature", temperature=2.0)])]

Way = Callable[[Chain, dict[str, Any], int], object]


def beside(i: int) -> dict[str, Any]:
    return {"chain": OTHERS[i % 3], "seed": i, "max_tokens": LENGTH + i % 3, "priority": i % 2}


def in_threads(adapter: Any, chain: Chain, call: dict[str, Any], others: int) -> None:
    session = Session(adapter)
    with ThreadPoolExecutor(others + 1) as pool:
        calls = [pool.submit(session.generate, [i], **beside(i)) for i in range(others)]
        pool.submit(session.generate, PROMPT, chain=chain, **call).result()
        for each in calls:
            each.result()


def threads(chain: Chain, call: dict[str, Any], others: int) -> None:
    in_threads(Around(NOISE, plain), chain, call, others)


def retried(chain: Chain, call: dict[str, Any], others: int) -> None:
    """Every second round of several callers fails, and its questions are asked again one by one."""
    rounds = iter(range(10**6))

    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        if len(prefixes) > 1 and next(rounds) % 2 == 0:
            raise OSError("the batch")
        return inner.predict(prefixes, wanted)

    in_threads(Around(NOISE, act), chain, call, others)


def tasks(chain: Chain, call: dict[str, Any], others: int) -> None:
    """Every second neighbour is cancelled."""

    async def main() -> None:
        session = AsyncSession(Around(NOISE, plain))
        calls = [asyncio.ensure_future(session.generate([i], **beside(i))) for i in range(others)]
        own = asyncio.ensure_future(session.generate(PROMPT, chain=chain, **call))
        for each in calls[::2]:
            await asyncio.sleep(0)
            each.cancel()
        await own
        for each in calls:
            with suppress(asyncio.CancelledError):
                await each

    asyncio.run(main())


def ahead_of_the_record(chain: Chain, call: dict[str, Any], others: int) -> None:
    adapter: Any = Around(NOISE, plain)
    adapter.overlaps = True
    in_threads(adapter, chain, call, others)


def guessed(chain: Chain, call: dict[str, Any], others: int) -> None:
    wrong = decodekit.guesser("fixed", fixed=[5, 6, 7, *range(50)])
    Session(NOISE, chain).generate(PROMPT, guesser=wrong, **call)


def in_portions(chain: Chain, call: dict[str, Any], others: int) -> None:
    Session(Around(NOISE, plain), chain).generate(PROMPT, deadline=600.0, **call)


def resumed(chain: Chain, call: dict[str, Any], others: int) -> None:
    part = Path(f"{call['trace']}.part")
    Session(NOISE, chain).generate(PROMPT, **{**call, "trace": part, "max_tokens": others})
    decodekit.resume(part, NOISE, max_tokens=LENGTH, trace=call["trace"])


WAYS: list[Way] = [threads, retried, tasks, ahead_of_the_record, guessed, in_portions, resumed]


@settings(max_examples=12)
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=4),
    sampler=st.sampled_from(SAMPLERS[:-1]),
    level=st.sampled_from(["choice", "proof", "full"]),
    seed=st.integers(0, 2**64),
    others=st.integers(1, 5),
)
def test_alone_and_in_every_other_way(tmp_path_factory, parts, sampler, level, seed, others) -> None:
    folder, chain = tmp_path_factory.mktemp("ways"), build(parts, sampler)
    call: dict[str, Any] = {"max_tokens": LENGTH, "level": level, "seed": seed}
    try:
        Session(NOISE, chain).generate(PROMPT, trace=folder / "alone", **call)
    except DecodekitError:
        reject()  # such a chain leaves no token
    expected = decodekit.read_trace(folder / "alone").footer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "_LONG", 0.0)  # however short a call is
        for way in WAYS:
            way(chain, {**call, "trace": folder / way.__name__}, others)
            assert decodekit.read_trace(folder / way.__name__).footer == expected, way.__name__


@settings(max_examples=12)
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=3),
    place=st.integers(0, 3),
    sample=st.integers(0, 2),
    level=st.sampled_from(["choice", "full"]),
)
def test_at_any_index_of_a_batch(tmp_path_factory, parts, place, sample, level) -> None:
    folder, chain = tmp_path_factory.mktemp("batch"), build(parts)
    call: dict[str, Any] = {"max_tokens": LENGTH, "level": level, "seed": 4}
    stream = place << 32 | sample
    prompts: list[Any] = [[i] for i in range(4)]
    prompts[place] = PROMPT
    try:
        Session(NOISE, chain).generate(PROMPT, trace=folder / "alone", stream=stream, **call)
    except DecodekitError:
        reject()
    Session(NOISE, chain).generate_many(prompts, n=3, trace=folder / "batch", **call)
    found = {key: line for key, line in lines(folder / "batch").items() if key[0] == stream}
    assert found == lines(folder / "alone")


WORKER = """
import numpy as np

from decodekit import Chain, Session, processor
from decodekit.testing import TableAdapter

CHAINS = [
    [processor("temperature", temperature=1.3), processor("top_p", top_p=0.9)],
    [processor("mirostat_v2", mirostat_v2=2.0)],
    [processor("xtc", xtc=0.5, threshold=0.05), processor("repetition_penalty", repetition_penalty=1.3)],
]


def contents(i):
    adapter = TableAdapter(lambda ids: np.random.default_rng(ids).normal(0, 2, 257), 257)
    trace = Session(adapter, Chain(CHAINS[i])).generate([104, 5], seed=9, max_tokens=6, level="full").trace
    return repr([(step.token_id, step.choice, step.entries) for step in trace.steps])
"""


def test_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "decodekit_contents.py").write_text(WORKER)  # a spawned process imports it by name
    monkeypatch.syspath_prepend(tmp_path)
    contents = importlib.import_module("decodekit_contents").contents
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(contents, range(3))) == list(map(contents, range(3)))
