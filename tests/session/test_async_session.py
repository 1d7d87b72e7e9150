"""`AsyncSession` gives what `Session` gives, in tasks that run at the same time."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from types import ModuleType

import pytest

import decodekit
from decodekit import AsyncSession, Chain, ParameterError, PluginError, Session, processor
from tests.model.test_asking import Waited
from tests.session.conftest import TEXT, Around, V, chain, plain, table

HOT = chain(("temperature", {"temperature": 1.3}))
ADAPTERS = {"blocking": table, "async": Waited}


@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_results_are_those_of_a_session(kind: str) -> None:
    async def main() -> tuple[object, ...]:
        async with AsyncSession(ADAPTERS[kind](), HOT, seed=3) as session:
            one = await session.generate([1], max_tokens=6)
            many = await session.generate_many([[1], [2]], n=2, max_tokens=4)
            async with session.stream([1], max_tokens=6) as steps:
                streamed = [step.token_id async for step in steps]
            return one, many, streamed, steps.result

    one, many, streamed, last = asyncio.run(main())
    session = Session(table(), HOT, seed=3)
    expected = session.generate([1], max_tokens=6)
    assert one.token_ids == expected.token_ids == tuple(streamed) == last.token_ids
    assert (one.finish_reason, one.seed) == ("length", 3) and decodekit.verify(one.trace).word == "proved"
    assert [[each.token_ids for each in results] for results in many] == [
        [each.token_ids for each in results] for results in session.generate_many([[1], [2]], n=2, max_tokens=4)
    ]


def test_the_trace_is_that_of_a_session_but_for_the_schedule(tmp_path) -> None:
    asyncio.run(AsyncSession(table(), HOT, seed=3).generate([1], max_tokens=6, trace=tmp_path / "a"))
    Session(table(), HOT, seed=3).generate([1], max_tokens=6, trace=tmp_path / "b")
    one, other = (decodekit.read_trace(tmp_path / name) for name in "ab")
    assert one.footer.contents == other.footer.contents


@pytest.mark.parametrize("kind", ADAPTERS)
def test_thirty_tasks_with_their_own_chains_get_what_each_gets_alone(kind: str) -> None:
    chains = [Chain([processor("top_k", top_k=k % 7 + 2)], "greedy" if k % 2 else "multinomial") for k in range(30)]
    adapter = ADAPTERS[kind]()

    async def main() -> list[decodekit.Result]:
        session = AsyncSession(adapter, seed=1)
        calls = (session.generate([i], stream=i, max_tokens=i % 5 + 3, chain=each) for i, each in enumerate(chains))
        return await asyncio.gather(*calls)

    for i, result in enumerate(asyncio.run(main())):
        alone = Session(table(), chains[i], seed=1).generate([i], stream=i, max_tokens=i % 5 + 3)
        assert result.token_ids == alone.token_ids
        assert result.trace.header.chain == alone.trace.header.chain


def test_tasks_on_a_blocking_adapter_share_its_calls() -> None:
    adapter = Around(table(), plain)

    async def main() -> None:
        session = AsyncSession(adapter, seed=1)
        await asyncio.gather(*(session.generate([i], max_tokens=8) for i in range(8)))

    asyncio.run(main())
    assert sum(len(prefixes) for prefixes, _ in adapter.asked) == 64
    assert max(len(prefixes) for prefixes, _ in adapter.asked) > 4


def test_a_failing_call_leaves_its_neighbours_alone() -> None:
    def failing(dist, ctx):
        if ctx.step == 2:
            raise RuntimeError("x")
        return dist

    async def main() -> list[object]:
        session = AsyncSession(table(), seed=1)
        calls = [session.generate([i], max_tokens=5, chain=[failing] if i == 1 else None) for i in range(3)]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, failed, last = asyncio.run(main())
    assert isinstance(failed, PluginError) and len(failed.partial.token_ids) == 2
    for i, result in ((0, first), (2, last)):
        assert result.token_ids == Session(table(), seed=1).generate([i], max_tokens=5).token_ids


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_cancelled_task_ends_its_run_and_its_trace_is_whole(kind: str, tmp_path) -> None:
    path = tmp_path / "run.jsonl"

    async def main() -> None:
        session = AsyncSession(ADAPTERS[kind](), seed=1)
        begun = asyncio.Event()
        call = session.generate([1], max_tokens=100_000, trace=path, until=lambda _: begun.set())
        task = asyncio.create_task(call)
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await session.generate([1], max_tokens=2)).finish_reason == "length"

    asyncio.run(main())
    trace = decodekit.read_trace(path)
    assert [end.finish_reason for end in trace.footer.ends] == ["cancelled"]
    assert decodekit.verify(path).word == "proved" and len(trace.steps) >= 1


def test_a_stream_that_is_left_ends_as_cancelled(tmp_path) -> None:
    async def main() -> None:
        session = AsyncSession(table(), seed=1)
        async with session.stream([1], max_tokens=9, trace=tmp_path / "left") as steps:
            async for _ in steps:
                break
        assert steps.result is not None and steps.result.finish_reason == "cancelled"
        async for _ in session.stream([1], max_tokens=9, trace=tmp_path / "dropped"):
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    for name in ("left", "dropped"):
        trace = decodekit.read_trace(tmp_path / name)
        assert [(end.finish_reason, end.tokens) for end in trace.footer.ends] == [("cancelled", 1)]


@pytest.mark.parametrize("kind", ADAPTERS)
def test_results_come_as_they_are_completed_each_with_its_own_steps(kind: str) -> None:
    prompts = [[i] for i in range(6)]

    async def main() -> list[decodekit.Result]:
        session = AsyncSession(ADAPTERS[kind](), HOT, seed=2)
        until = lambda step: step.index >= 5 - (step.stream >> 32)  # noqa: E731 - the first prompt is the longest
        return [result async for result in session.as_completed(prompts, n=2, max_tokens=20, until=until)]

    results = asyncio.run(main())
    assert sorted(result.stream for result in results) == [i << 32 | j for i in range(6) for j in range(2)]
    assert [len(result.token_ids) for result in results] == sorted(len(result.token_ids) for result in results)
    for result in results:
        assert [step.token_id for step in result.trace.steps] == list(result.token_ids)
        assert decodekit.verify(result.trace).word == "proved"


def test_a_session_gives_results_as_they_are_completed_too_failures_among_them() -> None:
    def failing(dist, ctx):
        if ctx.prompt_ids[0] == 1:
            raise RuntimeError("x")
        return dist

    session = Session(table(), seed=2)
    results = list(session.as_completed([[0], [1], [2]], max_tokens=3, chain=[failing]))
    assert [(result.stream >> 32, result.finish_reason) for result in results] == [
        (1, "error"),
        (0, "length"),
        (2, "length"),
    ]
    results = sorted(results, key=lambda result: result.stream)
    expected = session.generate_many([[0], [1], [2]], max_tokens=3)
    assert results[0].token_ids == expected[0][0].token_ids and results[2].token_ids == expected[2][0].token_ids


def test_a_deadline_ends_a_call_that_waits() -> None:
    async def main() -> decodekit.Result:
        return await AsyncSession(Waited(wait=600), seed=1).generate([1], max_tokens=4, deadline=0.05)

    result = asyncio.run(main())
    assert (result.token_ids, result.finish_reason) == ((), "deadline")


def test_options_are_checked_when_they_are_given() -> None:
    session = AsyncSession(table(), seed=1)
    with pytest.raises(ParameterError, match="priority"):
        session.stream([1], priority=1.5)  # type: ignore[typeddict-item]
    with pytest.raises(TypeError, match="no generation option 'max_token'"):
        session.stream([1], max_token=3)  # type: ignore[call-arg]
    with pytest.raises(ParameterError, match="a list of prompts"):
        asyncio.run(session.generate_many("one"))


def test_nothing_is_left_after_the_loop_has_ended() -> None:
    before = threading.active_count()

    async def main() -> None:
        session = AsyncSession(table(), seed=1)
        await asyncio.gather(*(session.generate([i % V], max_tokens=2) for i in range(40)))

    asyncio.run(main())
    assert threading.active_count() == before


def test_a_session_from_a_configuration_closes_its_adapter() -> None:
    async def main() -> str:
        given = {"adapter": {"type": "ngram", "text": TEXT}, "session": {"seed": 4}}
        async with AsyncSession.from_config(given) as session:
            return (await session.generate("the ", max_tokens=3)).text

    with pytest.raises(decodekit.ConfigError, match="ngram"):  # the kit's adapters are no plugins
        asyncio.run(main())


@pytest.mark.parametrize("so_far", [None, "trio.lowlevel"])
def test_a_call_while_another_thread_imports_trio(so_far: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module stands in ``sys.modules`` before it has its names."""
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
    monkeypatch.delitem(sys.modules, "trio.lowlevel", raising=False)
    if so_far is not None:
        monkeypatch.setitem(sys.modules, so_far, ModuleType(so_far))
    assert asyncio.run(AsyncSession(table(), seed=1).generate([1], max_tokens=2)).finish_reason == "length"
