"""A report in a real browser: opened, hovered, keyed, searched, printed, and given a file to check."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import decodekit
from decodekit.testing import NGramAdapter
from decodekit.view import story_of

from .opening import Opened, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXT = "the cat sat on the mat. the dog ran after the cat. a cow stood by the lake and looked at the cat. " * 4
MODEL = NGramAdapter(TEXT, order=3)
TOKENS = 320  # two blocks: the second is filled when it comes near the screen
CHAIN = "temperature=1.2 top_p=0.9"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "run.jsonl"
    decodekit.Session(MODEL, decodekit.Chain.of(CHAIN), seed=3).generate("the ", max_tokens=TOKENS, trace=path)
    return path


@pytest.fixture(scope="module")
def whole(browser: Browser, trace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One page for all tests that only look and go."""
    with opened(browser, trace, tmp_path_factory.mktemp("page"), tokenizer=MODEL.tokenizer) as found:
        yield found
        assert found.behaved, found


def selected(found: Opened) -> str:
    return str(found.page.locator("[role=option][aria-selected=true]").get_attribute("id"))


def test_the_text_is_that_of_the_run(whole: Opened, trace: Path) -> None:
    steps = decodekit.read_trace(trace).steps
    shown = whole.page.locator("[role=listbox]").inner_text()
    assert shown.replace("\n", "").replace("◦", "") == "".join(step.text for step in steps).replace("\n", "↵")
    assert whole.text(".prompt") == "the "


def test_without_scripts_the_beginning_of_the_text_is_there(browser: Browser, whole: Opened, trace: Path) -> None:
    made = browser.new_context(java_script_enabled=False)
    page = made.new_page()
    page.goto(whole.address)
    text = page.locator("main").inner_text()
    written = "".join(step.text for step in decodekit.read_trace(trace).steps).replace("\n", "↵\n")
    assert "switched off" in text and "320 tokens, seed 3. decodekit verify: proved." in text
    assert page.locator(".tokens").inner_text() == written
    made.close()


def test_the_page_proves_every_draw_itself(whole: Opened) -> None:
    whole.page.get_by_text("of 320 draws").wait_for()
    assert "320 proved, of 320 draws" in whole.text("main")
    assert whole.text(".run .badge") == "✓ proved"


def test_hover_looks_and_a_click_keeps(whole: Opened) -> None:
    whole.page.locator("#t3").click()
    whole.page.locator("#t7").hover()
    assert selected(whole) == "t7" and whole.text(".step h2").startswith("step 7")
    whole.page.locator("h1").hover()
    assert selected(whole) == "t3"


def test_keys_go_through_the_text_with_one_tab_stop(whole: Opened) -> None:
    text = whole.page.locator("[role=listbox]")
    whole.page.locator("#t0").click()
    assert whole.page.locator("[role=option][tabindex]").count() == 0
    text.focus()
    for key, place in (
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", TOKENS - 1),
        ("Home", 0),
        ("ArrowDown", 10),
    ):
        text.press(key)
        assert (selected(whole), text.get_attribute("aria-activedescendant")) == (f"t{place}", f"t{place}")
    assert whole.page.url.endswith("#stream=0&step=10")


def test_search_finds_words_across_tokens_and_turns_round(whole: Opened, trace: Path) -> None:
    written = "".join(step.text for step in decodekit.read_trace(trace).steps)
    assert written.count("cat") > 1
    whole.page.locator("#t0").click()
    whole.page.keyboard.press("/")
    whole.page.keyboard.type("CAT")
    seen = []
    for _ in range(written.count("cat") + 1):
        whole.page.keyboard.press("Enter")
        seen.append(selected(whole))
    assert seen[0] == seen[-1] == f"t{written.index('cat')}"  # one byte a token
    assert len(set(seen)) == written.count("cat")
    whole.page.locator("input[type=search]").fill("zebra")
    whole.page.keyboard.press("Enter")
    assert whole.text(".find output") == "not found"


def test_the_next_token_that_stands_out(whole: Opened, trace: Path) -> None:
    steps = decodekit.read_trace(trace).steps
    margins = sorted(step.choice.margin for step in steps if step.choice.margin < math.inf)
    low = margins[len(margins) // 10]
    whole.page.locator("#t0").click()
    whole.page.get_by_role("button", name="next low margin").click()
    assert selected(whole) == f"t{next(step.index for step in steps[1:] if step.choice.margin <= low)}"
    entropies = sorted(step.raw.entropy or 0.0 for step in steps)
    whole.page.locator("#t0").click()
    whole.page.locator("[role=listbox]").press("e")
    at = int(selected(whole)[1:])
    assert sum(entropy > (steps[at].raw.entropy or 0) for entropy in entropies) <= TOKENS // 10


def test_a_step_shows_the_numbers_of_the_record(whole: Opened, trace: Path) -> None:
    steps = decodekit.read_trace(trace).steps
    step = next(
        step for step in steps if step.choice.runner_up is not None and (step.entries[-1].mass_removed or 0) > 0.01
    )
    whole.page.evaluate("(at) => (location.hash = `stream=0&step=${at}`)", step.index)
    whole.page.locator(".step small", has_text=re.compile(f"^step {step.index}$")).wait_for()
    panel = whole.text("aside")
    chosen = whole.text(".stages .chosen")
    for logprob in (step.choice.raw_logprob, *(entry.chosen for entry in step.entries)):
        assert logprob is not None and f"{100 * math.exp(logprob):.1f}"[:-2] in chosen
    assert f"{step.choice.margin:.4f} nats to" in panel
    assert f"{step.draw and step.draw.word:016x}" in panel
    assert whole.page.locator(".stages .cut").count() > 0, "tokens that top_p cut are struck through where it cut them"
    race = whole.text(".race .chosen").split("\t")
    assert float(race[3].replace("−", "-")) == pytest.approx(step.choice.score, abs=6e-4)
    assert "On the cumulative curve" in panel and "removed" in whole.text(".told")


def test_colours_come_with_numbers(whole: Opened) -> None:
    for name in ("margin", "entropy", "rank", "surprisal"):
        whole.page.locator("#measure").select_option(name)
        legend = whole.page.locator(".legend .t").all_inner_texts()
        assert len(legend) == 9 and any(character.isdigit() for character in legend[3])
    sure = whole.page.locator("#t0").get_attribute("class") or ""
    assert sure.split()[0] == "t"


def test_blocks_are_filled_when_they_come_near_and_all_of_them_for_print(
    browser: Browser, trace: Path, tmp_path: Path
) -> None:
    with opened(browser, trace, tmp_path, viewport={"width": 1000, "height": 120}) as found:
        found.page.locator(".block").nth(1).wait_for(state="attached")
        found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert found.page.locator("[role=option]").count() == TOKENS
        assert found.page.pdf().startswith(b"%PDF-")
        assert found.behaved, found


def test_a_dropped_file_is_checked_in_the_page(whole: Opened, trace: Path, tmp_path: Path) -> None:
    data = trace.read_bytes()
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(data.replace(b'"seed":3', b'"seed":4', 1))
    for path, word in ((trace, "proved"), (forged, "failed")):
        whole.page.locator("#file").set_input_files(path)
        whole.page.wait_for_selector(f".drop .badge.{word}")
        assert path.name in whole.text(".drop [role=status]")


def test_samples_are_a_strip_and_a_link_leads_to_a_step(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    decodekit.Session(MODEL, decodekit.Chain.of(CHAIN), seed=3).generate_many(
        ["the ", "a "], n=2, max_tokens=8, trace=path
    )
    second = decodekit.read_trace(path).header.sequences[2][0]
    with opened(browser, path, tmp_path, anchor=f"#stream={second}&step=5") as found:
        pressed = found.page.locator(".strip [aria-pressed=true]")
        assert pressed.count() == 1 and "prompt 1, sample 0" in pressed.inner_text()
        assert found.text(".step h2").startswith("step 5")
        found.page.locator(".strip button").first.click()
        assert found.page.url.endswith("#stream=0&step=0")
        assert found.behaved, found


def test_two_traces_are_compared(browser: Browser, trace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    decodekit.Session(MODEL, decodekit.Chain.of(CHAIN), seed=4).generate("the ", max_tokens=40, trace=other)
    found = decodekit.trace.diff(trace, other)
    assert found.step is not None
    with opened(browser, [trace, other], tmp_path) as page:
        assert f"seed at step {found.step}" in page.text(".parting")
        page.page.locator(".parting .around button").nth(1).click()
        assert page.text(".step h2").startswith(f"step {found.step} ")
        assert page.page.url.endswith(f"#run=1&stream=0&step={found.step}")
        assert page.page.locator("[role=option].parted").count() == 1
        assert page.behaved, page


def test_the_place_on_the_curve_of_one_uniform_number(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(MODEL, decodekit.Chain.of("top_p=0.9 inverse_cdf"), seed=3).generate(
        "the ", max_tokens=3, trace=path
    )
    with opened(browser, path, tmp_path) as found:
        uniform = decodekit.read_trace(path).steps[0].choice.score
        assert f"The uniform number {uniform:.6f} fell there" in found.text("aside")
        drift = story_of(decodekit.read_trace(path), 0).drift.nats
        assert drift is not None and f"less than {drift:.4f} nats" in found.text("aside .facts")
        assert found.behaved, found
