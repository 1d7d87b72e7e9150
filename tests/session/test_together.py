"""The sequences of a run go through the chain together; each is recorded as if it were alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decodekit import CHEAP, Chain, Context, Distribution, PluginError, Session, processor
from decodekit.testing import TableAdapter
from tests.session.conftest import V, table, wide


class Heads(TableAdapter):
    """A model that shows the most likely tokens first, and more when asked."""

    def predict(self, prefixes: Any, disclose: Any = CHEAP) -> list[Any]:
        return [self._shown(Distribution.dense(wide(p.token_ids)), w) for p, w in zip(prefixes, disclose, strict=True)]

    def _shown(self, dist: Distribution, want: Any) -> Distribution:
        if want.kind == "all":
            return dist
        ids = np.concatenate([dist.order[: want.top or 12], np.array(want.ids, dtype=np.int64)])
        ids = np.unique(ids)
        return Distribution.head(ids, dist.logprobs_of(ids), V, max_hidden=float(dist.logprobs.min()) + 3.0)


def lines(path: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """The contents of the recorded steps, by stream and place; the time is no part of them."""
    written = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [line["content"] for line in written if line["kind"] == "step"]
    return {(step["stream"], step["step"]): step for step in steps}


CHAINS = {
    "truncations": [
        ("top_k", {"top_k": 9}),
        ("top_p", {"top_p": 0.9}),
        ("min_p", {"min_p": 0.02}),
        ("temperature", {"temperature": 0.8}),
    ],
    "temperature": [("temperature", {"temperature": 1.3})],
    "states and coins": [("mirostat_v2", {"mirostat_v2": 3.0}), ("xtc", {"xtc": 0.5, "threshold": 0.05})],
    "history": [("repetition_penalty", {"repetition_penalty": 1.3}), ("top_k", {"top_k": 20})],
}


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
@pytest.mark.parametrize(("name", "kind"), [*((name, "whole") for name in CHAINS), ("truncations", "heads")])
def test_the_lines_of_a_batch_are_those_of_each_sequence_alone(
    tmp_path: Path, level: Any, name: str, kind: str
) -> None:
    adapter = table() if kind == "whole" else Heads(wide, V)
    chain = Chain([processor(part, **params) for part, params in CHAINS[name]])
    session = Session(adapter, chain, seed=11)
    together = tmp_path / "together.jsonl"
    session.generate_many([[1, 2]], n=7, max_tokens=5, level=level, trace=together)
    expected = {}
    for stream in range(7):
        path = tmp_path / f"{stream}.jsonl"
        session.generate([1, 2], stream=stream, max_tokens=5, level=level, trace=path)
        expected |= lines(path)
    found = lines(together)
    assert len(found) == 35 and found == expected


def test_without_a_record_the_tokens_are_the_same() -> None:
    session = Session(Heads(wide, V), Chain([processor("top_k", top_k=9)]), seed=3)
    (batch,) = session.generate_many([[5]], n=6, max_tokens=8, level="none")
    assert [r.token_ids for r in batch] == [
        session.generate([5], stream=i, max_tokens=8, level="none").token_ids for i in range(6)
    ]


def test_a_row_that_fails_ends_its_own_sequence_with_its_own_error() -> None:
    def picky(dist: Distribution, ctx: Context) -> Distribution:
        if ctx.prompt_ids[0] == 2 and len(ctx.output_ids) == 1:
            raise ValueError("not this one")
        return dist

    session = Session(table(), Chain([picky, processor("top_k", top_k=5)]), seed=1)
    results = [each[0] for each in session.generate_many([[1], [2], [3]], max_tokens=3)]
    assert [len(result.token_ids) for result in results] == [3, 1, 3]
    assert isinstance(results[1].error, PluginError) and results[1].error.step == 1
    solo = session.generate([3], stream=2 << 32, max_tokens=3)
    assert results[2].token_ids == solo.token_ids


def test_an_impure_part_runs_once_for_each_step_of_each_sequence() -> None:
    calls: list[tuple[int, int]] = []

    class Once:
        name, pure = "once", False

        def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
            calls.append((ctx.prompt_ids[0], len(ctx.output_ids)))
            return dist

    Session(table(), Chain([Once()]), seed=1).generate_many([[1], [2]], max_tokens=2)
    assert sorted(calls) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_phrases_that_are_taken_back_do_not_touch_the_neighbours() -> None:
    """A sequence that went back has another attempt of its noise than the rest of its batch."""
    from decodekit.testing import NGramAdapter
    from tests.session.conftest import TEXT

    session = Session(NGramAdapter(TEXT, order=3), seed=4)
    (batch,) = session.generate_many(["the "], n=6, max_tokens=25, ban=["cat"])
    for stream, result in enumerate(batch):
        solo = session.generate("the ", stream=stream, max_tokens=25, ban=["cat"])
        assert (result.text, result.token_ids) == (solo.text, solo.token_ids)


def test_hidden_tokens_that_must_be_given_up_are_given_up_row_by_row() -> None:
    class Short(Heads):
        def _shown(self, dist: Distribution, want: Any) -> Distribution:
            ids = dist.order[:3]
            return Distribution.head(ids, dist.logprobs_of(ids) - 1.0, V)

    session = Session(Short(wide, V), Chain([processor("temperature", temperature=1.1)]), on_undisclosed="truncate")
    (batch,) = session.generate_many([[5]], n=4, max_tokens=3, seed=9)
    for stream, result in enumerate(batch):
        solo = session.generate([5], stream=stream, max_tokens=3, seed=9)
        entries = [step.entries for step in result.trace.steps if step.stream == stream]
        assert entries == [step.entries for step in solo.trace.steps]
        assert any(entry.gave_up for each in entries for entry in each)
