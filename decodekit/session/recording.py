"""Recording the steps of a run: its sinks, a list, and a count for each sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from decodekit.errors import DecodekitError
from decodekit.trace.fanout import Fanout
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.sinks import Sink
from decodekit.trace.step import Step

__all__ = ["Recorder"]


class Recorder:
    """Records the steps of one run. A step counts once it is recorded, and is returned after that.

    Args:
        header: what the run starts from.
        sinks: where the steps are written.
        keep: whether the steps are kept in `steps` too.

    Attributes:
        counts: how many steps of each stream are recorded.
        forgotten: how many steps were recorded of streams that have no count any more.
        steps: the recorded steps, if they are kept.
        footer: how the run ended; None before the end, or if the footer could not be written.

    Raises:
        TraceError: a file exists or cannot be created; later, a line could not be written in full.
        PluginError: another sink raised, here or later.
    """

    def __init__(self, header: Header, sinks: Sequence[Sink], *, keep: bool) -> None:
        self.counts: Counter[int] = Counter()
        self.forgotten = 0
        self.steps: list[Step] = []
        self.footer: Footer | None = None
        self._keep = keep
        self._sinks = Fanout(sinks, header)

    def record(self, step: Step) -> None:
        """Record one step: in the sinks first."""
        self._sinks.write(step)
        if self._keep:
            self.steps.append(step)
        self.counts[step.stream] += 1

    def forget(self, streams: Iterable[int]) -> None:
        """Keep no counts of sequences that have ended; of a run without a file, whose steps are not kept."""
        for stream in streams:
            self.forgotten += self.counts.pop(stream, 0)

    def resumed(self, resumptions: Sequence[Resumption]) -> None:
        """Record that the run was resumed."""
        for resumption in resumptions:
            self._sinks.resumed(resumption)

    def close(self, ends: Sequence[SequenceEnd], error: BaseException | None) -> None:
        """Close the sinks. After an interrupt in the middle of a step a trace file gets no footer: it is incomplete.

        Raises:
            TraceError, PluginError: a sink could not be closed, and there was no ``error`` before.
        """
        if self._keep and len(self.steps) != self.counts.total():
            del self.steps[self.counts.total() :]
        try:
            self._sinks.close(ends)
        except DecodekitError:
            if error is None:
                raise
        finally:
            self.footer = self._sinks.footer
