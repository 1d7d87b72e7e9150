"""What is compared was computed on both sides: a server whose answers move is never called exact from stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

from decodekit import ParameterError, Session, replay
from decodekit.analysis import passes_of
from decodekit.analysis.audit import audit
from decodekit.distribution.disclosure import CHEAP
from decodekit.model.prefix import Prefix
from decodekit.testing import TableAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.moving import moving
from tests.adapters.remote.servers import serving

TWICE = ["repeat", "batch size", "batch order", "ancestors"]
PROMPTS = [[116, 104, 101], [111, 110, 101]]
V = 9


def remote(url: str, draft: Any) -> RemoteAdapter:
    return RemoteAdapter(base_url=url, dialect="llama_server", draft=draft)


@pytest.mark.parametrize("draft", [4, "stream"])
def test_a_server_whose_answers_move_is_found(draft: Any) -> None:
    with moving() as server:
        found = audit(remote(server.url, draft), axes=TWICE, prompts=PROMPTS, tokens=4)
    assert {each.axis: each.word for each in found.outcomes} == dict.fromkeys(TWICE, "unstable")
    for each in found.outcomes:
        assert each.measured is not None and each.measured.equal < each.measured.places == 8


def test_a_server_whose_answers_stay_is_exact_and_was_asked_each_time() -> None:
    with serving() as server:
        found = audit(remote(server.url, 4), axes=TWICE, prompts=PROMPTS, tokens=4)
        assert len(server.asked("/completion")) >= 2 * len(TWICE)
    assert {each.axis: each.word for each in found.outcomes} == dict.fromkeys(TWICE, "exact")


def test_passes_and_replays_ask_a_server_again() -> None:
    with moving() as server:
        adapter = remote(server.url, 4)
        rows = passes_of(adapter, PROMPTS[0], 3)
        assert len({row.scores.tobytes() for row in rows}) == 3
        with Session(adapter, seed=1) as session:
            trace = session.generate(PROMPTS[0], max_tokens=4, level="proof").trace
            assert all(step.drift > 0 for step in replay(trace, adapter=adapter).steps)


class Keeps(TableAdapter):
    """It computes each answer once, with a new row each time, and says nothing of it."""

    def __init__(self) -> None:
        rng = np.random.default_rng(4)
        super().__init__(lambda _: rng.normal(size=V).tolist(), V)
        self.held = dict[Prefix, Any]()

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> Any:
        for prefix in prefixes:
            if prefix not in self.held:
                (self.held[prefix],) = super().predict([prefix])
        return [self.held[prefix] for prefix in prefixes]


def test_one_answer_object_is_one_computation() -> None:
    found = audit(Keeps(), axes=[*TWICE, "batch neighbours"], tokens=4)
    assert {each.word for each in found.outcomes} == {"not tested"}
    assert all("repeats stored answers" in each.why for each in found.outcomes)
    with pytest.raises(ParameterError, match="repeats its stored answer"):
        passes_of(Keeps(), [0], 2)
