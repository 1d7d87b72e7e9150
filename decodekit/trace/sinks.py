"""Sinks: where the steps of a run go while it runs. ``trace=`` takes a path, a sink, or a list of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief
from decodekit.text.counted import counted
from decodekit.trace.ends import without_surplus
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.writer import TraceWriter
from decodekit.types import PathLike

__all__ = ["Jsonl", "Memory", "Sink", "SinkWriter", "TraceTarget", "sinks_of"]


class SinkWriter(Protocol):
    """Takes one run, in this order: steps, at most one block of resumptions among them, and the end.

    The token of a step is returned to the caller after ``write`` has returned. An exception ends the run, as a full
    disk does: what was generated before is in the error's ``partial``, and the step that was refused is not.

    ``close`` is called once, also after an error or an interrupt, and after an exception of the writer itself. The ends
    count the steps that every sink took; another sink may have refused the last step, which is then one more than the
    ends count (`decodekit.trace.ends.without_surplus`). What ``close`` returns is ignored.

    Optional: ``discard()`` is called in place of ``close`` if the run did not begin, because another sink could not be
    opened; without it ``close([])`` is called.
    """

    def write(self, step: Step, /) -> None: ...
    def resumed(self, resumption: Resumption, /) -> None: ...
    def close(self, ends: Sequence[SequenceEnd], /) -> object: ...


class Sink(Protocol):
    """Where runs go. ``open`` gets what a run starts from, before its first question, and returns what takes the run.

    A sink that serves one run at a time may return itself. One that serves many at once, such as the calls of an
    `AsyncSession`, returns a new writer for each. All methods of a writer are called by one thread at a time.
    """

    def open(self, header: Header, /) -> SinkWriter: ...


TraceTarget = PathLike | Sink | Sequence[PathLike | Sink]
"""What ``trace=`` takes: the path of a new file, a sink, or a list of both."""


class Jsonl:
    """A trace file in JSON Lines, the format that `verify`, `replay` and `resume` read.

    Each step is in the file, as far as a killed process is concerned, before its token is returned.

    Args:
        jsonl: the file; it must not exist.
        fsync: wait for the disk after each line, against power cuts.
        max_bytes: the longest that a file becomes, or None. So that all steps of the run have room, some are
            written without what proves their draw, without the model's answer and without leading tokens; the footer
            says how many. If even such a step has no room, the run ends with a `TraceError`, as on a full disk.
    """

    def __init__(self, *, jsonl: PathLike, fsync: bool = False, max_bytes: int | None = None) -> None:
        self.path = jsonl
        self.fsync = fsync
        self.max_bytes = None if max_bytes is None else whole(max_bytes, "max_bytes", 1, 2**63 - 1)

    def __repr__(self) -> str:
        return f"Jsonl(jsonl={os.fspath(self.path)!r})"

    def open(self, header: Header) -> TraceWriter:
        """Create the file. Raises `TraceError` as `TraceWriter`."""
        return TraceWriter(self.path, header, fsync=self.fsync, max_bytes=self.max_bytes)


class Memory:
    """Keeps the traces of runs in memory, in the order in which they began.

    A call that streams keeps no steps for its own result; this keeps them.

    Args:
        memory: the most traces that are kept, the last ones.

    Attributes:
        traces: of the runs; one without a footer has not ended.
    """

    def __init__(self, *, memory: int = 1000) -> None:
        self.traces: deque[Trace] = deque(maxlen=whole(memory, "memory", 1, 10**9))

    def __repr__(self) -> str:
        return f"Memory({counted(len(self.traces), 'trace')})"

    def open(self, header: Header) -> _MemoryWriter:
        """Begin another trace."""
        trace = Trace(header, [], None)
        self.traces.append(trace)
        return _MemoryWriter(self, trace)


class _MemoryWriter:
    def __init__(self, memory: Memory, trace: Trace) -> None:
        self._memory, self._trace = memory, trace

    def write(self, step: Step) -> None:
        self._trace.steps.append(step)

    def resumed(self, resumption: Resumption) -> None:
        self._trace.resumed.append(resumption)

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        self._trace.steps[:] = without_surplus(self._trace.steps, ends)
        self._trace.footer = Footer(list(ends), "")

    def discard(self) -> None:
        kept = [each for each in self._memory.traces if each is not self._trace]
        self._memory.traces.clear()
        self._memory.traces.extend(kept)


def sinks_of(target: Any) -> tuple[Sink, ...]:
    """The sinks that ``trace=`` names. A path that ends in ``.parquet`` is a Parquet file, any other one JSON Lines.

    Raises:
        ParameterError: it is no path, no sink and no list of them.
    """
    if target is None:
        return ()
    if isinstance(target, list | tuple):
        return tuple(_sink_of(each) for each in target)
    return (_sink_of(target),)


def _sink_of(target: Any) -> Sink:
    if isinstance(target, str | os.PathLike):
        if not os.fspath(target):
            raise ParameterError("trace is the path of a file, and this one is empty; leave it out for none")
        if Path(target).suffix.lower() == ".parquet":
            from decodekit.trace.parquet import Parquet  # it needs pyarrow, an extra

            return Parquet(parquet=target)
        return Jsonl(jsonl=target)
    if not callable(getattr(target, "open", None)) or isinstance(target, type):
        raise ParameterError(
            "trace is the path of a file, a sink (an object with a method open), or a list of them, "
            f"not {brief(target)}"
        )
    sink: Sink = target
    return sink
