"""120 payloads as texts of tokens, prompts, parameters and errors: none runs, none leaves its place, none is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import decodekit
from decodekit.report import html
from decodekit.report.beginning import beginning
from decodekit.testing import TableAdapter
from decodekit.text.safe_text import safe_text
from decodekit.text.tool_call import ToolCall
from decodekit.trace.header import SequenceEnd
from decodekit.trace.trace import Trace

from .opening import Opened, opened
from .payloads import HIT, PAYLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser


CALL = ToolCall(*PAYLOADS[6:9], complete=False, fault=PAYLOADS[9])


class Hostile:
    """A tokenizer whose tokens are the payloads."""

    vocab_size = len(PAYLOADS)
    eos_ids: frozenset[int] = frozenset()
    fingerprint = "hostile"
    chat_template = None

    def encode(self, text: str) -> list[int]:
        return [PAYLOADS.index(text)]

    def decode(self, ids: Any) -> bytes:
        return b"".join(self.token_bytes(each) or b"" for each in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        return PAYLOADS[token_id].encode()


def hostile_trace() -> Trace:
    """A run that wrote every payload once; the header and the ends are hostile too."""
    adapter = TableAdapter(scores_after, len(PAYLOADS))
    result = decodekit.Session(adapter, decodekit.Chain.of("temperature=1.0 greedy")).generate(
        [len(PAYLOADS) - 1], max_tokens=len(PAYLOADS)
    )
    trace = result.trace
    assert trace is not None and trace.footer is not None
    for step in trace.steps:
        object.__setattr__(step, "text", PAYLOADS[step.token_id])
    header = trace.header
    header.adapter["model"] = PAYLOADS[0]
    header.chain["processors"][0]["params"]["temperature"] = PAYLOADS[1]
    header.versions[PAYLOADS[4]] = PAYLOADS[5]
    header.stop["strings"] = [PAYLOADS[1]]
    trace.footer.ends[0] = SequenceEnd(0, len(trace.steps), "error", PAYLOADS[5], (CALL,))
    return trace


def scores_after(ids: tuple[int, ...]) -> list[float]:
    following = (ids[-1] + 1) % len(PAYLOADS)
    return [0.0 if token == following else -5.0 - token / 100 for token in range(len(PAYLOADS))]


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(browser, hostile_trace(), tmp_path_factory.mktemp("page"), tokenizer=Hostile()) as found:
        yield found


def test_there_are_120_payloads() -> None:
    assert len(set(PAYLOADS)) == 120


def test_every_payload_is_text_and_nothing_else(page: Opened) -> None:
    shown = [page.page.locator(f"#t{at}").text_content() for at in range(len(PAYLOADS))]
    assert shown == [safe_text(payload, newlines=True).replace("\n", "↵\n") for payload in PAYLOADS]
    assert page.page.locator("[role=option] *").count() == 0
    assert page.page.locator(".note code").text_content() == CALL.line == safe_text(CALL.line)


def test_nothing_runs_while_every_step_is_looked_at(page: Opened) -> None:
    for at in range(len(PAYLOADS)):
        page.page.evaluate("(at) => document.getElementById(`t${at}`).click()", at)
        page.page.evaluate("document.querySelectorAll('summary').forEach((each) => each.click())")
    page.page.get_by_text("of 120 draws").wait_for()
    assert page.page.evaluate("window.hit") is None
    allowed = {"HTML", "HEAD", "META", "TITLE", "STYLE", "BODY", "SCRIPT", "MAIN"}
    made = page.page.evaluate("Array.from(new Set(Array.from(document.querySelectorAll('*'), (each) => each.tagName)))")
    assert not {"IMG", "IFRAME", "OBJECT", "EMBED", "FORM", "A", "BASE", "LINK", "VIDEO"} & set(
        made
    ) and allowed <= set(made)
    assert page.page.locator("script").count() == 3
    assert page.behaved, page


def test_a_dropped_file_with_hostile_words_runs_nothing(page: Opened, tmp_path: Path) -> None:
    for payload in ("<img src=x onerror=window.hit=1>", "\u202e<script>window.hit=1</script>"):
        path = tmp_path / "bad.jsonl"
        path.write_text(json.dumps({"kind": "header", "content": {"format": payload}, "created": ""}) + "\n")
        page.page.locator("#file").set_input_files(path)
        page.page.wait_for_selector(".drop .badge.refused")
    assert page.page.evaluate("window.hit") is None and page.behaved, page


def test_the_canary_fires_where_nothing_protects(browser: Browser) -> None:
    """The negative control: the same payloads as markup do run."""
    tab = browser.new_page()
    tab.set_content("".join(PAYLOADS[:12]))
    tab.wait_for_function("window.hit === 1")
    tab.close()


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of those that are no script and no style."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.made.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data if self.made and self.made[-1][0] not in ("script", "style") else ""


def parsed(markup: str) -> Elements:
    found = Elements()
    found.feed(markup)
    found.close()
    return found


def test_hostile_bytes_are_text_in_the_beginning_and_are_in_the_islands_else() -> None:
    page = html(hostile_trace(), tokenizer=Hostile())
    assert "\u202e" not in page and page.count("<script") == 3 == page.count("</script>")
    assert HIT in parsed(page).text
    for payload in PAYLOADS:
        stream = {"from": 0, "to": 1, "prompt": safe_text(payload, newlines=True)}
        header = {"adapter": {"model": safe_text(payload)}, "seed": "1"}
        run = {"name": safe_text(payload), "header": header, "verdict": {"word": "proved"}, "streams": [stream]}
        found = parsed(beginning(run, [safe_text(payload, newlines=True)], [0]))
        assert [tag for tag, _ in found.made] == ["header", "div", "h1", "p", "div", "div", "p", "div"]
        names = {name for _, attributes in found.made for name in attributes}
        assert names == {"class", "tabindex", "role", "aria-label"}
        assert found.text.count(safe_text(payload)) >= 2
