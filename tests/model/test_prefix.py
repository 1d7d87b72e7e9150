"""Prefixes: a list that shares its past, with a digest of its content."""

from __future__ import annotations

import copy
import pickle
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import ParameterError, Prefix

ids = st.integers(0, 2**63 - 1)


def digest(content: list[int]) -> bytes:
    return blake2b(b"".join(i.to_bytes(8, "little") for i in content), digest_size=16).digest()


@settings(max_examples=100)
@given(st.lists(st.lists(ids, max_size=5), max_size=6))
def test_however_it_was_put_together_a_prefix_is_its_ids(parts: list[list[int]]) -> None:
    content = [i for part in parts for i in part]
    grown = Prefix()
    for part in parts:
        grown = grown.extend(part)
    at_once = Prefix(content)
    assert grown == at_once and hash(grown) == hash(at_once) and grown.digest == at_once.digest == digest(content)
    assert grown.token_ids == at_once.token_ids == tuple(content) and len(grown) == len(content)
    for start in range(len(content) + 2):
        assert grown.since(start).tolist() == content[start:]
    assert [len(node) for node in grown.ancestors()][-1] == 0
    for twin in (pickle.loads(pickle.dumps(grown)), copy.deepcopy(grown)):
        assert twin == grown and twin.token_ids == grown.token_ids


@settings(max_examples=100)
@given(st.lists(ids, max_size=6), st.lists(ids, max_size=6))
def test_two_prefixes_are_equal_exactly_when_their_ids_are(one: list[int], other: list[int]) -> None:
    assert (Prefix(one) == Prefix(other)) == (one == other)
    assert Prefix(one) != tuple(one)


def test_branches_share_their_past_and_do_not_disturb_one_another() -> None:
    trunk = Prefix([1, 2, 3])
    left, right = trunk.extend([4]), trunk.extend([5, 6])
    assert left.parent is trunk and right.parent is trunk and trunk.parent is None
    assert (left.token_ids, right.token_ids, trunk.token_ids) == ((1, 2, 3, 4), (1, 2, 3, 5, 6), (1, 2, 3))
    assert list(right.ancestors()) == [right, trunk]
    assert trunk.extend([]) is trunk and trunk.extend(np.array([4], dtype=np.int32)) == left


def test_no_ids_are_a_legal_prefix() -> None:
    assert Prefix([]) == Prefix() and len(Prefix()) == 0 and Prefix().token_ids == ()
    assert Prefix().since(0).dtype == np.int64 and Prefix().digest == digest([])


def test_a_prefix_copies_its_ids_and_shows_them_read_only() -> None:
    buffer = np.array([1, 2, 3])
    prefix = Prefix(buffer)
    buffer[:] = 9
    assert prefix.token_ids == (1, 2, 3) == Prefix(iter([1, 2, 3])).token_ids
    with pytest.raises(ValueError, match="read-only"):
        prefix.since(1)[0] = 5


@pytest.mark.parametrize(
    "bad", [[-1], [1, 2**63], [2**64], [1.0], ["a"], "text", [True], [None], [[1, 2]], np.zeros((2, 2), dtype=int)]
)
def test_ids_that_are_none_are_a_typed_error(bad: object) -> None:
    for build in (Prefix, Prefix([1]).extend):
        with pytest.raises(ParameterError, match="token ids must"):
            build(bad)  # type: ignore[operator]


def test_a_very_long_chain_of_single_tokens_needs_no_recursion() -> None:
    prefix = Prefix([0])
    for i in range(1, 50_000):
        prefix = prefix.extend((i,))
    assert prefix.since(49_990).tolist() == [*range(49_990, 50_000)]
    assert prefix == Prefix(range(50_000)) and prefix.token_ids == tuple(range(50_000))
    assert sum(1 for _ in prefix.ancestors()) == 50_000
    assert repr(prefix) == "Prefix(50000 ids: … 49994, 49995, 49996, 49997, 49998, 49999)"
    del prefix


def test_nested_ids_of_unequal_lengths_are_a_typed_error() -> None:
    with pytest.raises(ParameterError, match="flat sequence"):
        Prefix([[1], [2, 3]])  # type: ignore[list-item]
