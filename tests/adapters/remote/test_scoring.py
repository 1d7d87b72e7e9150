"""Scores over servers: those of the model in process where the server tells a number, a typed error elsewhere."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("httpx")

from decodekit import AsyncSession, Session, Undisclosed
from decodekit.testing import NGramAdapter
from tests.adapters.remote.servers import TEXT, serving
from tests.adapters.remote.test_table import remote

CANDIDATES = ["and the dog", "zebra", "the cat"]
PROMPT = "one day the cat "


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_a_server_scores_as_the_model_in_process(dialect: str) -> None:
    expected = Session(NGramAdapter(TEXT, order=4)).rank(PROMPT, CANDIDATES)
    with serving(dialect) as server:
        with Session(remote(server, top=5)) as session:
            found = session.rank(PROMPT, CANDIDATES)

        async def main() -> float:
            adapter = remote(server, top=5)
            try:
                return (await AsyncSession(adapter).score(PROMPT, "zebra")).total
            finally:
                await adapter.aclose()

        assert asyncio.run(main()) == pytest.approx(found[-1].score.total, abs=1e-9)
    assert [row.index for row in found] == [row.index for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row.score.tokenised == "together"
        np.testing.assert_allclose(row.score.logprobs, other.score.logprobs, rtol=0, atol=1e-5)


def test_a_server_with_short_lists_and_nothing_else_gives_a_typed_error() -> None:
    with serving("openai_completions") as server, Session(remote(server)) as session, pytest.raises(Undisclosed):
        session.score(PROMPT, "zebra")
