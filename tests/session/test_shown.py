"""What a notebook shows of a result, and what a session takes for a chain."""

from __future__ import annotations

import asyncio

import pytest

import decodekit
from decodekit import Chain, Context, Distribution, ParameterError, PluginError, Session
from decodekit.testing import NGramAdapter

TEXT = "the cat sat on the mat. " * 4


def session(*chain: object, **options: object) -> Session:
    return Session(NGramAdapter(TEXT), *chain, **{"seed": 7, **options})  # type: ignore[arg-type]


def test_everything_is_shown_on_one_line() -> None:
    bias = decodekit.processor("logit_bias", logit_bias=dict.fromkeys(range(200), 1.0))
    made = session(Chain([bias, decodekit.processor("temperature", temperature=0.5)]))
    result = made.generate("the ", max_tokens=4, level="full")
    batch = made.generate_many(["the ", "a"], n=2, max_tokens=400)
    shown = [result, result.trace, result.trace.steps[1], batch[1][1], batch[1][1].trace, made, made.chain]
    shown += [NGramAdapter(TEXT).predict([decodekit.Prefix([116])])[0]]
    for each in shown:
        assert "\n" not in repr(each) and len(repr(each)) < 400, repr(each)
    assert repr(result) == f"Result({result.text!r}, 4 tokens, 'length', seed=7)"
    assert repr(result.trace) == "Trace(4 steps, 1 sequence, 'full', seed=7, length)"
    assert f"stream={(1 << 32) | 1}" in repr(batch[1][1])
    assert repr(session()) == "Session(NGramAdapter, Chain([], sampler='multinomial'), seed=7)"
    assert "temperature=0.5" in repr(made) and "...)" in repr(made)


def test_a_list_of_processors_or_one_of_them_is_a_chain() -> None:
    warm = decodekit.processor("temperature", temperature=0.5)
    expected = session(Chain([warm])).generate("the ", max_tokens=8).token_ids
    for given in ([warm], (warm,), warm, Chain(warm), iter([warm])):
        assert session(given).generate("the ", max_tokens=8).token_ids == expected
    assert session(None).chain.processors == session([]).chain.processors == ()


@pytest.mark.parametrize("given", [b"x", {"name": "temperature"}, 3, ["temperature"], [3]])
def test_what_is_no_chain_is_told_plainly(given: object) -> None:
    for build in (session, Chain):
        with pytest.raises(ParameterError, match=r"processor"):
            build(given)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"Chain\(\[\*one"):
        Chain(Chain())  # type: ignore[arg-type]


def test_a_class_is_no_processor() -> None:
    built = decodekit.processor("top_k", top_k=2)
    for build in (lambda: Chain([type(built)]), lambda: Chain([built], type(built)), lambda: Chain(type(built))):
        with pytest.raises(ParameterError, match="a chain is made of instances, and TopK is a class"):
            build()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("all", [SystemExit(1), KeyboardInterrupt()])]
)
def test_an_interrupt_inside_a_plugin_is_the_users(error: BaseException) -> None:
    def odd(dist: Distribution, ctx: Context) -> Distribution:
        raise error

    with pytest.raises(type(error)) as caught:
        session(Chain([odd])).generate("the ", max_tokens=3)
    assert caught.value is error


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_cancelled_task_is_the_callers(cancelled: bool) -> None:
    def odd(dist: Distribution, ctx: Context) -> Distribution:
        raise asyncio.CancelledError

    async def call() -> None:
        if cancelled:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        session(Chain([odd])).generate("the ", max_tokens=3)

    with pytest.raises(asyncio.CancelledError if cancelled else decodekit.PluginError):
        asyncio.run(call())


class Silent(Exception):
    def __str__(self) -> str:
        raise KeyError("no words")


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(5),
        GeneratorExit(),
        asyncio.CancelledError(),
        BaseExceptionGroup("all", [SystemExit(1), ValueError()]),
        Silent(),
        RuntimeError("\udcff"),
        ZeroDivisionError(),
    ],
)
@pytest.mark.parametrize("place", ["processor", "needs", "initial", "advance", "sampler"])
def test_whatever_a_plugin_raises_is_one_typed_error_with_its_name(error: BaseException, place: str) -> None:
    class Odd:
        name = "odd"

        def initial(self, ctx: Context) -> int:
            return self.maybe("initial", 0)

        def advance(self, state: int, choice: object, ctx: Context) -> int:
            return self.maybe("advance", 0)

        def needs(self, ctx: Context) -> decodekit.Disclosure:
            return self.maybe("needs", decodekit.CHEAP)

        def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
            return self.maybe("processor", dist)

        def maybe(self, here: str, value: object) -> object:
            if here == place:
                raise error
            return value

    def odd(dist: Distribution, ctx: Context, randomness: object) -> object:
        raise error

    chain = Chain([Odd()], odd if place == "sampler" else "multinomial")
    with pytest.raises(PluginError) as caught:
        session(chain).generate("the ", max_tokens=3)
    assert "plugin 'odd'" in str(caught.value) and type(error).__name__ in str(caught.value)
    str(caught.value).encode()
