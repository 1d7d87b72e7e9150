"""Whether the ends of a run fit its header and its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from decodekit.trace.header import Footer, Header, SequenceEnd
from decodekit.trace.step import Step

__all__ = ["without_surplus", "wrong_ends"]


def wrong_ends(header: Header, counts: Mapping[int, int], footer: Footer | None) -> str | None:
    """What is wrong with the footer's ends: one per sequence, its tokens counted, a text for an error only.

    Args:
        header: begins the sequences.
        counts: how many steps each stream has.
        footer: ends them.
    """
    ends = footer.ends if footer is not None else []
    streams = [stream for stream, _ in header.sequences]
    if [end.stream for end in ends] != streams:
        return f"the footer ends the streams {[end.stream for end in ends]}, the header begins {streams}"
    for end in ends:
        steps = counts.get(end.stream, 0)
        if steps != end.tokens:
            return (
                f"the footer counts {end.tokens} tokens in stream {end.stream}, and there are "
                f"{steps} steps; the steps of a streamed run are only in its trace file"
            )
        if (end.error is not None) != (end.finish_reason == "error") or end.error == "":
            return f"stream {end.stream} ended as {end.finish_reason!r}, with the error {end.error!r}"
    return None


def without_surplus(steps: Sequence[Step], ends: Sequence[SequenceEnd]) -> Sequence[Step]:
    """The steps without a last one that no end counts: a sink had it when another one refused it."""
    return steps[: sum(end.tokens for end in ends)]
