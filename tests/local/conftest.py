"""What tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


@pytest.fixture
def logged_events() -> Iterator[list[Any]]:
    """The events of the log; afterwards structlog is as no application configured it."""
    with capture_logs() as events:
        yield events
    structlog.reset_defaults()
