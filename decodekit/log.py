"""structlog events at the seams of the library; one call, never configured here.

An application that configured structlog gets the events there. One that did not gets them from the standard library's
logger named ``decodekit``, which is silent until somebody listens. Nothing is ever printed by default.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["get_logger"]

_standard = logging.getLogger("decodekit")
_standard.addHandler(logging.NullHandler())


def get_logger() -> Any:
    """The logger to use now. Ask for it at each event: the application may configure structlog at any time."""
    import structlog  # a quarter of what `import decodekit` would otherwise cost

    if structlog.is_configured():
        return structlog.get_logger("decodekit")
    return structlog.wrap_logger(
        _standard,
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
