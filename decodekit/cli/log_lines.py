"""The one event of the log that a user of the command has to know: that decodekit does not draw the tokens."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from decodekit.cli.output import say
from decodekit.log import get_logger
from decodekit.session.provider_draws import PROVIDER_DRAWS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["told_who_draws"]


class _WhoDraws(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Say the event in one line."""
        if getattr(record, "event", "") == PROVIDER_DRAWS:
            fields = vars(record)
            say(f"{PROVIDER_DRAWS}: {fields['why']}; {fields['consequence']}; {fields['remedy']}")


@contextmanager
def told_who_draws() -> Iterator[None]:
    """Inside, that event is a line on stderr too: the log is silent until a program configures it."""
    get_logger()  # it is made at its first use
    logger, handler = logging.getLogger("decodekit"), _WhoDraws(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
