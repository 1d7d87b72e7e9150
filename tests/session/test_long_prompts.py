"""Long prompts and short requests at once: every round has its share of everybody, and its work is bounded.

Rounds and tokens are counted, not time: a round begins when everybody who still runs waits for one.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from typing import Any

import pytest

from decodekit import CHEAP, AsyncSession, Chain, Prefix, Session, processor
from decodekit.model.asking import rounds_of
from decodekit.model.rounds import Rounds
from decodekit.model.token_budget import TokenBudget
from decodekit.session import portions
from tests.session.conftest import Around, V, table

PORTION, BUDGET = 128, 512  # tokens of a portion, and of all prompts in a round
CHAIN = Chain([processor("top_k", top_k=5)])


class Counting(Around):
    """An adapter that notes, for each round, how many tokens each caller brought that its cache lacks."""

    def __init__(self) -> None:
        super().__init__(table(), self.count)
        self.rounds: list[Counter[int]] = []
        self.running = 0
        self.cached: Counter[int] = Counter()
        self.caches = True

    def count(self, inner: Any, prefixes: Any, wanted: Any) -> Any:
        ends = time.monotonic() + 20
        while rounds_of(self).waiting < self.running and time.monotonic() < ends:
            time.sleep(0.0005)
        new: Counter[int] = Counter()
        for prefix in prefixes:
            caller = prefix.token_ids[0]
            new[caller] += max(len(prefix) - self.cached[caller], 1)
            self.cached[caller] = max(len(prefix), self.cached[caller])
        self.rounds.append(new)
        return inner.predict(prefixes, wanted)

    def run(self, prompts: dict[int, list[int]], tokens: int, chain: Chain = CHAIN) -> dict[int, tuple[int, ...]]:
        """The tokens of each, all of them started at once."""
        self.running = len(prompts)

        async def one(session: AsyncSession, caller: int, prompt: list[int]) -> tuple[int, ...]:
            try:
                return (await session.generate(prompt, stream=caller, max_tokens=tokens)).token_ids
            finally:
                self.running -= 1

        async def main() -> list[tuple[int, ...]]:
            session = AsyncSession(self, chain, seed=1)
            return await asyncio.gather(*(one(session, *each) for each in prompts.items()))

        return dict(zip(prompts, asyncio.run(main()), strict=True))


def prompt(caller: int, length: int) -> list[int]:
    return [caller, *((7 * i + caller) % V for i in range(1, length))]


@pytest.fixture
def same_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions and rounds neither grow nor shrink, however long they take here."""
    monkeypatch.setattr(portions, "QUICK", 0.0)
    monkeypatch.setattr(portions, "LONG", math.inf)
    monkeypatch.setattr(TokenBudget, "took", lambda *_, **__: None)


def test_two_long_prompts_and_ten_short_requests_share_every_round(same_portions: None) -> None:
    adapter = Counting()
    prompts = {0: prompt(0, 1300), 1: prompt(1, 1300), **{caller: prompt(caller, 5) for caller in range(2, 12)}}
    found = adapter.run(prompts, 4)
    short = [place for place, new in enumerate(adapter.rounds) if any(caller > 1 for caller in new)]
    assert max(short) < 12, "a short request takes a round a token, and some to join and leave"
    assert max(sum(new.values()) for new in adapter.rounds) <= 2 * PORTION + 10 * 5
    turns = [[new[caller] == PORTION for caller in (0, 1)] for new in adapter.rounds]
    done = [[sum(column) for column in zip(*turns[: end + 1], strict=True)] for end in range(len(turns))]
    assert done[-1] == [10, 10]
    assert max(abs(one - other) for one, other in done) <= 1, "after every round, whoever began it"
    alone = Session(table(), CHAIN, seed=1)
    assert found == {c: alone.generate(ids, stream=c, max_tokens=4).token_ids for c, ids in prompts.items()}


def test_a_round_of_eight_long_prompts_is_bounded_and_they_take_turns(same_portions: None) -> None:
    adapter = Counting()
    adapter.run({caller: prompt(caller, 600) for caller in range(8)}, 2)
    assert max(max(new.values()) for new in adapter.rounds) <= PORTION
    assert max(sum(new.values()) for new in adapter.rounds) <= BUDGET + 8
    done: Counter[int] = Counter()
    for new in adapter.rounds:
        done.update(caller for caller, tokens in new.items() if tokens == PORTION)
        assert max(done.values()) - min(done[caller] for caller in range(8)) <= 1


def test_a_prompt_beside_others_is_not_taken_for_one_of_a_model_without_a_cache(
    same_portions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rounds take longer once others are served in them."""
    adapter = Counting()
    del adapter.caches
    clock = [0.0]
    monkeypatch.setattr("decodekit.session.portions.time", type("Work", (), {"monotonic": lambda: clock[0]}))
    joined, count = threading.Event(), adapter.act

    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        answers = count(inner, prefixes, wanted)
        clock[0] += sum(adapter.rounds[-1].values())
        if len(adapter.rounds) == 2:
            for each in others:
                each.start()
            joined.set()
            ends = time.monotonic() + 20
            while rounds_of(adapter).waiting < 5 and time.monotonic() < ends:
                time.sleep(0.0005)
        return answers

    adapter.act = act
    session = Session(adapter, CHAIN, seed=1)
    others = [
        threading.Thread(target=session.generate, args=(prompt(caller, 100),), kwargs={"max_tokens": 2})
        for caller in range(1, 5)
    ]
    session.generate(prompt(0, 1300), max_tokens=1)
    for each in others:
        each.join(20)
    assert joined.is_set() and max(new[0] for new in adapter.rounds) == PORTION


@pytest.mark.parametrize(("caches", "most"), [(True, PORTION), (False, 1300)])
def test_an_adapter_that_says_whether_it_has_a_cache_is_believed(caches: bool, most: int, same_portions: None) -> None:
    adapter = Counting()
    adapter.caches = caches
    Session(adapter, CHAIN, seed=1).generate(Prefix(prompt(0, 1300)), max_tokens=1)
    assert max(new[0] for new in adapter.rounds) == most


def test_how_many_share_a_round_is_known_before_they_are_told() -> None:
    """Else a prompt would take the time of the others for its own."""
    rounds, adapter = Rounds(lambda adapter, prefixes, needs: adapter.predict(prefixes, needs)), table()
    told: list[int] = []
    for together in (2, 3):
        questions = [rounds.question(adapter, [Prefix([caller])], [CHEAP], 0) for caller in range(together)]
        for each in questions:
            each.answered = lambda: told.append(rounds.callers)
            rounds.add(each)
        for each in questions:
            rounds.drive_aside(each, None).result()
    assert told == [2, 2, 3, 3, 3]
