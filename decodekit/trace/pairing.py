"""Which sequence of one trace belongs to which of another, and whether an id means the same token in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from decodekit.errors import TraceError
from decodekit.trace.header import SequenceEnd
from decodekit.trace.named_texts import named_texts
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["Pair", "Run", "ids_mean_the_same", "pairs_of"]


class Run:
    """A trace with the steps of each sequence at hand.

    Args:
        trace: the run.
        name: 'the first' or 'the second', for sentences.
    """

    def __init__(self, trace: Trace, name: str) -> None:
        self.trace, self.name, self.header = trace, name, trace.header
        self.steps: dict[int, list[Step]] = {stream: [] for stream, _ in trace.header.sequences}
        for step in trace.steps:
            if step.stream not in self.steps:
                raise TraceError(f"{name} trace has a step of stream {step.stream}, which its header does not name")
            if step.index != len(self.steps[step.stream]):
                raise TraceError(
                    f"{name} trace has step {step.index} of stream {step.stream} in place "
                    f"{len(self.steps[step.stream])}; the file was changed, or two runs are in it"
                )
            self.steps[step.stream].append(step)
        self._ends = {end.stream: end for end in trace.footer.ends} if trace.footer is not None else {}

    def end(self, stream: int) -> SequenceEnd | None:
        """How a sequence ended; None where no end is recorded."""
        return self._ends.get(stream)

    def finish_reason(self, stream: int) -> str:
        """Why a sequence ended; 'incomplete' where no end is recorded."""
        end = self.end(stream)
        return "incomplete" if end is None else str(end.finish_reason)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sequences that belong together, by their streams, and how that was found."""

    a: int
    b: int
    by: str


def pairs_of(a: Run, b: Run) -> tuple[list[Pair], list[int], list[int]]:
    """The pairs in the order of the first trace, and the streams of each that have no partner.

    Sequences of the same stream and prompt belong together, then those of the same prompt, then those of the same
    stream. Where each has one left, the two belong together too.
    """
    left = [stream for stream, _ in a.header.sequences]
    right = [stream for stream, _ in b.header.sequences]
    pairs: list[Pair] = []

    def take(by: str, fits: Callable[[int, int], bool]) -> None:
        for one in list(left):
            other = next((each for each in right if fits(one, each)), None)
            if other is not None:
                pairs.append(Pair(one, other, by))
                left.remove(one)
                right.remove(other)

    def same_prompt(one: int, other: int) -> bool:
        return a.trace.prompt_of(one) == b.trace.prompt_of(other)

    take("stream and prompt", lambda one, other: one == other and same_prompt(one, other))
    take("prompt", same_prompt)
    take("stream", lambda one, other: one == other)
    if len(left) == len(right) == 1:
        pairs.append(Pair(left.pop(), right.pop(), "order"))
    order = {stream: at for at, (stream, _) in enumerate(a.header.sequences)}
    return sorted(pairs, key=lambda pair: order[pair.a]), left, right


def ids_mean_the_same(a: Run, b: Run) -> bool:
    """Whether an id means the same token in both traces.

    Backends compute the fingerprint of a tokenizer in different ways, so another fingerprint alone says little: the
    recorded texts decide, of tokens of both traces whose whole text is recorded. Without any, other fingerprints do.
    """
    one, other = (run.header.adapter.get("tokenizer_fingerprint") or "" for run in (a, b))
    if one and one == other:
        return True
    texts_a, texts_b = _texts(a), _texts(b)
    shared = [token_id for token_id in texts_a if token_id in texts_b]
    if shared:
        agreeing = sum(bool(texts_a[token_id] & texts_b[token_id]) for token_id in shared)
        return 2 * agreeing > len(shared)  # the text of half a character differs with the other half
    if set().union(*texts_a.values()) & set().union(*texts_b.values()):
        return False  # the same texts, and never the same id
    return not (one and other) and a.header.adapter.get("vocab_size") == b.header.adapter.get("vocab_size")


def _texts(run: Run) -> dict[int, set[str]]:
    """The texts that each id has added; a text may have held back part of it, so an id may have several."""
    found: dict[int, set[str]] = {}
    for step in run.trace.steps:
        for token_id, text in named_texts(step.schedule).items():
            found.setdefault(token_id, set()).add(text)
        if step.text and "\ufffd" not in step.text:
            found.setdefault(step.token_id, set()).add(step.text)
    return found
