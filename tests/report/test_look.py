"""How a report looks: no page is wider than its screen, and axe finds nothing, in light and in dark."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import decodekit
from decodekit.report import write_report
from decodekit.testing import NGramAdapter
from decodekit.trace.trace import Trace

from .opening import opened
from .test_page import CHAIN, MODEL

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small runs: with samples, a banned phrase and a long line without a space."""
    folder = tmp_path_factory.mktemp("traces")
    session = decodekit.Session(MODEL, decodekit.Chain.of(CHAIN), seed=2)
    session.generate_many(["the "], n=2, max_tokens=30, ban=["ca"], trace=folder / "one.jsonl")
    long = NGramAdapter("a" * 300)
    decodekit.Session(long, decodekit.Chain.of("top_k=3 greedy")).generate(
        "a", max_tokens=200, trace=folder / "two.jsonl"
    )
    return [folder / "one.jsonl", folder / "two.jsonl"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, traces: list[Path], tmp_path: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, traces[0], tmp_path, tokenizer=MODEL.tokenizer, color_scheme=scheme) as found:
        for summary in found.page.locator("summary").all():
            summary.click()
        found.page.get_by_text("of 60 draws").wait_for()
        for measure in ("surprisal", "margin"):
            found.page.locator("#measure").select_option(measure)
            violations = axe.run(found.page).response["violations"]
            assert not violations, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in violations]


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_no_page_is_wider_than_its_screen(browser: Browser, traces: list[Path], tmp_path: Path, width: int) -> None:
    with opened(browser, traces, tmp_path, viewport={"width": width, "height": 800}) as found:
        for button in found.page.locator(".strip button").all():
            button.click()
            assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.behaved, found


def test_no_long_word_widens_the_page(browser: Browser, tmp_path: Path) -> None:
    word = "x" * 300
    trace = decodekit.Session(MODEL, decodekit.Chain.of(CHAIN), seed=2).generate("the ", max_tokens=3).trace
    assert trace.footer is not None
    (end,) = trace.footer.ends
    failed = replace(trace.footer, ends=(replace(end, finish_reason="error", error=word),))
    header = replace(trace.header, adapter={**trace.header.adapter, "name": word, "model": word})
    wrong = replace(trace.steps[0], choice=replace(trace.steps[0].choice, raw_logprob=-9.5), schedule={word: word})
    long = Trace(header, [wrong, *trace.steps[1:]], failed)
    small = {"viewport": {"width": 360, "height": 800}}
    with opened(browser, long, tmp_path, tokenizer=MODEL.tokenizer, anchor=f"#stream={word}", **small) as found:
        page = found.page
        for summary in page.locator("summary").all():
            summary.click()
        page.locator("#file").set_input_files({"name": word, "mimeType": "", "buffer": b""})
        page.get_by_text(f"{word}: 0 steps read").wait_for()
        assert page.locator("[role=status]", has_text=f"stream {word}").count() == 1
        assert page.locator(".text", has_text=f"error ({word})").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_axe_finds_nothing_in_the_beginning_with_a_long_prompt(browser: Browser, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    trace = decodekit.Session(MODEL, seed=2).generate("the cat sat on the mat. " * 200, max_tokens=3).trace
    whole_page = write_report(trace, tmp_path / "report.html", tokenizer=MODEL.tokenizer).read_text()
    page = browser.new_page()
    page.set_content(re.sub("<script.*?</script>", "", whole_page, flags=re.DOTALL))  # as before the script has run
    height, whole = page.locator(".prompt").evaluate("each => [each.clientHeight, each.scrollHeight]")
    assert height < whole  # it scrolls
    violations = axe.run(page).response["violations"]
    assert not violations, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in violations]
    page.close()


def test_on_a_phone_the_story_of_a_tapped_token_is_in_sight(
    browser: Browser, traces: list[Path], tmp_path: Path
) -> None:
    with opened(browser, traces[0], tmp_path, viewport={"width": 360, "height": 640}, has_touch=True) as found:
        found.page.locator("#t4").tap()
        box = found.page.locator("aside").bounding_box()
        assert box is not None and box["y"] < 640 and found.text(".step h2").startswith("step 4")
        assert found.page.locator("#t4").bounding_box()["y"] < box["y"]  # type: ignore[index]
