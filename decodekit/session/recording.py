"""Recording the steps of a run: a file, a list, and a count for each sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from decodekit.errors import DecodekitError
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.step import Step
from decodekit.trace.writer import TraceWriter
from decodekit.types import PathLike

__all__ = ["Recorder"]


class Recorder:
    """Records the steps of one run. A step counts once it is recorded, and is returned after that.

    Args:
        header: what the run starts from.
        path: the file of the trace; None writes none.
        keep: whether the steps are kept in `steps` too.

    Attributes:
        counts: how many steps of each stream are recorded.
        forgotten: how many steps were recorded of streams that have no count any more.
        steps: the recorded steps, if they are kept.
        footer: how the run ended; None before the end, or if the footer could not be written.

    Raises:
        TraceError: the file exists or cannot be created; later, a line could not be written in full.
    """

    def __init__(self, header: Header, path: PathLike | None, *, keep: bool) -> None:
        self.counts: Counter[int] = Counter()
        self.forgotten = 0
        self.steps: list[Step] = []
        self.footer: Footer | None = None
        self._keep = keep
        self._writer = None if path is None else TraceWriter(path, header)

    def record(self, step: Step) -> None:
        """Record one step: in the file first."""
        if self._writer is not None:
            self._writer.write(step)
        if self._keep:
            self.steps.append(step)
        self.counts[step.stream] += 1

    def forget(self, streams: Iterable[int]) -> None:
        """Keep no counts of sequences that have ended; of a run without a file, whose steps are not kept."""
        for stream in streams:
            self.forgotten += self.counts.pop(stream, 0)

    def resumed(self, resumptions: Sequence[Resumption]) -> None:
        """Record that the run was resumed."""
        if self._writer is not None:
            for resumption in resumptions:
                self._writer.resumed(resumption)

    def close(self, ends: Sequence[SequenceEnd], error: BaseException | None) -> None:
        """Write the footer. After an interrupt in the middle of a step there is none: the trace is then incomplete.

        Raises:
            TraceError: the footer could not be written, and there was no ``error`` before.
        """
        if self._keep and len(self.steps) != self.counts.total():
            del self.steps[self.counts.total() :]
        if self._writer is None:
            self.footer = Footer(list(ends), "")
            return
        try:
            self.footer = self._writer.close(ends)
        except DecodekitError:
            if error is None:
                raise
