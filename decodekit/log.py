"""The logger of the library: structlog events. This module never configures structlog.

An application that configured structlog gets the events there. Other applications get them from the standard library's
logger named ``decodekit``, which is silent until a handler is added. Nothing is printed by default.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["get_logger"]

_standard = logging.getLogger("decodekit")
_standard.addHandler(logging.NullHandler())


def get_logger() -> Any:
    """The logger to use now. Call this for each event: the application may configure structlog at any time."""
    import structlog  # imported here because it would take a quarter of the time of `import decodekit`

    if structlog.is_configured():
        return structlog.get_logger("decodekit")
    return structlog.wrap_logger(
        _standard,
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
