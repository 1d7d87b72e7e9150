"""A run as a whole: its header, its steps and its footer; as bytes and as rows."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Self

from decodekit.errors import TraceError, brief
from decodekit.text.counted import counted
from decodekit.trace.collecting import stream
from decodekit.trace.ends import wrong_ends
from decodekit.trace.explanation import explain_step
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.lines import Lines
from decodekit.trace.notebook import as_html
from decodekit.trace.rows import row_of
from decodekit.trace.step import Step
from decodekit.trace.unpacking import TraceReader

__all__ = ["Trace"]


@dataclass(slots=True, eq=False)
class Trace:
    """A run: its header, its steps in the order they were made, and its footer.

    Args:
        header: what it started from.
        steps: one per token; `Step.stream` says of which sequence.
        footer: None if the run has no recorded end: the trace is incomplete.
        resumed: where it was resumed, if it was.
    """

    header: Header
    steps: list[Step]
    footer: Footer | None
    resumed: list[Resumption] = field(default_factory=list)

    def __eq__(self, other: object) -> bool:
        """Whether all that it says is equal; a digest of its contents is compared where both were written."""
        if not isinstance(other, Trace):
            return NotImplemented
        ours, theirs = self.footer, other.footer
        if ours is not None and theirs is not None and not (ours.contents and theirs.contents):
            theirs = replace(theirs, contents=ours.contents)
        return (self.header, self.steps, self.resumed, ours) == (other.header, other.steps, other.resumed, theirs)

    def __repr__(self) -> str:
        reasons = [] if self.footer is None else [str(end.finish_reason) for end in self.footer.ends]
        ends = "incomplete" if self.footer is None else ", ".join(dict.fromkeys(reasons)) or "no sequence"
        number = len(self.header.sequences)
        counts = f"{counted(len(self.steps), 'step')}, {counted(number, 'sequence')}, {self.header.level!r}"
        return f"Trace({counts}, seed={self.header.seed}, {ends})"

    def to_html(self) -> str:
        """Its texts with coloured tokens and its closest decisions, as static HTML; every text is escaped.

        At most 2,000 tokens are shown; what is left out is said.
        """
        chain = self.header.chain
        return as_html(
            self.header,
            self.steps,
            self.footer,
            check="decodekit.verify(trace) says what is proved",
            explain=lambda at: explain_step(self.steps[at], chain),
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    @property
    def by_provider(self) -> bool:
        """Whether the provider drew the tokens: neither a draw nor a reshaping was done here."""
        described = self.header.chain.get("sampler", {})
        return (described.get("distribution"), described.get("name")) == ("decodekit", "provider")

    def token_ids(self, stream: int = 0) -> list[int]:
        """The tokens of one sequence."""
        return [step.token_id for step in self.steps if step.stream == stream]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict of plain types for each step, for a table; its keys are those of `decodekit.trace.rows.row_of`."""
        return [row_of(step) for step in self.steps]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The steps as a stream of Arrow batches: ``pyarrow.table(trace)``, ``polars.DataFrame(trace)``.

        pandas and DuckDB read it too. The columns are those of a Parquet file; docs/traces.md describes them.

        Args:
            requested_schema: a schema of Arrow's C interface to cast to, if that is possible.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        return stream(self.header, self.steps).__arrow_c_stream__(requested_schema)

    def to_bytes(self) -> bytes:
        """The content of a trace file. An incomplete trace has no footer.

        Raises:
            TraceError: the footer counts other steps than there are, as after a streamed run, whose steps are only in
                its trace file.
        """
        wrong = self.wrong_ends()
        if self.footer is not None and wrong is not None:
            raise TraceError(wrong)
        lines = Lines()
        written = [lines.add(lines.header(self.header))]
        at = {resumption.steps: resumption for resumption in self.resumed}
        for number in range(len(self.steps) + 1):
            if number in at:
                written.append(lines.add(lines.resumed(at[number])))
            if number < len(self.steps):
                written.append(lines.add(lines.step(self.steps[number], number)))
        if self.footer is not None:
            written.append(lines.footer(self.footer.ends, self.footer.shortened)[0])
        return b"".join(written)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The trace that these bytes of a file hold, with the digests of its lines checked; as `decodekit.read_trace`.

        Raises:
            TraceError: another format, a damaged or incomplete line; ``step`` counts the intact steps before.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TraceError(f"from_bytes takes the bytes of a file, not {brief(data)}; read_trace takes its path")
        lines = ((line.rstrip(b"\n"), line.endswith(b"\n")) for line in io.BytesIO(data))
        reader = TraceReader(lines, "the data")
        steps = list(reader)
        return cls(reader.header, steps, reader.footer, reader.resumed)

    def wrong_ends(self) -> str | None:
        """What is wrong with the footer's ends: one per sequence, its tokens counted, a text for an error only."""
        return wrong_ends(self.header, Counter(step.stream for step in self.steps), self.footer)

    def ended_early(self) -> str | None:
        """Which sequence ended at a limit that it had not reached; None for none, as far as the record says.

        Where the provider drew, it counted: tokens that are no text, such as those of reasoning, and its own limits.
        Traces written before there was the reason 'context' say 'length' for a full context too.
        """
        ends = self.footer.ends if self.footer is not None and not self.by_provider else []
        for end in ends:
            reached = self._was_long_enough(end) or self._filled_the_context(end)
            if end.finish_reason == "length" and not reached:
                return f"stream {end.stream} ended as 'length' after {counted(end.tokens, 'token')}, with room for more"
            if end.finish_reason == "context" and not self._filled_the_context(end):
                return (
                    f"stream {end.stream} ended as 'context' after {counted(end.tokens, 'token')}, with room for more"
                )
        return None

    def _was_long_enough(self, end: SequenceEnd) -> bool:
        most = self.header.stop.get("max_tokens")
        return most is None or end.tokens >= most

    def _filled_the_context(self, end: SequenceEnd) -> bool:
        """Whether a sequence filled the context, with a token at least."""
        adapter = self.resumed[-1].adapter if self.resumed else self.header.adapter
        room = adapter.get("context_length")
        if not isinstance(room, int) or not adapter.get("deterministic"):  # a server counts in its own way
            return end.tokens > 0
        return end.tokens > 0 and len(self.prompt_of(end.stream)) + end.tokens > room > 0

    def prompt_of(self, stream: int) -> list[int]:
        """The prompt of one sequence. Raises `TraceError` for a stream the header does not name."""
        for known, prompt in self.header.sequences:
            if known == stream and 0 <= prompt < len(self.header.prompts):
                return self.header.prompts[prompt]
        raise TraceError(f"the header names no sequence with stream {stream}")
