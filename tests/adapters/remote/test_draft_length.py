"""How long a draft is, from what requests took and how often drafts were accepted."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx")

from decodekit_remote.draft_length import DraftLength


def test_the_draft_grows_with_the_trip_and_with_acceptance() -> None:
    lengths = {}
    for trip, acceptance in ((0.0, 0.7), (0.05, 0.7), (0.2, 0.7), (0.2, 0.95), (0.2, 0.1)):
        draft_length = DraftLength(acceptance=acceptance)
        for k in (1, 4, 2, 8):
            draft_length.observe_request(k, trip + 0.01 * k)
        assert draft_length.costs == pytest.approx((trip, 0.01))
        lengths[trip, acceptance] = draft_length.length
    assert lengths[0.0, 0.7] == 1
    assert lengths[0.05, 0.7] < lengths[0.2, 0.7] < lengths[0.2, 0.95]
    assert lengths[0.2, 0.1] <= 2
    assert not DraftLength().stream_is_faster


def test_streams_that_cost_more_than_they_should_are_given_up() -> None:
    draft_length = DraftLength(acceptance=0.9)
    for k in (1, 4, 2, 8):
        draft_length.observe_request(k, 0.05 + 0.01 * k)
    assert draft_length.stream_is_faster
    for _ in range(3):
        draft_length.observe_stream(9, 3 * (0.05 + 0.09))  # a server that is slow to notice a closed connection
    assert not draft_length.stream_is_faster
    for _ in range(200):
        draft_length.observe_stream(9, 0.05 + 0.09)
    assert draft_length.stream_is_faster
