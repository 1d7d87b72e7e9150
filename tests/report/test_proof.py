"""The page proves draws from what it holds: rounded scores, differences of ids, and all kinds of records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import decodekit
from decodekit import processor
from decodekit.testing import TableAdapter

from ..trace.golden_runs import scores
from .opening import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CONFORMANCE = Path(__file__).parents[1] / "trace" / "conformance"
SOUND = (
    "abandoned", "constraint", "floor", "greedy", "heads", "inverse_cdf", "last_stream", "level_full", "mask",
    "masked_heads", "resumed", "streams", "top_p",
)  # fmt: skip
OTHERS = {
    "ambiguous": "1 ambiguous",
    "changed_score": "2 proved, 1 failed",
    "floor_too_high": "1 failed, 2 proved",
    "level_choice": "3 consistent",
    "provider": "3 consistent",
    "wrong_margin": "2 proved, 1 failed",
}


def test_all_kinds_of_records_get_the_word_that_verify_gives_them(browser: Browser, tmp_path: Path) -> None:
    paths = [CONFORMANCE / f"{name}.jsonl" for name in (*SOUND, *OTHERS)]
    with opened(browser, paths, tmp_path) as found:
        for path in paths:
            steps = len(decodekit.read_trace(path).steps)
            words = OTHERS.get(path.stem, f"{steps} proved")
            draws = f"{steps} draw" if steps == 1 else f"{steps} draws"
            line = f"Checked in this page of {path.name}, from the scores in it: {words}, of {draws}."
            found.page.get_by_text(line).wait_for()
        assert found.behaved, found


def test_scores_above_a_floor_that_were_rounded_still_prove_every_draw(browser: Browser, tmp_path: Path) -> None:
    wide = TableAdapter(lambda ids: scores(ids, 5000), 5000)
    path = tmp_path / "run.jsonl"
    chain = decodekit.Chain([processor("temperature", temperature=1.25)])
    decodekit.Session(wide, chain, seed=1).generate([5], max_tokens=40, trace=path)
    assert all(
        step.evidence is not None and step.evidence.floor is not None for step in decodekit.read_trace(path).steps
    )
    with opened(browser, path, tmp_path) as found:
        found.page.get_by_text("40 proved, of 40 draws").wait_for()
        assert found.behaved, found
