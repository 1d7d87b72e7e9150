"""What rollouts keep when a sequence fails, and when the whole call ends before its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from decodekit import CHEAP, AdapterError, Disclosure, ParameterError, Prefix, Session
from decodekit.analysis.trainers.batches import trl_rollouts
from decodekit.analysis.trainers.rolling_out import rollouts
from decodekit.model.adapter import Answer
from decodekit.testing import TableAdapter

from .tables import SIZE, scores

pytest.importorskip("pyarrow")


class Failing(TableAdapter):
    """Fails for prefixes that hold a token, and is interrupted at a call."""

    def __init__(self, token: int = -1, interrupted_at: int = -1) -> None:
        super().__init__(scores, SIZE)
        self._token, self.left = token, interrupted_at

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        answers = super().predict(prefixes, disclose)
        return [
            AdapterError("no more") if self._token in prefix.token_ids else answer
            for prefix, answer in zip(prefixes, answers, strict=True)
        ]


def test_a_sequence_that_failed_is_a_row_that_no_trainer_takes(tmp_path: Path) -> None:
    whole = rollouts(Session(TableAdapter(scores, SIZE), seed=1), [[0], [1]], 8, tmp_path / "a", max_tokens=3).rows()
    made = rollouts(Session(Failing(token=3), seed=1), [[0], [1]], 8, tmp_path / "b", max_tokens=3)
    rows = made.rows()
    failed = [row for row in rows if row.stop_reason == "error"]
    assert 0 < made.failed == len(failed) < made.sequences == 16
    card = (made.folder / "README.md").read_text()
    assert made.first_error and f"{made.failed} of the sequences failed; the first: {made.first_error}" in card
    for row, other in zip(rows, whole, strict=True):
        at = [*other.token_ids[:-1], 3].index(3)  # nothing follows this token
        assert row.token_ids == other.token_ids[: at + 1] and (row.stop_reason == "error") == (at < 2)
        assert row.run == rows[0].run
    with pytest.raises(ParameterError, match=r"failed after . tokens; leave it out \(stop_reason\)"):
        trl_rollouts(rows)


def test_where_all_fail_nothing_is_written_and_the_error_is_raised(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no more") as raised:
        rollouts(Session(Failing(token=0), seed=1), [[0], [0, 1]], 2, tmp_path / "a", max_tokens=3)
    assert list(tmp_path.iterdir()) == [] and not hasattr(raised.value, "__notes__")


def test_prompts_before_an_interrupt_are_kept_and_the_others_can_be_made(tmp_path: Path) -> None:
    prompts, options = [[0], [1], [2]], {"max_tokens": 1}
    call: Any = (prompts, 128)  # two prompts are a run
    counting = Failing()
    whole = rollouts(Session(counting, seed=1), *call, tmp_path / "whole", **options).rows()
    model = Failing(interrupted_at=-1 - counting.left)  # at the last question, which is of the second run
    with pytest.raises(KeyboardInterrupt) as raised:
        rollouts(Session(model, seed=1), *call, tmp_path / "part", **options)
    kept = list(_rows(tmp_path / "part"))
    assert [row.prompt for row in kept] == [0] * 128 + [1] * 128
    assert "call with start=2, seed=1 and another folder" in raised.value.__notes__[0]
    assert "It ended early: the last 1 prompts" in (tmp_path / "part" / "README.md").read_text()
    rest = rollouts(Session(model, seed=1), *call, tmp_path / "rest", start=2, **options).rows()
    assert [*kept, *rest] == whole
    with pytest.raises(KeyboardInterrupt) as raised:
        rollouts(Session(Failing(interrupted_at=1), seed=1), *call, tmp_path / "none", **options)
    assert "nothing is kept" in raised.value.__notes__[0] and not (tmp_path / "none").exists()
    with pytest.raises(ParameterError, match="start must be an integer from 0 to 2"):
        rollouts(Session(model, seed=1), *call, tmp_path / "none", start=3, **options)


def _rows(folder: Path) -> Any:
    from decodekit.analysis.trainers.columns import read_rollouts

    return read_rollouts(folder)
