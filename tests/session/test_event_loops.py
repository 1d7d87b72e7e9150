"""`AsyncSession` in each event loop, and under cancel scopes, which cancel again at each await until they are left."""

from __future__ import annotations

import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import decodekit
from decodekit import AdapterError, AsyncSession, Session
from tests.model.test_asking import Waited
from tests.session.conftest import Around, plain, table

LOOPS = ["asyncio", "uvloop", "trio"]
ADAPTERS: dict[str, Callable[[], Any]] = {"blocking": lambda: Around(table(), plain), "async": Waited}
PATIENCE = 60  # seconds: nothing waits as long unless a test fails


def run(loop: str, main: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    pytest.importorskip(loop)

    async def limited() -> Any:
        with anyio.fail_after(PATIENCE):
            return await main(*args)

    if loop == "trio":
        return anyio.run(limited, backend="trio")
    return anyio.run(limited, backend_options={"use_uvloop": loop == "uvloop"})


def alone(prompt: int, tokens: int, **options: Any) -> tuple[int, ...]:
    return Session(table(), seed=3).generate([prompt], max_tokens=tokens, **options).token_ids


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_the_results_are_those_of_a_session(loop: str, kind: str) -> None:
    async def main() -> None:
        async with AsyncSession(ADAPTERS[kind](), seed=3) as session:
            async with session.stream([1], max_tokens=6) as steps:
                streamed = [step.token_id async for step in steps]
            assert tuple(streamed) == steps.result.token_ids == alone(1, 6)
            ((one, two),) = await session.generate_many([[1]], n=2, max_tokens=4)
            assert (one.token_ids, two.token_ids) == (alone(1, 4), alone(1, 4, stream=1))
            found = [each.token_ids async for each in session.as_completed([[1], [2]], max_tokens=4)]
            assert sorted(found) == sorted([alone(1, 4), alone(2, 4, stream=1 << 32)])
            read = [each.token_ids async for each in session.as_completed(iter([[1], [2]]), max_tokens=4)]
            assert sorted(read) == sorted(found)
            assert await session.score([1], [2, 3]) == Session(table()).score([1], [2, 3])
            assert [row.index for row in await session.rank([1], [[0], [2]])] == [
                row.index for row in Session(table()).rank([1], [[0], [2]])
            ]
            late = await session.generate([1], deadline=0.0)
            assert (late.token_ids, late.finish_reason) == ((), "deadline")
            with pytest.raises(decodekit.PluginError, match="enough"):
                await session.generate([1], chain=[failing])

    def failing(dist: Any, ctx: Any) -> Any:
        raise ValueError("enough")

    run(loop, main)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_tasks_share_rounds_and_a_scope_that_is_cancelled_ends_its_own_call(loop: str, kind: str, tmp_path) -> None:
    adapter = ADAPTERS[kind]()
    found: dict[int, tuple[int, ...]] = {}

    async def neighbour(session: AsyncSession, i: int) -> None:
        found[i] = (await session.generate([i], max_tokens=12)).token_ids

    async def main() -> None:
        session = AsyncSession(adapter, seed=3)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                for i in range(8):
                    tasks.start_soon(neighbour, session, i)
                with anyio.CancelScope() as own:
                    cancel = lambda step: step.index == 3 and own.cancel()  # noqa: E731
                    await session.generate([9], max_tokens=10_000, trace=tmp_path / "run", until=cancel)
                assert own.cancelled_caught
        assert not scope.cancelled_caught

    run(loop, main)
    assert found == {i: alone(i, 12) for i in range(8)}
    trace = decodekit.read_trace(tmp_path / "run")
    assert [end.finish_reason for end in trace.footer.ends] == ["cancelled"]
    assert trace.token_ids() == list(alone(9, len(trace.steps))) and len(trace.steps) >= 4
    if kind == "blocking":
        assert max(len(prefixes) for prefixes, _ in adapter.asked) > 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_deadline_ends_a_call_that_waits_for_a_server(loop: str) -> None:
    async def main() -> decodekit.Result:
        return await AsyncSession(Waited(wait=600), seed=1).generate([1], max_tokens=4, deadline=0.05)

    assert run(loop, main).finish_reason == "deadline"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_session_that_is_left_in_a_cancelled_scope_closes_what_it_built(loop: str, kind: str) -> None:
    """Every await of the closing is cancelled, and it is done to its end all the same."""
    ends: list[str] = []

    class Closing(Waited):
        async def aclose(self) -> None:
            import asyncio

            for _ in range(3):
                await asyncio.sleep(0)
            ends.append("closed")

    adapter: Any = Closing() if kind == "async" else Around(table(), plain)
    if kind == "blocking":
        adapter.close = lambda: ends.append("closed")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with AsyncSession(adapter, seed=1) as session:
                session.owns_adapter = True
                session.close_guesser = lambda: ends.append("guesser")
                scope.cancel()
                await session.generate([1], max_tokens=4)
        assert scope.cancelled_caught

    run(loop, main)
    assert ends == ["guesser", "closed"]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_model_computes_in_threads_that_the_process_waits_for_and_that_end_with_the_loop(loop: str) -> None:
    """At the end of a process a daemon in the middle of a forward pass breaks torch down."""
    used: set[threading.Thread] = set()

    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        used.add(threading.current_thread())
        return inner.predict(prefixes, wanted)

    async def main() -> None:
        await AsyncSession(Around(table(), act), seed=1).generate([1], max_tokens=3)

    run(loop, main)
    gc.collect()
    assert used and not any(thread.daemon for thread in used)
    for thread in used:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_session_that_is_closed_while_its_calls_wait_ends_each_with_what_it_has(loop: str) -> None:
    """And a callback that raises ends its own call only."""
    adapter, errors = Around(table(), plain), list[Any]()

    class Stop(Exception):
        pass

    def stop(step: Any) -> bool:
        raise Stop

    async def main() -> None:
        session = AsyncSession(adapter, seed=3)
        session.owns_adapter = True
        enough = anyio.Event()

        async def call(i: int) -> None:
            try:
                await session.generate([i], max_tokens=100_000, until=lambda step: step.index == 20 and enough.set())
            except AdapterError as error:
                errors.append((i, error))

        async with anyio.create_task_group() as tasks:
            for i in range(4):
                tasks.start_soon(call, i)
            with pytest.raises(Stop):
                await session.generate([9], until=stop)
            await enough.wait()
            await session.aclose()

    run(loop, main)
    assert sorted(i for i, _ in errors) == [0, 1, 2, 3]
    for i, error in errors:
        assert "closed" in str(error) and error.partial.token_ids == alone(i, len(error.partial.token_ids))


def test_under_trio_an_async_adapter_leaves_no_thread_when_it_is_dropped() -> None:
    before = set(threading.enumerate())

    async def main() -> None:
        for _ in range(5):
            await AsyncSession(Waited(), seed=1).generate([1], max_tokens=2)

    run("trio", main)
    gc.collect()
    new = [each for each in set(threading.enumerate()) - before if each.name == "decodekit-adapter"]
    for each in new:
        each.join(PATIENCE)
        assert not each.is_alive()


def test_a_loop_that_is_not_known_is_named_at_once() -> None:
    with pytest.raises(AdapterError, match=r"works in tasks of asyncio .*trio.*use Session"):
        AsyncSession(table()).generate([1]).send(None)  # as a loop of another kind would
