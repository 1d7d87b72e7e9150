"""Samples as a strip: each card and each address shows its own sample, a very short and an empty one too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter

from .opening import Opened, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODEL = NGramAdapter("the cat sat on the mat. the dog ran after the cat. " * 4, order=3)


def cards(found: Opened) -> list[str]:
    return found.page.locator(".strip button span").all_inner_texts()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run with nothing but its prompt, one with four short samples, and again nothing."""
    folder = tmp_path_factory.mktemp("runs")
    session = decodekit.Session(MODEL, decodekit.Chain.of("temperature=1.5"), seed=5)
    paths = [folder / f"{name}.jsonl" for name in ("none", "few", "last")]
    for path, size in zip(paths, (0, 3, 0), strict=True):
        session.generate_many(["the "], n=4 if size else 1, max_tokens=size, trace=path)
    return paths


def test_a_card_shows_the_text_of_its_own_sample(browser: Browser, runs: list[Path], tmp_path: Path) -> None:
    trace = decodekit.read_trace(runs[1])
    own = ["".join(step.text for step in trace.steps if step.stream == stream).strip() for stream in range(4)]
    assert len(set(own)) > 1 and all(own)
    with opened(browser, runs, tmp_path, tokenizer=MODEL.tokenizer) as found:
        assert cards(found) == ["(no text)", *own, "(no text)"]


def test_the_address_of_a_sample_without_tokens_is_its_own(browser: Browser, runs: list[Path], tmp_path: Path) -> None:
    with opened(browser, runs, tmp_path, tokenizer=MODEL.tokenizer) as found:
        page = found.page
        for run, card in ((1, 1), (0, 0), (2, 5)):
            page.evaluate(f"location.hash = '#run={run}&stream=0'")
            page.locator(f".strip button:nth-child({card + 1})[aria-pressed=true]").wait_for()
            empty = "No token was generated." in found.text(".text")
            assert (empty, page.locator("aside article").count()) == ((False, 1) if run == 1 else (True, 0))
        page.locator(".strip button").first.click()
        assert page.evaluate("location.hash") == "#stream=0"
        assert found.behaved, found


def test_a_prompt_of_one_token_is_told_so(browser: Browser, tmp_path: Path) -> None:
    trace = decodekit.Session(TableAdapter(lambda _: [0.0, 1.0], 2)).generate([0], max_tokens=1).trace
    with opened(browser, trace, tmp_path) as found:
        assert found.text(".prompt") == "after a prompt of 1 token, whose text is not known here"
