"""What is called between two tokens is not awaited: an async function there is refused, never thrown away."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
import trio

from decodekit import AdapterError, AsyncSession, ParameterError, PluginError, Session
from decodekit.testing import NGramAdapter
from tests.model.test_asking import Waited
from tests.session.conftest import TEXT
from tests.session.test_sinks import Counts

ADAPTER = NGramAdapter(TEXT)


async def later(_: Any) -> bool:
    return False


class Later:
    async def __call__(self, _: Any) -> bool:
        return False


@pytest.mark.parametrize("function", [later, Later()])
@pytest.mark.parametrize("name", ["until", "progress"])
def test_an_async_callback_is_refused(name: str, function: Any) -> None:
    with pytest.raises(ParameterError, match=f"^{name} is called between two tokens and not awaited"):
        Session(ADAPTER).generate_many(["the "], max_tokens=3, **{name: function})
    with pytest.raises(ParameterError, match=f"^{name} is called"):
        asyncio.run(AsyncSession(ADAPTER).generate_many(["the "], max_tokens=3, **{name: function}))


def test_an_until_that_returns_a_coroutine_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"^until returned what is to be awaited"):
        Session(ADAPTER).generate("the ", max_tokens=3, until=lambda step: later(step))


@pytest.mark.parametrize("method", ["open", "write", "resumed", "close"])
def test_a_sink_with_an_async_method_is_refused_before_the_first_token(method: str) -> None:
    sink = type("Odd", (Counts,), {method: lambda _, given: later(given)})()
    early = type("Odd", (Counts,), {method: Later.__call__})()
    with pytest.raises(PluginError, match=f"the sink's {method} is not awaited; define it without async and yield"):
        Session(ADAPTER, seed=1).generate("the ", max_tokens=2, trace=early)
    assert early.steps == []
    if method in ("open", "write"):  # without async in its name: at its first call
        with pytest.raises(PluginError, match="is not awaited; define it without async and yield"):
            Session(ADAPTER, seed=1).generate("the ", max_tokens=2, trace=sink)


def test_prompts_from_an_async_iterator_are_refused_by_name() -> None:
    async def prompts() -> Any:
        yield "the "

    async def main() -> None:
        async for _ in AsyncSession(ADAPTER).as_completed(prompts(), max_tokens=2):  # type: ignore[arg-type]
            raise AssertionError

    with pytest.raises(ParameterError, match=r"^prompts: a list or an iterator, not an async one"):
        asyncio.run(main())


@pytest.mark.parametrize("loop", ["none", "asyncio", "trio"])
def test_an_adapter_that_is_cancelled_by_itself_is_not_called_closed(loop: str) -> None:
    adapter = Waited(fault=asyncio.CancelledError())

    async def main() -> None:
        async with AsyncSession(adapter, seed=1) as session:
            await session.generate([1], max_tokens=2)

    calls = {"none": lambda: Session(adapter, seed=1).generate([1]), "asyncio": lambda: asyncio.run(main()),
             "trio": lambda: trio.run(main)}  # fmt: skip
    with pytest.raises(AdapterError, match=r"adapter 'waited' raised CancelledError$"):
        calls[loop]()


def test_metadata_is_a_copy_that_no_processor_changes() -> None:
    given = {"k": 3}

    def changing(dist: Any, ctx: Any) -> Any:
        ctx.metadata["k"] = 1
        return dist

    def reading(dist: Any, ctx: Any) -> Any:
        return dist.top(ctx.metadata["k"])

    session = Session(ADAPTER, [reading], seed=1, metadata=given)
    before = session.generate("the ", max_tokens=12).token_ids
    with pytest.raises(PluginError, match=r"changing.*TypeError"):
        session.generate("the ", chain=[changing], max_tokens=1)
    with pytest.raises(PluginError, match=r"changing.*TypeError"):
        session.score("the ", "cat", chain=[changing])
    assert given == {"k": 3} and session.generate("the ", max_tokens=12).token_ids == before


def generating(_: Any) -> Any:
    yield False


async def generating_later(_: Any) -> Any:
    yield False


@pytest.mark.parametrize("function", [generating, generating_later])
def test_a_generator_is_refused_too(function: Any) -> None:
    with pytest.raises(ParameterError, match=r"^until is called between two tokens"):
        Session(ADAPTER).generate("the ", max_tokens=3, until=function)
    with pytest.raises(ParameterError, match=r"^until returned what is to be awaited"):
        Session(ADAPTER).generate("the ", max_tokens=3, until=lambda step: function(step))
    with pytest.raises(ParameterError, match=r"^progress returned what is to be awaited"):
        Session(ADAPTER).generate_many(["the "], max_tokens=3, progress=lambda step: function(step))
    sink = type("Odd", (Counts,), {"write": lambda _, given: function(given)})()
    with pytest.raises(PluginError, match="the sink's write is not awaited"):
        Session(ADAPTER, seed=1).generate("the ", max_tokens=2, trace=sink)


def test_metadata_is_a_dict_for_a_plugin() -> None:
    def reading(dist: Any, ctx: Any) -> Any:
        again = pickle.loads(pickle.dumps(ctx.metadata))
        assert json.loads(json.dumps(ctx.metadata)) == again == copy.deepcopy(ctx.metadata) == {"k": [1]}
        with pytest.raises(TypeError):
            again["k"] = 2
        return dist

    Session(ADAPTER, [reading], seed=1, metadata={"k": [1]}).generate("the ", max_tokens=1)
    for wrong in (3, "ab", [("k", 3)]):
        with pytest.raises(ParameterError, match=r"^metadata is a dict of names and values"):
            Session(ADAPTER, metadata=wrong)  # type: ignore[arg-type]
