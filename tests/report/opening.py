"""Reports opened in a browser, with everything noted that a page must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decodekit.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page, and what it did.

    Args:
        page: the page.
        address: of its file.
        errors: exceptions and messages of the console that tell of an error, such as a broken policy.
        requests: all that it asked for beside its own file.
        dialogs: what it showed.
    """

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())

    @property
    def behaved(self) -> bool:
        return (self.errors, self.requests, self.dialogs) == ([], [], [])


@contextmanager
def opened(
    browser: Browser, traces: Any, folder: Path, *, tokenizer: Any = None, anchor: str = "", **context: Any
) -> Iterator[Opened]:
    """Write a report and open it from its file; ready when a step is shown, or a warning says that there is none."""
    written = write_report(traces, folder / "report.html", tokenizer=tokenizer)
    made = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    page = made.new_page()
    found = Opened(page, written.as_uri())
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("console", lambda message: message.type == "error" and found.errors.append(message.text))
    page.on(
        "request", lambda request: request.url.split("#")[0] != found.address and found.requests.append(request.url)
    )
    page.on("dialog", lambda dialog: (found.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(found.address + anchor)
    page.wait_for_selector("aside article, .warning")
    yield found
    made.close()
