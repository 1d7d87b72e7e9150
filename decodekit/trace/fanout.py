"""The sinks of one run as one: what is written reaches all of them, and a failure names its sink."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from decodekit.errors import DecodekitError, PluginError, TraceError, brief, message_of
from decodekit.plugin.callback import comes_later
from decodekit.plugin.registry import name_of
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.sinks import Sink, SinkWriter
from decodekit.trace.step import Step
from decodekit.trace.writer import TraceWriter

__all__ = ["Fanout"]

_METHODS = ("write", "resumed", "close")


class Fanout:
    """Writes one run to several sinks, in their order, trace files last: they have no step that another sink refused.

    Args:
        sinks: where the run goes.
        header: what it starts from.

    Attributes:
        footer: that of the last trace file, and None before its end; without a trace file, what `close` was told.

    Raises:
        TraceError: a file cannot be created; nothing remains of the other sinks' files.
        PluginError: a sink raised; here and in all methods. Errors of decodekit's own pass as they are.
    """

    def __init__(self, sinks: Sequence[Sink], header: Header) -> None:
        self.footer: Footer | None = None
        self._process = os.getpid()
        self._writers: list[tuple[str, SinkWriter]] = []
        opened: list[tuple[str, SinkWriter]] = []
        try:
            for sink in sinks:
                name = name_of(sink)
                opened.append((name, _writer(name, _called(name, None, sink, "open", header))))
        except BaseException:
            for _, writer in opened:
                with suppress(Exception):
                    _discard(writer)
            raise
        self._writers = sorted(opened, key=lambda named: isinstance(named[1], TraceWriter))

    def write(self, step: Step) -> None:
        """Write one step to all.

        Raises:
            TraceError: this process is a fork of the one that began the run and writes its trace.
        """
        if self._process != os.getpid():
            raise TraceError("this process is a fork, and the run was begun before it; its trace is written there")
        for name, writer in self._writers:
            _called(name, step.index, writer, "write", step)

    def resumed(self, resumption: Resumption) -> None:
        """Write that the run was resumed."""
        for name, writer in self._writers:
            _called(name, None, writer, "resumed", resumption)

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        """Close all of them, whatever one of them raises; the first error, or an interrupt, is raised at the end."""
        if self._process != os.getpid():  # they are the parent's
            self.footer = Footer(list(ends), "")
            return
        failed: BaseException | None = None
        footers: list[Footer | None] = []
        for name, writer in self._writers:
            ended: Any = None
            try:
                ended = _called(name, None, writer, "close", ends)
            except BaseException as error:
                interrupts = not isinstance(error, DecodekitError) and isinstance(failed, DecodekitError)
                failed = error if failed is None or interrupts else failed
            if isinstance(writer, TraceWriter):
                footers.append(ended)
        self.footer = footers[-1] if footers else Footer(list(ends), "")
        if failed is not None:
            raise failed


def _called(name: str, step: int | None, owner: object, method: str, given: Any) -> Any:
    try:
        returned = getattr(owner, method)(given)
    except DecodekitError:
        raise
    except Exception as error:  # a third-party sink may raise anything
        why = f"the sink raised {type(error).__name__}: {message_of(error)}"
        raise PluginError(why, plugin=name, step=step) from error
    if comes_later(returned):
        raise _not_awaited(method, name)
    return returned


def _not_awaited(method: str, name: str) -> PluginError:
    return PluginError(f"the sink's {method} is not awaited; define it without async and yield", plugin=name)


def _writer(name: str, given: Any) -> SinkWriter:
    missing = [method for method in _METHODS if not callable(getattr(given, method, None))]
    if missing:
        raise PluginError(f"its open returned {brief(given)}, which has no method {missing[0]}", plugin=name)
    waits = [method for method in _METHODS if comes_later(getattr(given, method))]
    if waits:
        raise _not_awaited(waits[0], name)
    writer: SinkWriter = given
    return writer


def _discard(writer: SinkWriter) -> None:
    discard = getattr(writer, "discard", None)
    if callable(discard):
        discard()
    else:
        writer.close([])
