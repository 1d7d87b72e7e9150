"""Where the keys lead, without a screen."""

from __future__ import annotations

from decodekit import Trace
from decodekit.cli.viewer.layout import laid_out

from .runs import many_steps, samples, walk_of


def test_steps_stop_at_the_ends() -> None:
    walk = walk_of(samples())
    last = len(walk.indices) - 1
    walk.step(-1)
    assert walk.at == 0
    walk.step(3)
    assert walk.at == 3 == walk.index
    walk.go(10**6)
    assert walk.at == last
    walk.step(1)
    assert walk.at == last


def test_a_sequence_follows_another_and_keeps_the_place() -> None:
    trace = samples(3)
    walk = walk_of(trace)
    assert walk.sequences == 3
    seen = []
    for _ in range(3):
        walk.go(2)
        step = trace.steps[walk.index or 0]
        seen.append(step.stream)
        assert step.index == 2 and walk.told is not None and walk.told.stream == step.stream
        assert "".join(walk.texts) == "".join(each.text for each in trace.steps if each.stream == step.stream)
        walk.turn(1)
    assert len(set(seen)) == 3 and walk.sequence == 0
    walk.turn(-1)
    assert walk.sequence == 2


def test_the_close_and_the_uncertain_tenth_are_visited_in_order_and_again() -> None:
    trace = many_steps(50)
    walk = walk_of(trace)
    margins = sorted(step.choice.margin for step in trace.steps)
    entropies = sorted(step.raw.entropy or 0.0 for step in trace.steps)
    visited = []
    for _ in range(6):
        assert walk.next_close()
        visited.append(walk.at)
    assert visited[:5] == sorted(set(visited)) and visited[5] == visited[0]
    assert sorted(trace.steps[at].choice.margin for at in visited[:5]) == margins[:5]
    assert walk.next_uncertain() and trace.steps[walk.at].raw.entropy in entropies[-5:]


def test_a_text_is_found_across_tokens_from_here_on_and_then_from_the_beginning() -> None:
    walk = walk_of(samples())  # a token is a letter
    text = "".join(walk.texts)
    word = text[5:9]
    assert walk.find(word.upper()) and walk.at == text.find(word, 1)
    first = walk.at
    while walk.find(word) and walk.at != first:
        assert text[walk.at : walk.at + 4] == word
    assert not walk.find("no such text") and not walk.find("") and walk.at == first


def test_a_run_without_tokens_has_no_place() -> None:
    trace = samples(max_tokens=1)
    walk = walk_of(Trace(trace.header, [], None))
    walk.step(1)
    walk.turn(1)
    assert walk.index is None and not walk.next_close() and not walk.next_uncertain() and not walk.find("the")


def drawn(texts: list[str], width: int) -> list[str]:
    return ["".join(fragment.text for fragment in line) for line in laid_out(texts, width).lines]


def test_tokens_are_broken_into_lines() -> None:
    assert drawn(["the", " cat", " sat"], 8) == ["the cat", " sat"]
    assert drawn(["a", "\n", "b\n\nc", ""], 8) == ["a↵", "b", "", "c·"]
    assert drawn(["日本語", "x" * 9], 4) == ["日本", "語", "xxxx", "xxxx", "x"]
    assert drawn(["\u0301", "e\u0301"], 1) == ["\u0301e\u0301"] and drawn([], 5) == [""]
    made = laid_out(["\n", "ab", "\u0301", "cde", ""], 3)
    assert made.first == [0, 1, 1, 2, 3] and len(made.lines) == 4
