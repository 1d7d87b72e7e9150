"""The content index against a plain dictionary of lists, and its few rules one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from decodekit import Prefix
from decodekit.local.content_index import ContentIndex, Match, common_length


def test_an_empty_index_knows_nothing() -> None:
    assert ContentIndex(3).find(Prefix([1, 2])) == Match(-1, 0)


def test_a_prefix_is_found_in_the_slot_that_holds_its_parent() -> None:
    index = ContentIndex(3)
    parent = Prefix([1, 2, 3])
    index.put(1, parent)
    assert index.find(parent.extend([4])) == Match(1, 3)


def test_a_prefix_built_flat_is_found_like_one_built_by_extension() -> None:
    index = ContentIndex(3)
    index.put(2, Prefix([1]).extend([2]).extend([3]))
    assert index.find(Prefix([1, 2, 3, 4, 5])) == Match(2, 3)


def test_the_longest_common_part_wins_over_a_known_ancestor() -> None:
    index = ContentIndex(3)
    root = Prefix([1, 2])
    index.put(0, root)
    index.put(1, Prefix([1, 2, 3, 4, 9]))
    assert index.find(root.extend([3, 4, 5])) == Match(1, 4)


def test_the_most_recently_used_slot_wins_among_equals() -> None:
    index = ContentIndex(3)
    index.put(0, Prefix([1, 2, 7]))
    index.put(1, Prefix([1, 2, 8]))
    assert index.find(Prefix([1, 2, 3, 4])) == Match(1, 2)
    index.touch(0)
    assert index.find(Prefix([1, 2, 3, 4])) == Match(0, 2)


def test_what_was_cut_off_is_not_found_any_more() -> None:
    index = ContentIndex(2)
    index.put(0, Prefix([1, 2, 3]))
    index.truncate(0, 1)
    assert index.find(Prefix([1, 2, 3])) == Match(0, 1)
    assert index.ids(0).tolist() == [1]


def test_two_slots_with_the_same_content_are_forgotten_one_at_a_time() -> None:
    index = ContentIndex(2)
    index.put(0, Prefix([1, 2]))
    index.put(1, Prefix([1, 2]))
    index.drop(1)
    assert index.find(Prefix([1, 2])) == Match(0, 2)
    index.drop(0)
    assert index.find(Prefix([1, 2])) == Match(-1, 0)


def test_a_copy_does_not_change_when_its_source_does() -> None:
    index = ContentIndex(2)
    index.put(0, Prefix([1, 2, 3]))
    index.copy(0, 1, 2)
    index.put(0, Prefix([1, 2, 9, 9]), keep=2)
    assert index.ids(1).tolist() == [1, 2]
    assert index.ids(0).tolist() == [1, 2, 9, 9]


def test_empty_slots_come_first_and_then_the_least_recently_used() -> None:
    index = ContentIndex(4)
    for slot in (2, 0, 3):
        index.put(slot, Prefix([slot + 1]))
    index.touch(2)
    assert list(index.oldest_first()) == [1, 0, 3, 2]
    index.drop(3)
    assert list(index.oldest_first())[:2] in ([1, 3], [3, 1])


def test_clearing_empties_every_slot() -> None:
    index = ContentIndex(2)
    index.put(0, Prefix([5]))
    index.clear()
    assert index.find(Prefix([5])) == Match(-1, 0)
    assert [index.length(slot) for slot in range(2)] == [0, 0]


@given(st.lists(st.integers(0, 1), max_size=8), st.lists(st.integers(0, 1), max_size=8))
def test_the_common_length_is_that_of_a_loop(a: list[int], b: list[int]) -> None:
    expected = 0
    while expected < min(len(a), len(b)) and a[expected] == b[expected]:
        expected += 1
    assert common_length(np.array(a, dtype=np.int64), np.array(b, dtype=np.int64)) == expected


IDS = st.lists(st.integers(0, 2), min_size=1, max_size=6)
SLOTS = st.integers(0, 3)
ACTIONS = st.one_of(
    st.tuples(st.just("put"), SLOTS, IDS),
    st.tuples(st.just("truncate"), SLOTS, st.integers(0, 6)),
    st.tuples(st.just("drop"), SLOTS, st.none()),
    st.tuples(st.just("copy"), SLOTS, SLOTS),
    st.tuples(st.just("extend"), SLOTS, IDS),
)


@given(st.lists(ACTIONS, max_size=30), IDS)
def test_any_history_finds_as_much_as_comparing_every_slot_would(actions: list[tuple], asked: list[int]) -> None:
    index = ContentIndex(4)
    model: list[list[int]] = [[], [], [], []]
    for action, slot, detail in actions:
        if action == "put":
            index.put(slot, Prefix(detail))
            model[slot] = detail
        elif action == "truncate":
            index.truncate(slot, detail)
            model[slot] = model[slot][:detail]
        elif action == "drop":
            index.drop(slot)
            model[slot] = []
        elif action == "copy" and slot != detail:
            length = len(model[slot]) // 2
            index.copy(slot, detail, length)
            model[detail] = model[slot][:length]
        elif action == "extend":
            index.put(slot, Prefix(model[slot]).extend(detail), keep=len(model[slot]))
            model[slot] = model[slot] + detail
    assert [index.ids(slot).tolist() for slot in range(4)] == model
    for prefix in (Prefix(asked), Prefix(asked[:2]).extend(asked[2:])):
        slot, length = index.find(prefix)
        best = max(common_length(prefix.since(0), np.array(ids, dtype=np.int64)) for ids in model)
        # The last id is evaluated again anyway, so a match of all but that one is as good as a full one.
        assert min(length, len(asked) - 1) == min(best, len(asked) - 1)
        assert length == 0 or model[slot][:length] == asked[:length]
