"""From the prefixes of one call to paths: every prefix lies on one of them, and little is evaluated twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decodekit import Prefix
from decodekit.errors import ContextOverflow, ParameterError
from decodekit.local.content_index import ContentIndex
from decodekit.local.paths import fault_of, paths_of


def paths(index: ContentIndex, *prefixes: Prefix) -> list[list[list[int]]]:
    """For each path the ids of every prefix that is asked on it."""
    return [[list(prefix.token_ids) for prefix in path.asked] for path in paths_of(prefixes, index)[0]]


def test_ancestors_lie_on_the_path_of_what_continues_them() -> None:
    stem = Prefix([1, 2])
    found = paths(ContentIndex(2), stem.extend([3, 4]), stem, stem.extend([3]))
    assert found == [[[1, 2], [1, 2, 3], [1, 2, 3, 4]]]


def test_siblings_are_paths_of_their_own_in_depth_first_order() -> None:
    found = paths(ContentIndex(2), Prefix([2, 9]), Prefix([1, 5]), Prefix([2, 3]), Prefix([1]))
    assert found == [[[1], [1, 5]], [[2, 3]], [[2, 9]]]


def test_a_stem_goes_with_its_last_branch_only() -> None:
    stem = Prefix([7])
    found = paths(ContentIndex(2), stem, stem.extend([1]), stem.extend([2]))
    assert sorted(len(asked) for asked in found) == [1, 2]
    assert [[7], [7, 1]] in found or [[7], [7, 2]] in found


def test_an_ancestor_far_below_what_is_cached_is_not_evaluated_on_the_way() -> None:
    """To answer it on the same path, all that is cached behind it would be evaluated again."""
    index = ContentIndex(2)
    long = Prefix(range(50))
    index.put(0, long)
    assert paths(index, Prefix(range(5)), long.extend([1])) == [[list(range(5))], [[*range(50), 1]]]
    assert paths(index, long, long.extend([1])) == [[list(range(50)), [*range(50), 1]]]  # one token again is cheaper


def test_the_slots_that_can_be_built_upon_are_told() -> None:
    index = ContentIndex(3)
    index.put(0, Prefix([1, 2, 3]))
    index.put(1, Prefix([5, 6, 7]))
    assert paths_of([Prefix([1, 2, 9]), Prefix([5, 6, 9]), Prefix([8])], index)[1] == {0, 1}


IDS = st.lists(st.integers(0, 1), min_size=1, max_size=7)


@given(st.lists(IDS, min_size=1, max_size=12), st.lists(IDS, max_size=3))
def test_every_prefix_lies_on_one_path_as_its_ancestor(asked: list[list[int]], cached: list[list[int]]) -> None:
    index = ContentIndex(3)
    for slot, ids in enumerate(cached):
        index.put(slot, Prefix(ids))
    prefixes = list({prefix.digest: prefix for prefix in map(Prefix, asked)}.values())
    found = paths_of(prefixes, index)[0]
    on_paths = [prefix.digest for path in found for prefix in path.asked]
    assert sorted(on_paths) == sorted(prefix.digest for prefix in prefixes)
    for path in found:
        whole = list(path.prefix.token_ids)
        lengths = [len(prefix) for prefix in path.asked]
        assert lengths == sorted(set(lengths))
        assert all(list(prefix.token_ids) == whole[: len(prefix)] for prefix in path.asked)
        assert path.latest_start == lengths[0] - 1


@pytest.mark.parametrize(
    ("ids", "kind", "said"),
    [
        ([], ParameterError, r"start from \[4\], its BOS token"),
        ([1] * 9, ContextOverflow, "9 tokens does not fit a context length of 8"),
        ([1, 2, 50], ParameterError, "50 lies outside the vocabulary of 50"),
    ],
)
def test_what_is_wrong_with_a_prefix(ids: list[int], kind: type[Exception], said: str) -> None:
    fault = fault_of(Prefix(ids), set(), vocab_size=50, context_length=8, bos_id=4)
    with pytest.raises(kind, match=said):
        raise fault or AssertionError("no fault")


def test_a_sound_prefix_has_no_fault_and_known_ids_are_not_looked_at_again() -> None:
    limits = {"vocab_size": 50, "context_length": None, "bos_id": None}
    assert fault_of(Prefix([1, 49]), set(), **limits) is None  # type: ignore[arg-type]
    known = Prefix([60])
    assert fault_of(known.extend([1]), {known.digest}, **limits) is None  # type: ignore[arg-type]
