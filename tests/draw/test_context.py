"""Contexts and the growing sequences of ids in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import Context
from decodekit.draw.context import TokenIds


@settings(max_examples=100)
@given(st.lists(st.integers(0, 2**40), max_size=20), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 99))))
def test_branches_never_see_each_others_tokens(start: list[int], appends: list[tuple[int, int]]) -> None:
    grown, plain = [TokenIds(start)], [list(start)]
    for which, token in appends:
        at = which % len(grown)
        grown.append(grown[at].append(token))
        plain.append([*plain[at], token])
    for ids, expected in zip(grown, plain, strict=True):
        assert list(ids) == expected == np.asarray(ids).tolist() and len(ids) == len(expected)
        assert ids == tuple(expected) and ids == TokenIds(expected) and hash(ids) == hash(tuple(expected))


def test_ids_behave_like_a_tuple() -> None:
    ids = TokenIds([5, 6, 7]).append(8)
    assert (ids[0], ids[-1], ids[1:3], ids[::-1], ids.index(7), 6 in ids) == (5, 8, (6, 7), (8, 7, 6, 5), 2, True)
    assert type(ids[0]) is int and ids == [5, 6, 7, 8] and ids != [5, 6, 7] and ids != "5678" and ids != (5, 6, 7, 9)
    for beyond in (4, -5):
        with pytest.raises(IndexError):
            ids[beyond]
    assert repr(ids) == "TokenIds([5, 6, 7, 8])" and TokenIds(iter([1])) == (1,) == TokenIds(np.array([1]))


def test_the_array_view_is_read_only_int64_and_costs_no_copy() -> None:
    ids = TokenIds([1, 2]).append(3)
    view = np.asarray(ids)
    assert view.dtype == np.int64 and np.shares_memory(view, np.asarray(ids.append(4)))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 9
    copied = np.array(ids)
    copied[0] = 9
    assert ids == (1, 2, 3) and np.asarray(ids, dtype=np.int32).tolist() == [1, 2, 3]


def test_a_sequence_does_not_alias_what_it_was_made_of() -> None:
    source = np.array([1, 2])
    ids = TokenIds(source)
    source[0] = 9
    assert ids == (1, 2)


def test_growing_copies_seldom() -> None:
    ids = TokenIds()
    copies = 0
    for token in range(5000):
        before, ids = ids, ids.append(token)
        copies += not np.may_share_memory(np.asarray(before), np.asarray(ids))
    assert copies < 12 and ids == tuple(range(5000))


def test_the_step_is_the_number_of_tokens_generated() -> None:
    assert Context().step == 0 and Context(prompt_ids=(1, 2, 3)).step == 0
    assert Context((1, 2), (3, 4, 5)).step == 3 == Context((1,), TokenIds([3, 4, 5])).step
    assert Context().rng is None and dict(Context().metadata) == {} and Context().tokenizer is None
    with pytest.raises(AttributeError):
        Context().prompt_ids = (1,)  # type: ignore[misc]
