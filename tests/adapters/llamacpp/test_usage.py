"""How many tokens of a prompt were cached, as the result tells; and steps that overlap with the next ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from decodekit import Session

PROMPT = "The quick brown fox jumps over the lazy dog and runs away. " * 12


def test_the_next_turn_finds_the_last_one_in_the_cache(make: Callable[..., Any]) -> None:
    adapter = make()
    session = Session(adapter, "greedy")
    first = session.generate(PROMPT, max_tokens=4)
    assert first.usage.cached_tokens == 0 and first.usage.prompt_tokens > 140  # it is evaluated in portions
    ids = [*first.trace.prompt_of(0), *first.token_ids]
    second = session.generate([*ids, *ids[:3]], max_tokens=2)
    assert second.usage.cached_tokens == len(ids) - 1  # nothing was evaluated after the last token
    assert second.usage.prompt_tokens == len(ids) + 3
    adapter.close()
    assert "".join(token.text for token in first.tokens) == first.text


@pytest.mark.usefixtures("all_cores")
def test_steps_recorded_while_the_next_is_computed_are_the_same(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a core is free: a process of this suite has one of its own."""
    from decodekit_llamacpp.threads import physical_cores

    adapter = make(n_threads=1)
    assert adapter.overlaps is (physical_cores() > 1)
    session, predict = Session(adapter, "top_k=40", seed=3), adapter.predict
    aside: set[str] = set()
    monkeypatch.setattr(adapter, "predict", lambda *a: aside.add(threading.current_thread().name) or predict(*a))
    runs = []
    for adapter.overlaps in (False, True):
        aside.clear()
        runs.append(session.generate("Once upon a time", max_tokens=12).token_ids)
        assert any(name.startswith("decodekit-predict") for name in aside) is adapter.overlaps
    assert runs[0] == runs[1] and len(runs[0]) == 12
