"""Whether the ends in a footer fit the header and the steps above it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from decodekit.trace.header import Footer, Header
from decodekit.trace.step import Step

__all__ = ["wrong_ends"]


def wrong_ends(header: Header, steps: Sequence[Step], footer: Footer | None) -> str | None:
    """What is wrong with the footer's ends: one per sequence, its tokens counted, a text for an error only."""
    ends = footer.ends if footer is not None else []
    streams = [stream for stream, _ in header.sequences]
    if [end.stream for end in ends] != streams:
        return f"the footer ends the streams {[end.stream for end in ends]}, the header begins {streams}"
    counts = Counter(step.stream for step in steps)
    for end in ends:
        if counts[end.stream] != end.tokens:
            return (
                f"the footer counts {end.tokens} tokens in stream {end.stream}, and there are "
                f"{counts[end.stream]} steps; the steps of a streamed run are only in its trace file"
            )
        if (end.error is not None) != (end.finish_reason == "error") or end.error == "":
            return f"stream {end.stream} ended as {end.finish_reason!r}, with the error {end.error!r}"
    return None
