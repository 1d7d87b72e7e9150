"""How often room is made in a full cache: sequences that have ended may not cost those that go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

import llama_cpp

from decodekit import Prefix
from tests.families import gguf_file

CELLS = 256


@pytest.fixture
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that llama.cpp's cache was cleared, which is what makes room."""
    times: list[int] = []
    clear = llama_cpp.llama_memory_clear

    def counted(*arguments: Any) -> None:
        times.append(1)
        clear(*arguments)

    monkeypatch.setattr(llama_cpp, "llama_memory_clear", counted)
    return times


def filled(make: Callable[..., Any], sequences: int, length: int) -> Any:
    adapter = make(model=str(gguf_file("legacy.gguf")), n_ctx=CELLS - 64, max_sequences=sequences)
    for number in range(sequences + CELLS // length):
        adapter.predict([Prefix([30 + number, *range(31, 30 + length)])])
    return adapter


@pytest.mark.parametrize("length", [8, 17, 60])
def test_a_sequence_beside_ended_ones_needs_room_only_now_and_then(
    make: Callable[..., Any], cleared: list[int], length: int
) -> None:
    adapter = filled(make, min(30, CELLS // length), length)
    cleared.clear()
    prefix = Prefix([100])
    for _ in range(120):
        adapter.predict([prefix])
        prefix = prefix.extend([101])
    assert 1 <= len(cleared) <= 1 + 120 // (CELLS // 8) + 1


def test_sequences_that_go_on_together_are_all_kept_in_a_full_cache(
    make: Callable[..., Any], cleared: list[int]
) -> None:
    """They take all the cells but a few: none is evaluated again."""
    adapter = make(model=str(gguf_file("legacy.gguf")), n_ctx=CELLS - 64, max_sequences=8)
    active = [Prefix([60 + number, *range(31, 68)]) for number in range(6)]
    adapter.predict([Prefix([99] * 20)])  # one that has ended
    cleared.clear()
    rows: list[int] = []
    for step in range(5):
        rows += [answer.schedule["rows"] for answer in adapter.predict(active)]
        active = [prefix.extend([100 + step]) for prefix in active]
    assert sum(map(len, active)) - 6 == CELLS - 4 and cleared
    assert len(rows) == 30 and max(rows[6:]) == 6
