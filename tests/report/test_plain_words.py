"""What a page says of a run: that it failed, what is impossible, what is not there, and what is not its run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter
from decodekit.trace.header import SequenceEnd
from decodekit.trace.reader import inspect_trace
from decodekit.trace.trace import Trace
from decodekit.view import run_story, story_of
from decodekit.view.impossible import impossible_of

from ..trace.golden_runs import scores
from .opening import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODEL = NGramAdapter("the cat sat on the mat. the dog ran after the cat. " * 4, order=3)
FILES = sorted((Path(__file__).parents[1] / "trace" / "golden").glob("*.jsonl"))


def run(path: Path | None = None, seed: int = 3, **call: Any) -> Trace:
    session = decodekit.Session(MODEL, decodekit.Chain.of("temperature=1.3 top_p=0.9"), seed=seed)
    return session.generate("the ", **{"max_tokens": 12, "trace": path, **call}).trace


def changed(trace: Trace, at: int, **parts: Any) -> Trace:
    steps = list(trace.steps)
    steps[at] = replace(steps[at], **parts)
    return Trace(trace.header, steps, trace.footer)


WRONG: dict[str, Any] = {
    "an entropy of -3 nats": lambda step: {"raw": replace(step.raw, entropy=-3.0)},
    "an entropy of 1e+300 nats": lambda step: {"raw": replace(step.raw, entropy=1e300)},
    "150.00% of the mass left (Z)": lambda step: {"entries": (replace(step.entries[0], kept_mass=1.5),)},
    "-20.00% of the mass removed": lambda step: {"entries": (replace(step.entries[0], mass_removed=-0.2),)},
    "the raw_logprob is -9.5": lambda step: {"choice": replace(step.choice, raw_logprob=-9.5)},
    "the rank is 70": lambda step: {"choice": replace(step.choice, rank=70)},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_number_that_no_run_can_have_is_called_impossible(said: str) -> None:
    trace = run(max_tokens=2, top_logprobs=20)
    assert not impossible_of(trace.steps[1])
    (found, *_) = impossible_of(replace(trace.steps[1], **WRONG[said](trace.steps[1])))
    assert found.startswith("impossible, the record is wrong here: ") and said in found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_number_of_a_real_run_is_impossible(path: Path) -> None:
    steps = inspect_trace(path)[0].steps
    assert [step.index for step in steps if impossible_of(step)] == []


def test_a_page_says_that_a_run_failed_and_that_a_number_is_impossible(browser: Browser, tmp_path: Path) -> None:
    trace = run()
    assert trace.footer is not None
    trace.footer.ends[0] = SequenceEnd(0, 12, "error", "the model broke")
    trace = changed(trace, 3, raw=replace(trace.steps[3].raw, entropy=1e300))
    with opened(browser, trace, tmp_path, anchor="#stream=7&step=99") as found:
        head = found.text(".run")
        assert "ended with an error" in found.text(".title") and "ended with an error: the model broke" in head
        assert "first at step 3" in head and "It covers the draws" in head
        found.page.locator("#t3").click()
        assert "an entropy of 1e+300 nats" in found.text("aside") and "impossible" in found.text("aside")
        assert "what is not in this report: stream 7, step 99" in found.text("main [role=status]")
        assert found.behaved, found


def test_a_dropped_trace_is_the_run_of_the_page_or_is_not(browser: Browser, tmp_path: Path) -> None:
    shown = run(tmp_path / "run.jsonl")
    run(tmp_path / "other.jsonl", seed=4)
    for page, path in ((shown, "other.jsonl"), (changed(shown, 5, text="!"), "run.jsonl")):
        with opened(browser, page, tmp_path) as found:
            found.page.locator("#file").set_input_files(tmp_path / path)
            found.page.get_by_text("It is NOT the run of this page").wait_for()
            if page is shown:
                found.page.locator("#file").set_input_files(tmp_path / "run.jsonl")
                found.page.get_by_text("It is the run of this page").wait_for()
                assert "proved: each choice follows" in found.text(".drop [role=status]")


def test_what_was_taken_back_is_marked_in_the_text(browser: Browser, tmp_path: Path) -> None:
    trace = run(max_tokens=60, ban=["ca"], seed=7)
    marked = [f"t{step.index}" for step in trace.steps if step.abandoned]
    assert marked
    with opened(browser, trace, tmp_path, tokenizer=MODEL.tokenizer) as found:
        assert found.page.locator(".tokens .back").evaluate_all("each => each.map((one) => one.id)") == marked
        found.page.locator(f"#{marked[0]}").click()
        assert 'wrote the banned "ca"' in found.text("aside") and "#" not in found.text("aside")
        assert "attempt" in found.text("aside .facts") and "less than" in found.text("aside .facts")
        assert found.page.locator(".chart .backs").count() == 1


def test_a_bound_is_not_shown_as_a_score(browser: Browser, tmp_path: Path) -> None:
    wide = TableAdapter(lambda ids: scores(ids, 5000), 5000)
    trace = decodekit.Session(wide, "temperature=1.25", seed=1).generate([5], max_tokens=4).trace
    with opened(browser, trace, tmp_path) as found:
        bounds = found.page.locator(".race tr", has_text="any other token")
        cells = bounds.first.inner_text().split("\t")
        assert cells[1].startswith("≤ ") and cells[3].startswith("≤ ")
        assert not np.isnan(float(cells[3].removeprefix("≤ ").replace("−", "-")))


def test_a_link_leads_to_a_token_in_the_middle_of_the_screen(browser: Browser, tmp_path: Path) -> None:
    row = np.zeros(4)
    adapter = TableAdapter(lambda _: row, 4, tokenizer=PiecesTokenizer([b"one ", b"two ", b"three ", b"four "]))
    trace = decodekit.Session(adapter, "temperature=1", seed=1).generate([0], max_tokens=600).trace
    with opened(browser, trace, tmp_path, anchor="#stream=0&step=500", viewport={"width": 500, "height": 500}) as found:
        box = found.page.locator("#t500").bounding_box()
        assert box is not None and 100 < box["y"] < 400


def test_the_same_file_twice_is_said_and_named_apart(browser: Browser, tmp_path: Path) -> None:
    run(tmp_path / "run.jsonl")
    with opened(browser, [tmp_path / "run.jsonl"] * 2, tmp_path) as found:
        assert found.page.locator(".strip b").all_inner_texts() == ["run.jsonl, sample 0", "run.jsonl (2), sample 0"]
        found.page.locator(".parting summary").click()
        assert "the same run twice" in found.text(".parting")


def test_the_stories_have_an_address_and_a_step_without_scores_says_so() -> None:
    trace = run(max_tokens=2)
    bare = changed(trace, 1, evidence=None)
    story = story_of(bare, 1)
    assert any("the step has no `final`" in note for note in story.notes)
    assert "the step has no `final`" in decodekit.verify(bare).why and run_story(bare).tokens.step == (0, 1)
