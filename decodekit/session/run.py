"""One call as a state machine without I/O: it returns questions for the adapter, and takes the answers.

    while (question := run.question()) is not None:
        steps = run.take(answers to the question)

`decodekit.session.driving` records the steps; a driver asks the adapter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from decodekit.chain.batch import Drawn
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.randomness import Randomness
from decodekit.errors import DecodekitError, DistributionError, ParameterError, TraceError
from decodekit.model.adapter import Answer
from decodekit.model.prefix import Prefix
from decodekit.session.bans import Ban, HeldSteps
from decodekit.session.decided import Checkpoint, Decided
from decodekit.session.decoder import Decoder, draw_together
from decodekit.session.guessing import Guesses, guesses_of
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import Given, Prompt, as_given, as_prefix
from decodekit.session.result import Result
from decodekit.session.sequence import RunSequence, at_step
from decodekit.session.settings import Settings
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd, Trace, plain, template_digest
from decodekit.trace.step import FinishReason, Step

__all__ = ["Question", "Run"]


class Question(NamedTuple):
    """What to ask the adapter for: the distributions after these prefixes.

    Args:
        prefixes: one per active sequence, each followed by the guessed prefixes of that sequence.
        needs: what to disclose of each.
        entering: those of the prefixes whose sequence starts now: the prompts.
        tokens: how many tokens of prompts the adapter has not evaluated yet, at most.
    """

    prefixes: list[Prefix]
    needs: list[Disclosure]
    entering: list[Prefix]
    tokens: int = 0


class Run:
    """The sequences of one call.

    Args:
        settings: the session's.
        prompts: one or several.
        streams: of each sequence; the same number for each prompt, in the order of the prompts.
        options: the call's.
        ends_at: its deadline, on the clock of ``time.monotonic``; None for no deadline.
        past: the trace of an earlier part of the same run, to resume from.

    Raises:
        ParameterError: a prompt, a stop string, a stop id or a ban that is not valid.
        TraceError: ``past`` is not a part of this run.
    """

    def __init__(
        self,
        settings: Settings,
        prompts: Sequence[Prompt],
        streams: Sequence[int],
        options: GenerationOptions,
        ends_at: float | None = None,
        past: Trace | None = None,
    ) -> None:
        _check_stop_ids(settings, options)
        self.settings, self.options = settings, options
        self.ends_at = ends_at
        self.resumed: list[Resumption] = [] if past is None else past.resumed
        self.guesses = guesses_of(settings.guesser, settings.adapter, options.stop.max_tokens)
        self._raised: BaseException | None = None  # an error raised by the caller's ``until``
        prefixes = [as_prefix(settings.adapter, prompt, i) for i, prompt in enumerate(prompts)]
        samples = len(streams) // max(len(prefixes), 1)
        places = [(stream, i // samples) for i, stream in enumerate(streams)]
        self._places = dict(places)
        seed = Randomness(settings.seed if options.seed is None else options.seed).seed
        ban = _ban(settings, options)
        self.sequences = [
            RunSequence(self._decoder(Randomness(seed, stream), prefixes[at]), None if ban is None else HeldSteps(ban))
            for stream, at in places
        ]
        self._of = {sequence.stream: sequence for sequence in self.sequences}
        self._waiting = self.sequences[::-1]
        self._active: list[RunSequence] = []
        self._asked: list[RunSequence] = []
        self._entering: list[RunSequence] = []
        self._needs: list[Disclosure] = []
        header = _header(settings, options, seed, prefixes, places, as_given(settings.adapter, prompts))
        self.header = header if past is None else replace(past.header, stop=header.stop)
        self._recalled = [] if past is None else list(self._recall(past))

    def recalled(self) -> Iterator[Step]:
        """The recorded steps of ``past``, as steps of this run."""
        for sequence, checkpoint, step in self._recalled:
            yield from sequence.take_recorded(checkpoint, step)

    def question(self) -> Question | None:
        """What to ask now; None when all sequences have ended.

        A step whose answer disclosed too little is asked for again before any sequence continues. Sequences start in
        order, at most `AdapterInfo.concurrency` at a time.
        """
        self._entering = []
        if self._late():
            for sequence in self.sequences:
                if not sequence.finished:
                    sequence.decoder.finish("deadline")
        asked = [sequence for sequence in self._active if sequence.undecided] or self._enter()
        self._asked = asked
        if not asked:
            return None
        return Question(
            prefixes=[sequence.decoder.prefix for sequence in asked],
            needs=[sequence.need for sequence in asked],
            entering=[sequence.decoder.prefix for sequence in self._entering],
        )

    def guess(self) -> None:
        """Guess what follows the last question, unless a sequence asks again for the step that is being decided."""
        assert self.guesses is not None
        if not self._asked[0].undecided:
            self.guesses.make(self._asked)
        else:
            self.guesses.drop()

    def guessed(self, question: Question) -> Question:
        """The last question, and the guessed prefixes."""
        assert self.guesses is not None
        prefixes: list[Prefix] = []
        needs: list[Disclosure] = []
        for sequence, prefix, need in zip(self._asked, question.prefixes, question.needs, strict=True):
            chain = [prefix, *self.guesses.ahead(sequence)]
            prefixes += chain
            needs += [need] * len(chain)
        self._needs = question.needs
        return Question(prefixes, needs, question.entering, question.tokens)

    def at_its_step(self, error: DistributionError) -> DistributionError:
        """The error of all answers to the last question, with the step of its sequences if they share one."""
        steps = {len(sequence.decoder.output_ids) for sequence in self._asked}
        return at_step(error, steps.pop() if len(steps) == 1 else None)

    def take(self, answers: Sequence[Answer], waited: float = 0.0) -> Iterator[Step]:
        """Take the answers to the last question. Returns the new steps; each must be recorded and then confirmed.

        Args:
            answers: one per prefix, in order.
            waited: the seconds they took.
        """
        if self.guesses is not None:
            yield from self._take_guessed(self.guesses, answers, waited)
            return
        for sequence, answer, drawn in zip(self._asked, answers, self._drawn(answers), strict=True):
            yield from sequence.take(answer, waited=waited, last=self._last(sequence), drawn=drawn)

    @property
    def settles_later(self) -> bool:
        """Whether a step may be made while the next question is answered: `decide` and `settled`, in place of `take`.

        Not where ``until`` or a ban decides after each step whether and from where to go on.
        """
        return self.guesses is None and self.options.stop.until is None and not self.sequences[0].holds

    def decide(self, answers: Sequence[Answer], waited: float = 0.0) -> list[tuple[RunSequence, Decided]]:
        """As `take`; the tokens are chosen, and `settled` makes their steps."""
        decided = []
        for sequence, answer, drawn in zip(self._asked, answers, self._drawn(answers), strict=True):
            if sequence.finished:
                continue  # its last step failed while this was asked
            one = sequence.decide(answer, waited=waited, last=self._last(sequence), drawn=drawn)
            if one is not None:
                decided.append((sequence, one))
        return decided

    def settled(self, decided: Sequence[tuple[RunSequence, Decided]]) -> Iterator[Step]:
        """The steps of decided tokens; each must be recorded and then confirmed."""
        for sequence, one in decided:
            step = sequence.settle(one)
            if step is not None:
                yield step

    def rest(self) -> Iterator[Step]:
        """The steps that are still held when there is nothing more to ask."""
        for sequence in self.sequences:
            yield from sequence.settled()

    def confirm(self, step: Step, recorded: int) -> None:
        """Report that a step was recorded, and how many steps of its sequence are recorded now.

        Raises:
            BaseException: an error that the caller's ``until`` raised for a step, once that step is recorded.
        """
        sequence = self._of[step.stream]
        if self._raised is not None and recorded == len(sequence.decoder.output_ids):
            sequence.stop_for(self._raised)
            raise self._raised

    def broken_off(self, error: BaseException, recorded: Mapping[int, int]) -> None:
        """End every sequence because of this error; steps that were not recorded do not count."""
        for sequence in self.sequences:
            sequence.broken_off(error, recorded[sequence.stream])

    def ends(self, error: BaseException | None, recorded: Mapping[int, int]) -> list[SequenceEnd]:
        """How the sequences ended, for the record."""
        return [
            SequenceEnd(
                stream=sequence.stream,
                tokens=recorded[sequence.stream],
                finish_reason=sequence.decoder.finish_reason or "cancelled",
                error=str(sequence.error or error) if sequence.decoder.finish_reason == "error" else None,
            )
            for sequence in self.sequences
        ]

    def results(self, steps: list[Step], footer: Footer | None, recorded: Mapping[int, int]) -> list[Result]:
        """The results so far, one per sequence, with the recorded steps."""
        trace = Trace(self.header, steps, footer, self.resumed)
        return [self._result(sequence, recorded[sequence.stream], trace) for sequence in self.sequences]

    def ended(self, stream: int, recorded: int) -> Result | None:
        """The result of one sequence, without steps, if it has ended and all its steps are recorded; else None."""
        sequence = self._of[stream]
        if not sequence.finished or recorded != len(sequence.decoder.output_ids):
            return None
        return self._result(sequence, recorded, Trace(self.header, [], None, []))

    def trace_of(self, result: Result, steps: list[Step]) -> Trace:
        """The trace of one sequence that has ended, as if it were a run of its own."""
        header, place = self.header, self._places[result.stream]
        header = replace(
            header,
            prompts=[header.prompts[place]],
            sequences=[(result.stream, 0)],
            given=None if header.given is None else [header.given[place]],
        )
        error = None if result.error is None else str(result.error)
        end = SequenceEnd(result.stream, len(result.token_ids), result.finish_reason, error)
        return Trace(header, steps, Footer([end], ""))

    def _result(self, sequence: RunSequence, recorded: int, trace: Trace) -> Result:
        decoder = sequence.decoder
        return Result(
            text=decoder.text if recorded == len(decoder.output_ids) else decoder.text_of(recorded),
            token_ids=tuple(decoder.output_ids[:recorded]),
            finish_reason=decoder.finish_reason or "cancelled",
            seed=self.header.seed,
            trace=trace,
            stream=sequence.stream,
            error=sequence.error,
        )

    def _drawn(self, answers: Sequence[Answer]) -> Sequence[Drawn | None]:
        """What is drawn for all answers to the last question at once."""
        if len(answers) == 1:
            return (None,)
        shown = [answer if isinstance(answer, Distribution) else None for answer in answers]
        return draw_together([sequence.decoder for sequence in self._asked], shown)

    def _last(self, sequence: RunSequence) -> FinishReason | None:
        """Why the next token of this sequence is its last one; None where it need not be."""
        room = self.settings.adapter.info.context_length
        if room is not None and len(sequence.decoder.prefix) >= room:
            return "length"  # it fills the context
        return "deadline" if self._late() else None

    def _take_guessed(self, guesses: Guesses, answers: Sequence[Answer], waited: float) -> Iterator[Step]:
        """As `take`: each sequence also takes the answers to the guessed prefixes, as far as it goes there."""
        if not self._entering:
            guesses.answered(waited, len(self._asked))
        at = 0
        for sequence, need in zip(self._asked, self._needs, strict=True):
            yield from sequence.take(answers[at], waited=waited, last=self._last(sequence))
            ahead = guesses.ahead(sequence)
            known = right = 0
            for prefix, answer in zip(ahead, answers[at + 1 : at + 1 + len(ahead)], strict=True):
                if sequence.undecided or sequence.error is not None:
                    break
                known += 1
                if sequence.decoder.prefix != prefix:
                    break
                right += 1
                if sequence.finished or isinstance(answer, DecodekitError) or not guesses.usable(sequence, need):
                    break  # an error is asked for again, without the guess
                yield from sequence.take(answer, last=self._last(sequence))
            if ahead:
                guesses.learn(sequence, known, right)
            at += 1 + len(ahead)

    def _enter(self) -> list[RunSequence]:
        """The active sequences, and as many new ones as ``concurrency`` allows."""
        room = max(1, self.settings.adapter.info.concurrency)
        self._active = [sequence for sequence in self._active if not sequence.finished]
        while self._waiting and len(self._active) < room:
            entering = self._waiting.pop()
            if not entering.finished:
                self._active.append(entering)
                self._entering.append(entering)
        return self._active

    def _late(self) -> bool:
        return self.ends_at is not None and time.monotonic() >= self.ends_at

    def _decoder(self, randomness: Randomness, prefix: Prefix) -> Decoder:
        settings, stop = self.settings, self.options.stop
        return Decoder(
            settings.chain,
            randomness,
            prefix,
            stop if stop.until is None else replace(stop, until=self._until),
            settings.adapter.tokenizer,
            settings.on_undisclosed,
            level=self.options.level,
            top_logprobs=settings.top_logprobs,
            metadata=settings.metadata,
        )

    def _until(self, step: Step) -> bool:
        """The caller's ``until``. An error from it is kept, and raised after the step is recorded."""
        until = self.options.stop.until
        assert until is not None
        try:
            return until(step)
        except BaseException as error:
            self._raised = error
            return True

    def _recall(self, past: Trace) -> Iterator[tuple[RunSequence, Checkpoint | None, Step]]:
        """Advance the decoders through the recorded steps."""
        stopped = [end for end in (past.footer.ends if past.footer else ()) if end.finish_reason == "stop"]
        lasts = {(end.stream, end.tokens - 1) for end in stopped}
        for step in past.steps:
            sequence = self._of.get(step.stream)
            if sequence is None:
                raise TraceError(f"the header names no sequence with stream {step.stream}", step=step.index)
            last: FinishReason | None = "stop" if (step.stream, step.index) in lasts else None
            answer = step.answer(self.settings.adapter.info.vocab_size)
            checkpoint, again = sequence.repeat(step, answer, last)
            if self._raised is not None:
                raise self._raised
            yield sequence, checkpoint, again


def _check_stop_ids(settings: Settings, options: GenerationOptions) -> None:
    size, largest = settings.adapter.info.vocab_size, max(options.stop.ids, default=0)
    if size is not None and largest >= size:
        raise ParameterError(f"stop_ids: token id {largest} lies outside the vocabulary of {size} tokens")


def _ban(settings: Settings, options: GenerationOptions) -> Ban | None:
    if not options.ban:
        return None
    ban = Ban(options.ban, settings.adapter.tokenizer)
    if not settings.chain.pure:
        raise ParameterError("ban goes back and runs steps again, but a part of this chain must run only once per step")
    return ban


def _header(
    settings: Settings,
    options: GenerationOptions,
    seed: int,
    prefixes: Sequence[Prefix],
    places: list[tuple[int, int]],
    given: list[Given] | None,
) -> Header:
    stop = options.stop
    return Header(
        seed=seed,
        level=options.level,
        prompts=[list(prefix.token_ids) for prefix in prefixes],
        sequences=places,
        chain=settings.chain.describe(),
        adapter=plain(settings.adapter.info),
        on_undisclosed=settings.on_undisclosed,
        stop={
            "max_tokens": stop.max_tokens,
            "strings": list(stop.strings),
            "ids": sorted(stop.ids),
            **({"ban": list(options.ban)} if options.ban else {}),
        },
        top_logprobs=settings.top_logprobs,
        metadata=sorted(map(str, settings.metadata or ())),
        config=settings.config,
        chat_template=template_digest(settings.adapter),
        given=given,
    )
