"""The logger of the library: structlog events. This module never configures structlog.

An application that configured structlog gets the events there. Other applications get them from the standard library's
logger ``decodekit``, which is silent until a handler is added: the fields are in the message and, one by one, in the
record. Nothing is printed by default.

An event of a run carries the run's id, its adapter and the seconds since it began. A run logs with its own `RunLog`;
what an adapter logs while it answers a question carries the runs that asked, by `OfRuns`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from typing import Any

__all__ = ["OfRuns", "RunLog", "asking_runs", "get_logger"]

_OURS = "decodekit"
_runs: ContextVar[tuple[RunLog, ...]] = ContextVar("decodekit_runs", default=())


def get_logger(name: str = _OURS) -> Any:
    """The logger to use now. Call this for each event: the application may configure structlog at any time."""
    logger, asking = _plain_logger(name), _runs.get()
    if not asking:
        return logger
    if len(asking) == 1:
        return logger.bind(**asking[0].fields())
    return logger.bind(runs=[each.id for each in asking], adapter=asking[0].adapter)


def _plain_logger(name: str) -> Any:
    import structlog  # imported here because it would take a quarter of the time of `import decodekit`

    if structlog.is_configured():
        logger = structlog.get_logger(name)
        return logger if name == _OURS else logger.bind(logger=name)  # a logger that only prints has no name
    return structlog.wrap_logger(
        _standard_logger(name),
        processors=[structlog.stdlib.filter_by_level, _for_a_record],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


@cache
def _standard_logger(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.addHandler(logging.NullHandler())
    return logger


def _for_a_record(_: Any, __: str, event: MutableMapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of the standard logger's method: a formatter that shows only the message shows the fields too."""
    kept: dict[str, Any] = {key: event.pop(key) for key in ("exc_info", "stack_info") if key in event}
    fields = [(key, value) for key, value in event.items() if key != "event"]
    shown = [f"{key}={value}" if isinstance(value, int | float) else f"{key}={value!r}" for key, value in fields]
    return (" ".join([event["event"], *shown]),), {**kept, "extra": dict(event)}


class RunLog:
    """The events of one run.

    The logger is chosen once: at interpreter shutdown, when a stream that was left open ends, nothing can be imported.

    Args:
        adapter: the adapter's name.
    """

    __slots__ = ("_begun", "_logger", "adapter", "id")

    def __init__(self, adapter: str) -> None:
        self.id, self.adapter = secrets.token_hex(4), adapter
        self._begun, self._logger = time.monotonic(), _plain_logger(_OURS)

    def fields(self) -> dict[str, Any]:
        """What every event of the run carries."""
        return {"run": self.id, "adapter": self.adapter, "seconds": round(time.monotonic() - self._begun, 6)}

    def debug(self, event: str, **fields: Any) -> None:
        """Log an event of this run."""
        self._logger.debug(event, **self.fields(), **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event of this run that its caller should see."""
        self._logger.warning(event, **self.fields(), **fields)


def asking_runs() -> tuple[RunLog, ...]:
    """The runs for which a question is being asked now."""
    return _runs.get()


class OfRuns:
    """What is logged inside ``with OfRuns(runs)`` belongs to these runs.

    It is never around a ``yield``: what a caller does between two steps is not of the run.
    """

    __slots__ = ("_before", "_runs")

    def __init__(self, runs: Iterable[RunLog]) -> None:
        self._runs = tuple(runs)

    def __enter__(self) -> None:
        self._before = _runs.set(self._runs)

    def __exit__(self, *exception: object) -> None:
        with suppress(ValueError):  # a coroutine that was left behind is closed in another context, which has no runs
            _runs.reset(self._before)
