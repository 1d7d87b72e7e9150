"""One browser for all tests of the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ..browser import chromium, page_with_modules

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Closed before tests elsewhere: while Playwright is open, its event loop is that of the thread."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """A page that can import the report's modules."""
    page = page_with_modules(browser)
    yield page
    page.close()
