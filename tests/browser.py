"""A real browser for tests: Chromium through Playwright. Tests that need it are skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

ASSETS = Path(__file__).parents[1] / "decodekit" / "report" / "assets"
_ORIGIN = "http://report.invalid"
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that was just started. ``DECODEKIT_CHROMIUM`` names the program, if it is not ``chromium``."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("DECODEKIT_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


def page_with_modules(browser: Browser) -> Page:
    """An empty page that can import the modules of the report: ``await import("/rng.js")``. Nothing else is served."""
    page = browser.new_page()
    page.route("**/*", _serve)
    page.goto(_ORIGIN + "/")
    return page


def _serve(route: Route) -> None:
    name = route.request.url.removeprefix(_ORIGIN + "/")
    if name == "":
        route.fulfill(body="<!doctype html><title>modules</title>", content_type="text/html")
    elif (ASSETS / name).is_file():
        route.fulfill(path=ASSETS / name, content_type="text/javascript")
    else:
        route.abort()
