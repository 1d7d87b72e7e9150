"""What a record knows of a distribution that is gone: enough for the memories of most processors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from decodekit.disclosure import Tail
from decodekit.errors import TraceError

if TYPE_CHECKING:
    from decodekit.distribution import Distribution
    from decodekit.step import Step

__all__ = ["remembered"]


def remembered(step: Step, at: int, plugin: str) -> Distribution:
    """Stands for the distribution that part ``at`` of the chain was called with; the sampler is the last part.

    It knows ``tail``, ``support_size``, ``entropy``, and ``logprob`` and ``surprisal`` of the chosen token, each bit by
    bit as it was. Whoever asks for more gets a `TraceError` that names ``plugin``.
    """
    if at < len(step.entries) and step.entries[at].gave_up is not None:  # without its tail all its numbers are others
        return cast("Distribution", _Remembered(step, plugin, {}, None))
    before = step.entries[at - 1] if at else step.raw
    chosen = step.entries[at - 1].chosen if at else step.choice.raw_logprob
    known = {"support_size": before.support, "entropy": before.entropy, "logprob": chosen}
    return cast("Distribution", _Remembered(step, plugin, known, before.tail))


class _Remembered:
    def __init__(self, step: Step, plugin: str, known: dict[str, Any], tail: Tail | None) -> None:
        self._step, self._plugin, self._known, self.tail = step, plugin, known, tail

    def logprob(self, token_id: int) -> float:
        """Of the chosen token, in nats."""
        if token_id != self._step.token_id:
            self._miss("the log-probability of another token")
        value: float = self._fact("logprob")
        return value

    def surprisal(self, token_id: int) -> float:
        """Of the chosen token, in nats."""
        return -self.logprob(token_id)

    def __getattr__(self, name: str) -> Any:
        return self._fact(name)

    def _fact(self, name: str) -> Any:
        value = self._known.get(name)
        return self._miss(name) if value is None else value

    def _miss(self, what: str) -> Any:
        raise TraceError(
            f"{self._plugin!r} remembers {what} of step {self._step.index}, which this trace does not hold; "
            "level 'full' keeps it",
            step=self._step.index,
        )
