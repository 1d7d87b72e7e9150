"""Which sequences of a run wait, which run, and how the others ended.

A sequence is made when it starts, and of one that has ended only its outcome is kept. So a run takes memory for the
sequences that run at the same time, for the outcomes, and for the prompts that it was given in a list; where they come
from an iterator, an outcome that was handed out is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from decodekit.draw.whole import whole
from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.session.prompts import Given, Prompt, as_given, as_prefix
from decodekit.session.result import Result, Usage
from decodekit.session.schema import Schema
from decodekit.session.sequence import RunSequence
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tool_call import ToolCall
from decodekit.trace.step import FinishReason
from decodekit.trace.trace import Trace

__all__ = ["Entrant", "Outcome", "Roster", "listed", "one_by_one"]


class Entrant(NamedTuple):
    """A sequence that has not started.

    Args:
        stream: its stream.
        prefix: its prompt, or why it is none.
        given: the prompt as it was given, where the record wants that.
    """

    stream: int
    prefix: Prefix | DecodekitError
    given: Given


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sequence ended: a `Result` without what the sequences of a run share. Its arguments are those."""

    stream: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    error: DecodekitError | None
    usage: Usage = field(default_factory=lambda: Usage(None, 0, None))
    complete: bool | None = None
    parts: tuple[str, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    @classmethod
    def of(cls, sequence: RunSequence, recorded: int) -> Self:
        """The outcome of a sequence of which this many steps are recorded; 'cancelled' if it has not ended."""
        decoder = sequence.decoder
        return cls(
            stream=sequence.stream,
            text=decoder.text if recorded == len(decoder.output_ids) else decoder.text_of(recorded),
            token_ids=tuple(decoder.output_ids[:recorded]),
            finish_reason=decoder.finish_reason or "cancelled",
            error=sequence.error,
            usage=_usage(sequence, recorded),
            complete=sequence.complete,
            parts=sequence.parts,
            tool_calls=sequence.tool_calls,
        )

    def result(self, trace: Trace, seed: int, schema: Schema | None, tokenizer: Tokenizer | None) -> Result:
        """The result, with what the sequences of a run share."""
        return Result(
            text=self.text,
            token_ids=self.token_ids,
            finish_reason=self.finish_reason,
            seed=seed,
            trace=trace,
            stream=self.stream,
            error=self.error,
            usage=self.usage,
            complete=self.complete,
            schema=schema,
            parts=self.parts,
            tool_calls=self.tool_calls,
            tokenizer=tokenizer,
        )

    @classmethod
    def without_tokens(cls, stream: int, reason: FinishReason, error: BaseException | None = None) -> Self:
        """The outcome of a sequence that never started."""
        return cls(stream, "", (), reason, error if isinstance(error, DecodekitError) else None)


def _usage(sequence: RunSequence, recorded: int) -> Usage:
    """What is counted here, or by the provider that drew the tokens, where it says so."""
    counts = sequence.counts
    told = (None, None, None) if counts is None else (
        counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens
    )  # fmt: skip
    own = sequence.decoder.prompt_tokens, recorded, sequence.cached_tokens
    prompt, completion, cached = (ours if theirs is None else theirs for ours, theirs in zip(own, told, strict=True))
    return Usage(prompt, completion or 0, cached)


class Roster:
    """The sequences of a run.

    Args:
        waiting: those that have not started, in order.
        make: makes one. Where it raises a `DecodekitError`, the sequence ends with that.
        keep: whether outcomes are kept that were handed out.

    Attributes:
        running: the sequences that have started, by stream, until their last step is recorded.
        active: those of them that have not ended.
        outcomes: of the sequences that have ended, by stream.
        forgotten: the streams whose outcomes were forgotten; whoever reads them clears the list.
        read: whether nothing waits any more.
        done, failed, tokens: how many have ended, how many with an error, and the tokens of all that have ended.
    """

    def __init__(self, waiting: Iterable[Entrant], make: Callable[[Entrant], RunSequence], *, keep: bool) -> None:
        self.running: dict[int, RunSequence] = {}
        self.active: list[RunSequence] = []
        self.outcomes: dict[int, Outcome] = {}
        self.forgotten: list[int] = []
        self.read = False
        self.done = self.failed = self.tokens = 0
        self._reasons: set[str] = set()
        self._waiting, self._make, self._keep = iter(waiting), make, keep
        self._first: list[Entrant] = []
        self._entrants: dict[int, Entrant] = {}
        self._handed: set[int] = set()
        self._unseen: list[int] = []

    def prepare(self, count: int | None) -> None:
        """Make the first sequences now; all with None. What is wrong with the options of all is raised here.

        Raises:
            DecodekitError: what ``make`` raised.
        """
        while count is None or len(self._first) < count:
            entrant = next(self._waiting, None)
            if entrant is None:
                return
            self._first.append(entrant)
            self._entrants[entrant.stream] = entrant
            if isinstance(entrant.prefix, Prefix):
                self.running[entrant.stream] = self._make(entrant)

    def can_start(self, room: int) -> bool:
        """Whether a sequence may start now, with room for so many at a time."""
        return not self.read and sum(not sequence.finished for sequence in self.active) < room

    def start(self, room: int) -> list[RunSequence]:
        """Start as many sequences as there is room for. Returns those that have started."""
        self.retire()
        self.active = [sequence for sequence in self.active if not sequence.finished]
        started: list[RunSequence] = []
        while len(self.active) < room and (entrant := self._next()) is not None:
            sequence = self._started(entrant)
            if sequence is not None:
                self.active.append(sequence)
                started.append(sequence)
        return started

    def retire(self) -> None:
        """Keep only the outcome of each sequence that has ended and whose steps are all recorded."""
        for sequence in list(self.running.values()):
            if _over(sequence):
                self._end(Outcome.of(sequence, sequence.recorded))

    def drop_waiting(self, reason: FinishReason, error: BaseException | None = None) -> None:
        """End all sequences that wait, for this reason; those of an iterator are left in it."""
        if not self._keep:
            self._waiting = iter(())
        while (entrant := self._next()) is not None:
            if entrant.stream not in self.running:
                self._entrants[entrant.stream] = entrant
                self._end(Outcome.without_tokens(entrant.stream, reason, error))

    def completed(self, stream: int) -> Outcome | None:
        """The outcome of a running sequence if it has ended and all its steps are recorded. It is handed out then."""
        sequence = self.running.get(stream)
        if sequence is None or not _over(sequence):
            return None
        self._handed.add(stream)
        return Outcome.of(sequence, sequence.recorded)

    def unseen(self) -> list[Outcome]:
        """The outcomes that were not handed out by `completed`: of sequences that ended without a last step."""
        found = [self.outcomes[stream] for stream in self._unseen]
        self._handed.update(self._unseen)
        self._unseen.clear()
        return found

    def forget(self) -> None:
        """Forget the outcomes that were handed out."""
        if not self._keep:
            for stream in [stream for stream in self._handed if stream in self.outcomes]:
                self._forget(stream)

    def handed_out(self, stream: int) -> bool:
        return stream in self._handed

    def entrant(self, stream: int) -> Entrant:
        """The start of a sequence that is not forgotten."""
        return self._entrants[stream]

    def reasons(self) -> list[str]:
        """Why sequences have ended, for the log."""
        return sorted({*self._reasons, *(str(each.decoder.finish_reason) for each in self.running.values())})

    def streams(self) -> list[int]:
        """The streams of the sequences that have started or ended, and are not forgotten."""
        return sorted({*self.running, *self.outcomes})

    def outcome(self, stream: int, recorded: int) -> Outcome:
        """How a sequence has ended, or stands now."""
        known = self.outcomes.get(stream)
        if known is not None:
            return known
        sequence = self.running.get(stream)
        return Outcome.without_tokens(stream, "cancelled") if sequence is None else Outcome.of(sequence, recorded)

    def _next(self) -> Entrant | None:
        while not self.read:
            entrant = self._first.pop(0) if self._first else next(self._waiting, None)
            if entrant is None:
                self.read = True
            elif entrant.stream not in self.outcomes:
                return entrant
        return None

    def _started(self, entrant: Entrant) -> RunSequence | None:
        """The sequence, unless it has ended as soon as it was made."""
        self._entrants[entrant.stream] = entrant
        sequence = self.running.get(entrant.stream)
        if sequence is None:
            try:
                if isinstance(entrant.prefix, DecodekitError):
                    raise entrant.prefix
                sequence = self._make(entrant)
            except DecodekitError as error:
                self._end(Outcome.without_tokens(entrant.stream, "error", error))
                return None
            self.running[entrant.stream] = sequence
        if not sequence.finished:
            return sequence
        if _over(sequence):
            self._end(Outcome.of(sequence, sequence.recorded))
        return None

    def _end(self, outcome: Outcome) -> None:
        stream = outcome.stream
        self.outcomes[stream] = outcome  # first: an interrupt may come at the next call
        self.running.pop(stream, None)
        self.done += 1
        self._reasons.add(outcome.finish_reason)
        self.failed += outcome.finish_reason == "error"
        self.tokens += len(outcome.token_ids)
        if stream not in self._handed:
            self._unseen.append(stream)

    def _forget(self, stream: int) -> None:
        del self.outcomes[stream], self._entrants[stream]
        self._handed.discard(stream)
        self.forgotten.append(stream)


def _over(sequence: RunSequence) -> bool:
    """Whether it has ended and all its steps are recorded."""
    return sequence.finished and sequence.recorded == len(sequence.decoder.output_ids)


def listed(
    adapter: Adapter | AsyncAdapter, prompts: Sequence[Prompt], streams: Sequence[int]
) -> tuple[list[Prefix], list[tuple[int, int]], list[Given] | None, Iterator[Entrant]]:
    """Prompts that are known before the run: their prefixes, (stream, prompt) of each sequence, what was given.

    Args:
        adapter: the model.
        prompts: in any form.
        streams: of each sequence; the same number for each prompt, in the order of the prompts.

    Raises:
        ParameterError: a prompt is not valid, or two sequences have one stream.
    """
    prefixes = [as_prefix(adapter, prompt, i) for i, prompt in enumerate(prompts)]
    samples = len(streams) // max(len(prefixes), 1)
    places = [(stream, i // samples) for i, stream in enumerate(streams)]
    if len(dict(places)) != len(places):
        raise ParameterError("two sequences of one run have the same stream, and so the same noise; give each its own")
    given = as_given(adapter, prompts)
    entrants = (Entrant(stream, prefixes[at], None if given is None else given[at]) for stream, at in places)
    return prefixes, places, given, entrants


def one_by_one(adapter: Adapter | AsyncAdapter, prompts: Iterable[Prompt], n: int, first: int) -> Iterator[Entrant]:
    """The sequences of prompts that are read when there is room, ``n`` of each, as `prompts_and_streams` numbers them.

    What is no prompt ends its own sequences with that error.
    """
    for i, prompt in enumerate(prompts):
        prefix: Prefix | DecodekitError
        given: Given = None
        try:
            prefix = as_prefix(adapter, prompt, i)
            given = (as_given(adapter, [prompt]) or [None])[0]
        except DecodekitError as error:
            prefix = error
        for j in range(n):
            yield Entrant(whole(first + (i << 32 | j), "the stream of a sequence", 0, 2**64 - 1), prefix, given)
