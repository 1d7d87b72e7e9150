"""One call as a state machine without I/O: it returns questions for the adapter, and takes the answers.

    while (question := run.question()) is not None:
        steps = run.take(answers to the question)

`decodekit.session.driving` records the steps; a driver asks the adapter.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from decodekit.chain.batch import Drawn
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.randomness import Randomness
from decodekit.errors import DecodekitError, DistributionError, ParameterError, TraceError
from decodekit.log import OfRuns, RunLog
from decodekit.model.ahead import ahead_pays
from decodekit.model.asking import cached_tokens
from decodekit.model.company import SharedAnswers
from decodekit.model.drawn import Taken
from decodekit.model.prefix import Prefix
from decodekit.plugin.callback import comes_later
from decodekit.session.decided import Checkpoint, Decided
from decodekit.session.guessing import Guesses, guesses_of
from decodekit.session.making import CallersUntil, SequenceMaker
from decodekit.session.opening import ban_of, check_options, header_of
from decodekit.session.options import GenerationOptions
from decodekit.session.progress import Progress
from decodekit.session.prompts import Given, Prompt, are_conversations
from decodekit.session.provider_draws import drawn_by_provider
from decodekit.session.question import Question
from decodekit.session.result import Result
from decodekit.session.roster import Outcome, Roster, listed, one_by_one
from decodekit.session.sequence import RunSequence, at_step
from decodekit.session.settings import Settings
from decodekit.session.together import Row, draw_for_all, draw_together
from decodekit.trace.header import Footer, Resumption, SequenceEnd
from decodekit.trace.step import FinishReason, Step
from decodekit.trace.trace import Trace

__all__ = ["Run"]


class Run:
    """The sequences of one call.

    Args:
        settings: the session's.
        prompts: one or several; with ``streams=None`` any iterable, read when there is room for another sequence.
        streams: of each sequence; the same number for each prompt, in the order of the prompts. None for ``options.n``
            sequences of each prompt, on the streams of `prompts_and_streams`; a trace file is refused then, because
            its first line names the prompts.
        options: the call's.
        ends_at: its deadline, on the clock of ``time.monotonic``; None for no deadline.
        past: the trace of an earlier part of the same run, to resume from.

    Attributes:
        total: how many sequences there are; None where the prompts are read one by one.
        drawing: the tokens of the provider, where it draws: the questions go there; None elsewhere.
        log: its events.

    Raises:
        ParameterError: a prompt, a stop string, a stop id or a ban that is not valid; two sequences with one stream.
        TraceError: ``past`` is not a part of this run.
    """

    def __init__(
        self,
        settings: Settings,
        prompts: Iterable[Prompt],
        streams: Sequence[int] | None,
        options: GenerationOptions,
        ends_at: float | None = None,
        past: Trace | None = None,
    ) -> None:
        check_options(settings, options, listed=streams is not None)
        self.seed = Randomness(settings.seed if options.seed is None else options.seed).seed
        self.log = RunLog(settings.adapter.info.name)
        with OfRuns([self.log]):
            settings, self.drawing = drawn_by_provider(
                settings, options, self.seed, conversation=are_conversations(prompts)
            )
        self.settings, self.options = settings, options
        self.ends_at = ends_at
        self.resumed: list[Resumption] = [] if past is None else past.resumed
        self.guesses = guesses_of(settings.guesser, settings.adapter, settings.chain, options.stop.max_tokens, self.log)
        self._until = CallersUntil(options.stop)
        self._ban = ban_of(settings, options)
        self._begun = time.monotonic()
        self._reported = 0
        self._listed = streams is not None
        prefixes: list[Prefix] = []
        places: list[tuple[int, int]] = []
        given: list[Given] | None = None
        if streams is None:
            waiting = one_by_one(settings.adapter, prompts, options.n, options.stream)
        else:
            prefixes, places, given, waiting = listed(settings.adapter, list(prompts), streams)
        header = header_of(settings, options, self.seed, prefixes, places, given, self.drawing)
        self.header = header if past is None else replace(past.header, stop=header.stop)
        make = SequenceMaker(settings, options, self.seed, self._ban, self._until, self.log, self.header)
        self.roster = Roster(waiting, make, keep=self._listed)
        self.roster.prepare(1 if past is None else None)
        self.total = len(places) if self._listed else None
        self._asked: list[RunSequence] = []
        self._entering: list[RunSequence] = []
        self._started: list[RunSequence] = []  # since the last question
        self._needs: list[Disclosure] = []
        self._recalled = [] if past is None else list(self._recall(past))

    def recalled(self) -> Iterator[Step]:
        """The recorded steps of ``past``, as steps of this run."""
        for sequence, checkpoint, step in self._recalled:
            yield from sequence.take_recorded(checkpoint, step)

    @property
    def reads(self) -> bool:
        """Whether `start` would read another prompt from an iterator now, which may take a while."""
        return not self._listed and self.roster.can_start(self._room) and not self._undecided()

    def start(self) -> None:
        """Start as many sequences as there is room for; `question` does it, unless it was done before."""
        self._started += self.roster.start(self._room)

    def forgotten(self) -> list[int]:
        """The streams of which nothing is needed any more since the last call."""
        self.roster.forget()
        streams, self.roster.forgotten = self.roster.forgotten, []
        if self.guesses is not None:
            self.guesses.forget(streams)
        return streams

    def question(self) -> Question | None:
        """What to ask now; None when all sequences have ended.

        A step whose answer disclosed too little is asked for again before any sequence continues. Sequences start in
        order, at most `AdapterInfo.concurrency` at a time.
        """
        if self._late():
            for sequence in self.roster.running.values():
                if not sequence.finished:
                    sequence.decoder.finish("deadline")
            self.roster.drop_waiting("deadline")
        self._entering = []
        asked = self._undecided()
        if not asked:
            self.start()
            asked, self._entering, self._started = self.roster.active, self._started, []
        self._asked = asked
        if not asked:
            return None
        return Question(
            prefixes=[sequence.decoder.prefix for sequence in asked],
            needs=[sequence.need for sequence in asked],
            entering=[sequence.decoder.prefix for sequence in self._entering],
            caller=self,
        )

    def note_cached(self, *, asked: bool) -> None:
        """Keep how much of the prompts in the last question the adapter has cached; see `cached_tokens`."""
        for sequence in self._entering:
            if sequence.cached_tokens is None:
                found = cached_tokens(self.settings.adapter, sequence.decoder.prefix, asked=asked)
                sequence.cached_tokens = found

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

    def shared_rows(self, answers: Sequence[Taken]) -> list[Row]:
        """The rows of the last question, for other callers; no plugin but ours runs in the thread of another caller."""
        return self._rows(answers) if self.settings.chain.ours else [None] * len(answers)

    def take(self, answers: Sequence[Taken], waited: float = 0.0) -> Iterator[Step]:
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
        """Whether steps are made while the next question is answered: `decide` and `settled`, in place of `take`.

        Not where ``until`` or a ban decides after each step whether and from where to go on.
        """
        alone = self.guesses is None and self.options.stop.until is None and self._ban is None
        return alone and ahead_pays(self.settings.adapter)

    def decide(self, answers: Sequence[Taken], waited: float = 0.0) -> list[tuple[RunSequence, Decided]]:
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
        for sequence in list(self.roster.running.values()):
            yield from sequence.settled()

    def finished(self) -> None:
        """There is nothing more to ask and to record."""
        self.roster.retire()
        self.report()

    def confirm(self, step: Step, recorded: int) -> None:
        """Report that a step was recorded, and how many steps of its sequence are recorded now.

        Raises:
            BaseException: an error that the caller's ``until`` raised for a step, once that step is recorded.
        """
        sequence = self.roster.running[step.stream]
        sequence.recorded = recorded
        if self._until.raised is not None and recorded == len(sequence.decoder.output_ids):
            sequence.stop_for(self._until.raised)
            raise self._until.raised

    def broken_off(self, error: BaseException, recorded: Mapping[int, int]) -> None:
        """End every sequence because of this error; steps that were not recorded do not count."""
        for sequence in self.roster.running.values():
            sequence.broken_off(error, recorded[sequence.stream])
        self.roster.drop_waiting("error" if isinstance(error, Exception) else "cancelled", error)

    def ends(self, error: BaseException | None, recorded: Mapping[int, int]) -> list[SequenceEnd]:
        """How the sequences ended, for the record."""
        return [
            SequenceEnd(
                stream=outcome.stream,
                tokens=recorded[outcome.stream],
                finish_reason=outcome.finish_reason,
                error=str(outcome.error or error) if outcome.finish_reason == "error" else None,
                tool_calls=outcome.tool_calls,
            )
            for outcome in self._outcomes(recorded)
        ]

    def results(self, steps: list[Step], footer: Footer | None, recorded: Mapping[int, int]) -> list[Result]:
        """The results so far, one per sequence, with the recorded steps."""
        trace = Trace(self.header, steps, footer, self.resumed)
        return [self._result(outcome, trace) for outcome in self._outcomes(recorded)]

    def outcome(self) -> Result:
        """The result of a run of one sequence as it stands, without steps."""
        (stream,) = self.roster.streams() or [self.header.sequences[0][0]]
        running = self.roster.running.get(stream)
        return self._result(
            self.roster.outcome(stream, 0 if running is None else running.recorded), Trace(self.header, [], None)
        )

    def result_of(self, outcome: Outcome, steps: list[Step]) -> Result:
        """The result of one sequence that has ended, with its own steps, as if it were a run of its own."""
        entrant = self.roster.entrant(outcome.stream)
        header = replace(
            self.header,
            prompts=[list(entrant.prefix.token_ids) if isinstance(entrant.prefix, Prefix) else []],
            sequences=[(outcome.stream, 0)],
            given=[entrant.given] if hasattr(self.settings.adapter.tokenizer, "relearn") else None,
        )
        error = None if outcome.error is None else str(outcome.error)
        end = SequenceEnd(outcome.stream, len(outcome.token_ids), outcome.finish_reason, error, outcome.tool_calls)
        return self._result(outcome, Trace(header, steps, Footer([end], "")))

    def _outcomes(self, recorded: Mapping[int, int]) -> list[Outcome]:
        streams = [stream for stream, _ in self.header.sequences] if self._listed else self.roster.streams()
        return [self.roster.outcome(stream, recorded[stream]) for stream in streams]

    def _result(self, outcome: Outcome, trace: Trace) -> Result:
        return outcome.result(trace, self.seed, self.options.schema, self.settings.adapter.tokenizer)

    def _undecided(self) -> list[RunSequence]:
        return [sequence for sequence in self.roster.active if sequence.undecided]

    def report(self) -> None:
        """Tell the caller how far the run has come, if sequences have ended since the last time."""
        call, roster = self.options.progress, self.roster
        if call is not None and roster.done > self._reported:
            self._reported = roster.done
            total = roster.done + len(roster.running) if self.total is None and roster.read else self.total
            tokens = roster.tokens + sum(len(each.decoder.output_ids) for each in roster.running.values())
            if comes_later(call(Progress(roster.done, total, tokens, roster.failed, time.monotonic() - self._begun))):
                raise ParameterError("progress returned what is to be awaited or iterated, so it did nothing")

    def _drawn(self, answers: Sequence[Taken]) -> Sequence[Drawn | None]:
        """What is drawn for all answers to the last question at once."""
        if isinstance(answers, SharedAnswers):
            drawn: Sequence[Drawn | None] = answers.company.made_for(self, draw_for_all)
            return drawn
        return (None,) if len(answers) == 1 else draw_together(self._rows(answers))

    def _rows(self, answers: Sequence[Taken]) -> list[Row]:
        return [
            sequence.decoder.row(answer) if isinstance(answer, Distribution) else None
            for sequence, answer in zip(self._asked, answers, strict=True)
        ]

    def _last(self, sequence: RunSequence) -> FinishReason | None:
        """Why the next token of this sequence is its last one; None where it need not be."""
        room = self.settings.adapter.info.context_length
        if room is not None and len(sequence.decoder.prefix) >= room:
            return "context"  # it fills it
        return "deadline" if self._late() else None

    def _take_guessed(self, guesses: Guesses, answers: Sequence[Taken], waited: float) -> Iterator[Step]:
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

    @property
    def _room(self) -> int:
        return max(1, self.settings.adapter.info.concurrency)

    def _late(self) -> bool:
        return self.ends_at is not None and time.monotonic() >= self.ends_at

    def _recall(self, past: Trace) -> Iterator[tuple[RunSequence, Checkpoint | None, Step]]:
        """Advance the decoders through the recorded steps."""
        stopped = [end for end in (past.footer.ends if past.footer else ()) if end.finish_reason == "stop"]
        lasts = {(end.stream, end.tokens - 1) for end in stopped}
        for step in past.steps:
            sequence = self.roster.running.get(step.stream)
            if sequence is None:
                raise TraceError(f"the header names no sequence with stream {step.stream}", step=step.index)
            last: FinishReason | None = "stop" if (step.stream, step.index) in lasts else None
            answer = step.answer(self.settings.adapter.info.vocab_size)
            checkpoint, again = sequence.repeat(step, answer, last)
            if self._until.raised is not None:
                raise self._until.raised
            yield sequence, checkpoint, again
