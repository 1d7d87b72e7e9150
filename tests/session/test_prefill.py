"""A deadline ends a long prompt too: it is evaluated in portions, while there is time."""

from __future__ import annotations

import pytest

from decodekit import Distribution, Prefix, Session
from decodekit.model.asking import BlockingAdapter
from decodekit.session import prefill as module
from decodekit.session.prefill import prefill
from tests.model.test_asking import Waited
from tests.session.conftest import Around, V, chain, plain, table

PROMPT = [(7 * i) % V for i in range(1000)]


class Clock:
    """Time that passes where the model works: so many seconds a token that is new to its cache."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.cached = seconds, 0.0, 0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now

    def act(self, inner, prefixes, wanted):
        longest = max(map(len, prefixes))
        self.now += self.seconds * max(longest - self.cached, 1)
        self.cached = max(longest, self.cached)
        return inner.predict(prefixes, wanted)


def lengths(adapter: Around) -> list[int]:
    return [len(prefix) for prefixes, _ in adapter.asked for prefix in prefixes]


@pytest.fixture
def clock(monkeypatch):
    def made(seconds: float) -> Clock:
        made = Clock(seconds)
        for name in ("decodekit.session.prefill", "decodekit.session.driving", "decodekit.session.run"):
            monkeypatch.setattr(f"{name}.time", made)
        return made

    return made


def test_a_prompt_that_takes_longer_than_there_is_time_ends_within_a_portion(clock):
    time = clock(0.01)  # 10 s for all of it
    adapter = Around(table(), time.act)
    result = Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=4, deadline=2.0)
    assert (result.token_ids, result.finish_reason) == ((), "deadline")
    assert 2.0 <= time.now < 2.0 + 0.01 * 32 + 0.01 and max(lengths(adapter)) < len(PROMPT)


def test_a_prompt_that_is_quick_is_asked_for_in_few_portions_that_double(clock):
    adapter = Around(table(), clock(1e-4).act)
    result = Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=3, deadline=60)
    assert result.token_ids == Session(table(), chain(), seed=1).generate(PROMPT, max_tokens=3).token_ids
    assert lengths(adapter) == [32, 96, 224, 480, 992, 1000, 1001, 1002]


def test_without_a_deadline_a_prompt_is_asked_for_as_a_whole():
    adapter = Around(table(), plain)
    Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=2)
    assert lengths(adapter) == [1000, 1001]


def test_an_async_adapter_is_asked_once_and_cancelled_at_the_deadline():
    waited = Waited(wait=0)
    facade = BlockingAdapter(waited)
    prefill(facade, Prefix(PROMPT), module.time.monotonic() + 9)
    assert waited.questions == 0 and isinstance(facade.predict([Prefix([1])])[0], Distribution)
    facade.close()
    waited = Waited(wait=600)
    with Session(waited, chain(), seed=1) as session:
        result = session.generate([1], max_tokens=4, deadline=0.2)
    assert (result.token_ids, result.finish_reason, waited.questions) == ((), "deadline", 1)
    assert waited.cancelled == 1
