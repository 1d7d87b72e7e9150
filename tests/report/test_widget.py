"""The report in a notebook's cell: a frame of its own, in a real browser, and what is left without scripts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import decodekit
from decodekit import ParameterError, Session
from decodekit.html.tokens import STYLES
from decodekit.report import html
from tests.cli.viewer.runs import CHAIN, TEXT, hostile, many_steps, samples
from tests.html.reading import KNOWN
from tests.html.reading import Page as Read

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Frame(HTMLParser):
    """The attributes of the frame, and the HTML that stands after it."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        before, _, self.rest = shown.partition("</iframe>")
        self.feed(before)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "iframe" and not self.attributes
        self.attributes = dict(attrs)

    def handle_data(self, data: str) -> None:
        raise AssertionError(f"text before the frame ends: {data[:80]!r}")


def result() -> decodekit.Result:
    return Session(decodekit.testing.NGramAdapter(TEXT), CHAIN, seed=3).generate("the ", max_tokens=12)


def test_a_widget_is_the_report_in_a_frame_that_can_reach_nothing() -> None:
    made = result()
    shown = decodekit.widget(made, height=500)
    bundle = shown._repr_mimebundle_()
    frame = Frame(bundle["text/html"])
    assert frame.attributes["srcdoc"] == html(made, tokenizer=made.tokenizer)
    assert frame.attributes["sandbox"] == "allow-scripts" and "height:500px" in str(frame.attributes["style"])
    assert made.text in Read(frame.rest).text  # for GitHub, nbviewer and notebooks that are not trusted
    assert (
        bundle["text/plain"] == repr(shown) == f"Widget({made.trace!r})" and shown._repr_html_() == bundle["text/html"]
    )


def test_it_takes_what_a_report_takes(tmp_path: Path) -> None:
    trace = samples(2)
    (tmp_path / "run.jsonl").write_bytes(trace.to_bytes())
    shown = [decodekit.widget(each).to_html() for each in (trace, tmp_path / "run.jsonl")]
    assert Frame(shown[0]).rest == Frame(shown[1]).rest
    assert repr(decodekit.widget([trace, result()])).count("Trace(") == 2
    for wrong in ([], 7, [7]):
        with pytest.raises((ParameterError, TypeError)):
            decodekit.widget(wrong)
    for height in (0, 50, 20_000, "tall", True):
        with pytest.raises(ParameterError, match="height must be 100 to 10000 pixels"):
            decodekit.widget(trace, height=height)  # type: ignore[arg-type]


def test_ten_thousand_tokens_fit_and_what_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    long = many_steps(2_500)
    assert len(decodekit.widget(long).to_html()) < 1_000_000
    monkeypatch.setattr("decodekit.report.widget._MOST_BYTES", 100_000)
    page = Read(decodekit.widget(long).to_html())  # no frame any more
    assert "too much for a notebook" in page.text and "500 more tokens are not shown here" in page.text


def test_it_is_used_with_keys_in_a_browser_and_no_hostile_text_runs(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    trace = hostile()
    notebook = tmp_path / "notebook.html"
    script = "<script>window.ran = 0; window.canary = () => { window.ran += 1; };</script>"
    static = trace.to_html() + "".join(step.explain().to_html() for step in trace.steps)
    notebook.write_text(f"<!doctype html><meta charset=utf-8>{script}{decodekit.widget(trace).to_html()}{static}")
    page.on("request", lambda request: request.url == notebook.as_uri() or wrong.append(request.url))
    page.goto(notebook.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("aside article").first.wait_for()
    assert "step 0" in frame.locator("aside").first.inner_text()
    frame.get_by_role("listbox").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    frame.locator("aside", has_text="step 2").first.wait_for()
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true; }")
    assert page.evaluate("window.ran") == 0 and wrong == []
    found = page.evaluate("[...document.body.querySelectorAll('*')].map(each => each.localName)")
    assert set(found) - {"iframe"} <= KNOWN.keys()
    page.close()


def test_the_static_form_passes_axe_on_a_light_and_a_dark_page(browser: Browser) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    made = Session(decodekit.testing.NGramAdapter(TEXT), "temperature=3 top_p=0.99", seed=3).generate(
        "the ", max_tokens=40
    )
    dist = decodekit.Distribution.dense([0.0, 1.0, 2.0])
    page = browser.new_page()
    page.set_content(
        "<!doctype html><html lang=en><title>notebook</title><style>:root { color-scheme: light dark }</style>"
        f"<main><h1>notebook</h1>{made.to_html()}{dist._repr_html_()}</main>"
    )
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert all(STYLES[band] in made.to_html() for band in range(1, 8))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.close()
