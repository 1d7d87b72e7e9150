"""A deadline ends a long prompt too: it is evaluated in portions, while there is time."""

from __future__ import annotations

import threading
import time

import pytest

from decodekit import Distribution, Prefix, Session
from decodekit.model.asking import BlockingAdapter, rounds_of
from decodekit.session import portions as module
from decodekit.session.portions import portions
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
        for name in ("portions", "driving", "run", "blocking"):
            monkeypatch.setattr(f"decodekit.session.{name}.time", made)
        return made

    return made


def test_a_prompt_that_takes_longer_than_there_is_time_ends_within_a_portion(clock):
    at = clock(0.01)  # 10 s for all of it
    adapter = Around(table(), at.act)
    result = Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=4, deadline=2.0)
    assert (result.token_ids, result.finish_reason) == ((), "deadline")
    assert 2.0 <= at.now < 2.0 + 0.01 * 32 + 0.01 and max(lengths(adapter)) < len(PROMPT)


def test_a_prompt_that_is_quick_is_asked_for_in_few_portions_that_double(clock):
    adapter = Around(table(), clock(1e-4).act)
    result = Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=3, deadline=60)
    assert result.token_ids == Session(table(), chain(), seed=1).generate(PROMPT, max_tokens=3).token_ids
    assert lengths(adapter) == [32, 96, 224, 480, 992, 1000, 1001, 1002]


def test_portions_take_a_tenth_to_a_quarter_of_a_second(clock):
    adapter = Around(table(), clock(0.002).act)
    Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=1)
    assert lengths(adapter) == [128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1000]


def test_several_prompts_of_one_call_are_asked_for_in_one_batch():
    adapter = Around(table(), plain)
    Session(adapter, chain(), seed=1).generate_many([PROMPT, PROMPT[1:]], max_tokens=1)
    assert [len(prefixes) for prefixes, _ in adapter.asked] == [2] and lengths(adapter) == [1000, 999]


def test_a_model_without_a_cache_is_asked_for_the_rest_at_once(clock):
    """Each portion would be evaluated from the first token."""
    at = clock(0.002)

    def act(inner, prefixes, wanted):
        at.cached = 0
        return at.act(inner, prefixes, wanted)

    adapter = Around(table(), act)
    result = Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=1)
    assert lengths(adapter) == [128, 192, 1000]
    adapter.asked.clear()
    Session(adapter, chain(), seed=1).generate(PROMPT, max_tokens=1)
    assert lengths(adapter) == [1000]  # nor is it tried again
    assert result.token_ids == Session(table(), chain(), seed=1).generate(PROMPT, max_tokens=1).token_ids


def test_what_was_evaluated_lately_is_not_asked_for_again():
    adapter = Around(table(), plain)
    session = Session(adapter, chain(), seed=1)
    first = session.generate(PROMPT, max_tokens=2)
    assert lengths(adapter) == [128, 384, 896, 1000, 1001]
    adapter.asked.clear()
    assert session.generate(PROMPT, max_tokens=2).token_ids == first.token_ids
    assert lengths(adapter) == [1000, 1001]
    adapter.asked.clear()
    session.generate([*PROMPT, *first.token_ids, *range(40)], max_tokens=1)
    assert lengths(adapter) == [1042]
    adapter.asked.clear()
    session.generate([*PROMPT[:501], *PROMPT], max_tokens=1)
    assert lengths(adapter) == [629, 885, 1397, 1501]


def test_a_short_prompt_is_answered_between_the_portions_of_a_long_one():
    """The long one is being evaluated when the short one comes: it waits for one portion, not for the prompt."""
    order: list[str] = []
    entered, opened = threading.Event(), threading.Event()

    def act(inner, prefixes, wanted):
        order.extend("short" if len(prefix) < 10 else "long" for prefix in prefixes)
        entered.set()
        assert opened.wait(20)
        return inner.predict(prefixes, wanted)

    adapter = Around(table(), act)
    session = Session(adapter, chain(), seed=1)
    calls = [threading.Thread(target=session.generate, args=(prompt,), kwargs={"max_tokens": 1}, daemon=True)
             for prompt in (PROMPT, [1])]  # fmt: skip
    calls[0].start()
    assert entered.wait(20)
    calls[1].start()
    while rounds_of(adapter).waiting < 2:
        time.sleep(0.001)
    opened.set()
    for call in calls:
        call.join(20)
    assert order.index("short") in (1, 2) and len(order) == 5


def test_an_async_adapter_is_asked_once_and_cancelled_at_the_deadline():
    waited = Waited(wait=0)
    facade = BlockingAdapter(waited)
    assert list(portions(facade, Prefix(PROMPT), module.time.monotonic() + 9)) == []
    assert waited.questions == 0 and isinstance(facade.predict([Prefix([1])])[0], Distribution)
    facade.close()
    waited = Waited(wait=600)
    with Session(waited, chain(), seed=1) as session:
        result = session.generate([1], max_tokens=4, deadline=0.2)
    assert (result.token_ids, result.finish_reason, waited.questions) == ((), "deadline", 1)
    assert waited.cancelled == 1
