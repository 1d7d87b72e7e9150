"""Steps as events of structlog, at level debug."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from decodekit import Step
from decodekit.log import get_logger
from decodekit.trace import Header, Resumption, SequenceEnd

__all__ = ["Events"]


class Events:
    """An event ``step`` for each token: stream, step, token id, log-probability, rank, margin and entropy.

    They go where decodekit's other events go: to structlog if the application configured it, and else to the logger
    ``decodekit.steps`` of the standard library. ``sequence ended`` follows for each sequence.

    Args:
        text: also the text of each token, and the message of an error. It may be private, so it is left out otherwise.
    """

    def __init__(self, *, text: bool = False) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Events(text={self.text})"

    def open(self, header: Header) -> Events:
        """Nothing is kept of a run, so one sink serves all."""
        return self

    def write(self, step: Step) -> None:
        """Log a step."""
        choice = step.choice
        get_logger("decodekit.steps").debug(
            "step",
            stream=step.stream,
            step=step.index,
            token_id=step.token_id,
            logprob=choice.logprob,
            raw_logprob=choice.raw_logprob,
            rank=choice.rank,
            margin=choice.margin,
            entropy=step.raw.entropy,
            **({"text": step.text} if self.text else {}),
        )

    def resumed(self, resumption: Resumption) -> None:
        """Log that the run was resumed."""
        get_logger("decodekit.steps").debug("run resumed", steps=resumption.steps, cut=resumption.cut)

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        """Log how each sequence ended."""
        for end in ends:
            fields = asdict(end)
            if not self.text:
                del fields["error"]
            get_logger("decodekit.steps").debug("sequence ended", **fields)

    def discard(self) -> None:
        """The run did not begin: nothing was logged of it."""
