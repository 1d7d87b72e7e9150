"""How many tokens of a prompt were cached, as the result tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
