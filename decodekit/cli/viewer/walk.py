"""Where a reader is in a run, and where the keys lead."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from decodekit.view.run_story import RunStory, SequenceStory

__all__ = ["Walk"]

_TENTH = 10  # a step is close, or uncertain, if it is among the tenth of its sequence that is most so


class Walk:
    """A place in a run: a sequence, and a token of it.

    Args:
        run: the story of the run.

    Attributes:
        sequence: the number of the sequence in the run.
        at: the number of the token in the sequence.
    """

    def __init__(self, run: RunStory) -> None:
        self.run = run
        self.sequence = 0
        self.at = 0
        members: dict[int, list[int]] = {each.stream: [] for each in run.sequences}
        for index, stream in enumerate(run.tokens.stream):
            members.setdefault(stream, []).append(index)
        self._members = list(members.items())

    @property
    def indices(self) -> Sequence[int]:
        """The tokens of this sequence, as indices into the columns of the run."""
        return self._members[self.sequence][1] if self._members else []

    @property
    def index(self) -> int | None:
        """This token as an index into the columns of the run; None in a sequence without tokens."""
        return self.indices[self.at] if self.indices else None

    @property
    def sequences(self) -> int:
        """How many sequences there are."""
        return len(self._members)

    @property
    def streams(self) -> list[int]:
        """Their streams."""
        return [stream for stream, _ in self._members]

    @property
    def texts(self) -> list[str]:
        """What each token of this sequence added to the text; where none has a text, their ids."""
        tokens = self.run.tokens
        texts = [tokens.text[i] for i in self.indices]
        return texts if any(texts) else [f"#{tokens.token_id[i]} " for i in self.indices]

    @property
    def told(self) -> SequenceStory | None:
        """What is known of this sequence; None for one that the header does not name."""
        stream = self._members[self.sequence][0] if self._members else None
        return next((each for each in self.run.sequences if each.stream == stream), None)

    def step(self, by: int) -> None:
        """Go some tokens on, or back where the number is negative, as far as there are any."""
        self.go(self.at + by)

    def go(self, at: int) -> None:
        """Go to a token of this sequence, or to the nearest that there is."""
        self.at = max(0, min(at, len(self.indices) - 1))

    def turn(self, by: int) -> None:
        """Go to another sequence, at the same place where it is long enough; after the last comes the first."""
        if self._members:
            self.sequence = (self.sequence + by) % len(self._members)
            self.go(self.at)

    def turn_to(self, stream: int) -> bool:
        """Go to the sequence with this stream. False where there is none."""
        if stream not in self.streams:
            return False
        self.turn(self.streams.index(stream) - self.sequence)
        return True

    def next_close(self) -> bool:
        """Go to the next of the tenth of the tokens with the smallest margins. False where no margin is known."""
        margins = self.run.tokens.margin
        return self._next([None if (margin := margins[i]) is None else -margin for i in self.indices])

    def next_uncertain(self) -> bool:
        """Go to the next of the tenth of the tokens with the highest entropy. False where no entropy is known."""
        entropies = self.run.tokens.entropy
        return self._next([entropies[i] for i in self.indices])

    def find(self, wanted: str) -> bool:
        """Go to the next token in which this text begins, in upper or lower case. False where it is not found."""
        texts = [text.casefold() for text in self.texts]
        starts = [0, *accumulate(map(len, texts))]
        whole, sought = "".join(texts), wanted.casefold()
        if not sought or not texts:
            return False
        found = whole.find(sought, starts[self.at + 1])
        if found < 0:
            found = whole.find(sought)
        if found >= 0:
            self.go(bisect_right(starts, found) - 1)
        return found >= 0

    def _next(self, values: list[float | None]) -> bool:
        """Go to the next of the tenth with the largest values, from the end to the beginning again."""
        known = sorted(((value, at) for at, value in enumerate(values) if value is not None), reverse=True)
        chosen = sorted(at for _, at in known[: max(1, len(values) // _TENTH)])
        if chosen:
            self.go(next((at for at in chosen if at > self.at), chosen[0]))
        return bool(chosen)
