"""A trace that is read step by step: its header at once, and how it ended once all steps were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from decodekit.errors import TraceError
from decodekit.trace.header import Footer, Header, Resumption
from decodekit.trace.named_texts import named_texts
from decodekit.trace.reader import TraceReader, open_trace
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["Opened"]


class Opened:
    """A trace, or a file of one, of which one step at a time is in memory.

    Args:
        given: the trace, or the path of its file.
        name: 'the first' or 'the second', for sentences.

    Attributes:
        header: what the run started from.
        bare: the trace without its steps.
        footer, resumed: once all steps were read.

    Raises:
        TraceError: a file has no usable header; or no steps were kept.
    """

    def __init__(self, given: Trace | PathLike, name: str) -> None:
        self.name, self._given = name, given
        self._source: Trace | TraceReader = given if isinstance(given, Trace) else open_trace(given)
        self.header: Header = self._source.header
        self.bare = Trace(self.header, [], None)
        self.footer: Footer | None = None
        self.resumed: list[Resumption] = []
        if self.header.level == "none":
            raise TraceError(f"{name} run was made with level 'none': nothing was recorded")
        wrong = given.wrong_ends() if isinstance(given, Trace) and given.footer is not None else None
        if wrong is not None:
            raise TraceError(f"{name} trace: {wrong}")

    def steps(self) -> Iterator[Step]:
        """Its steps, once.

        Raises:
            TraceError: the file is damaged; or a step does not follow the one before it in its sequence.
        """
        lengths = dict.fromkeys((stream for stream, _ in self.header.sequences), 0)
        for step in _steps(self._source):
            length = lengths.get(step.stream)
            if length is None:
                raise TraceError(
                    f"{self.name} trace has a step of stream {step.stream}, which its header does not name"
                )
            if step.index != length:
                raise TraceError(
                    f"{self.name} trace has step {step.index} of stream {step.stream} in place {length}; the file was "
                    "changed, or two runs are in it"
                )
            lengths[step.stream] = length + 1
            yield step
        self.footer, self.resumed = self._source.footer, self._source.resumed

    def finish_reason(self, stream: int) -> tuple[str, str | None]:
        """Why a sequence ended, 'incomplete' where no end is recorded; and the error it ended in."""
        ends = {end.stream: end for end in self.footer.ends} if self.footer is not None else {}
        return (str(ends[stream].finish_reason), ends[stream].error) if stream in ends else ("incomplete", None)

    def calls(self, stream: int) -> list[tuple[str, str]] | None:
        """The name and the arguments of each call of a tool in a sequence; None where no end is recorded."""
        if self.footer is None:
            return None
        return [
            (call.name, call.arguments) for end in self.footer.ends if end.stream == stream for call in end.tool_calls
        ]

    def texts(self) -> dict[int, set[str]]:
        """The texts that each id has added. A text may have held back part of it, so an id may have several."""
        found: dict[int, set[str]] = {}
        again = self._given if isinstance(self._given, Trace) else open_trace(self._given)
        for step in again.steps if isinstance(again, Trace) else again.intact():
            for token_id, text in named_texts(step.schedule).items():
                found.setdefault(token_id, set()).add(text)
            if step.text and "\ufffd" not in step.text:
                found.setdefault(step.token_id, set()).add(step.text)
        return found


def _steps(source: Trace | TraceReader) -> Iterable[Step]:
    return source.steps if isinstance(source, Trace) else source
