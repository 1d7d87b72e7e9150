"""The loop: ask the adapter, feed the decoders, record and hand out steps. One sequence is a batch of one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Undisclosed
from decodekit.draw.randomness import Randomness
from decodekit.errors import ContextOverflow, DecodekitError, DistributionError, ParameterError, PluginError, TraceError
from decodekit.log import get_logger
from decodekit.model.asking import ask
from decodekit.session.bans import Ban
from decodekit.session.decoder import Decoder, Mark
from decodekit.session.prompts import Prompt, as_prefix
from decodekit.session.result import Result
from decodekit.session.settings import Settings
from decodekit.session.stop import Stop
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd, Trace, plain, template_digest
from decodekit.trace.step import Abandoned, FinishReason, Level, Step
from decodekit.trace.writer import TraceWriter

__all__ = ["Run"]

_MOST_QUESTIONS = 6  # the last of them asks for everything
_MOST_REWINDS = 1000  # of one sequence without a token settled in between


@dataclass
class Run:
    """One call: its decoders, its trace, and the loop that drives them."""

    settings: Settings
    prompts: Sequence[Prompt]
    streams: list[int]
    seed: int | None
    stop: Stop
    level: Level
    path: str | os.PathLike[str] | None
    deadline: float | None
    kept: list[Step] | None = None  # a list that the steps go into; None when nobody wants them
    errors: dict[int, DecodekitError] = field(default_factory=dict)
    ban: Sequence[str] = ()
    past: Trace | None = None  # an earlier part of the same run, to go on from

    def __post_init__(self) -> None:
        settings = self.settings
        if self.level not in ("choice", "proof", "full"):
            raise ParameterError(f"level is 'choice', 'proof' or 'full', not {self.level!r}")
        seed = settings.seed if self.seed is None else self.seed
        self.seed = Randomness(seed).seed
        self.prefixes = [as_prefix(settings.adapter, prompt, i) for i, prompt in enumerate(self.prompts)]
        samples = len(self.streams) // max(len(self.prefixes), 1)
        self.ends_at = None if self.deadline is None else time.monotonic() + _seconds(self.deadline)
        self.recorded = [0] * len(self.streams)
        self.interrupt: BaseException | None = None
        self._ban = Ban(self.ban, settings.adapter.tokenizer) if self.ban else None
        if self._ban is not None and not settings.chain.pure:
            raise ParameterError("ban goes back and runs steps anew, and a part of this chain may run only once")
        self._held: list[list[tuple[Mark, Step]]] = [[] for _ in self.streams]  # steps that may be taken back
        self._left: list[list[Abandoned]] = [[] for _ in self.streams]  # branches taken back since the last of these
        stop = self.stop if self.stop.until is None else replace(self.stop, until=self._watch)
        self.decoders = [
            Decoder(
                settings.chain,
                Randomness(self.seed, stream),
                self.prefixes[i // samples],
                stop,
                settings.adapter.tokenizer,
                settings.on_undisclosed,
                level=self.level,
                top_logprobs=settings.top_logprobs,
                metadata=settings.metadata,
            )
            for i, stream in enumerate(self.streams)
        ]
        self.header = Header(
            seed=self.seed,
            level=self.level,
            prompts=[list(prefix.token_ids) for prefix in self.prefixes],
            sequences=[(stream, i // samples) for i, stream in enumerate(self.streams)],
            chain=settings.chain.describe(),
            adapter=plain(settings.adapter.info),
            on_undisclosed=settings.on_undisclosed,
            stop={
                "max_tokens": self.stop.max_tokens,
                "strings": list(self.stop.strings),
                "ids": sorted(self.stop.ids),
                **({"ban": list(self.ban)} if self.ban else {}),
            },
            top_logprobs=settings.top_logprobs,
            metadata=sorted(map(str, settings.metadata or ())),
            config=settings.config,
            chat_template=template_digest(settings.adapter),
        )
        self.footer: Footer | None = None
        self.writer: TraceWriter | None = None
        self._recalled: list[tuple[int, Mark | None, Step]] = []
        self.resumed: list[Resumption] = []
        if self.past is not None:
            self.header = replace(self.past.header, stop=self.header.stop)
            self.resumed = self.past.resumed
            self._recall(self.past)

    def __enter__(self) -> Self:
        if self.path is not None:
            self.writer = TraceWriter(self.path, self.header)
        self._log = get_logger()  # kept for the end: while the interpreter goes down nothing can be imported
        self._log.debug("generation started", sequences=len(self.decoders), seed=self.seed, level=self.level)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        unfinished: FinishReason = "error" if isinstance(error, Exception) else "cancelled"
        for i, decoder in enumerate(self.decoders):
            if self._held[i]:  # never handed out, so not a part of the result
                decoder.rewind(self._held[i][0][0])
            if self.recorded[i] < len(decoder.output_ids):  # its end was not recorded
                decoder.finish_reason = None
            if not decoder.finished:
                decoder.finish(unfinished)
                if isinstance(error, DecodekitError):
                    self.errors[i] = error
        if self.writer is not None:
            try:
                self.footer = self.writer.close(self._ends(error))
            except DecodekitError:
                if error is None:
                    raise
        else:
            self.footer = Footer(self._ends(error), "")
        if isinstance(error, DecodekitError):
            results = self.results()
            error.partial = results[0] if len(results) == 1 else results
        self._log.debug(
            "generation finished",
            tokens=sum(self.recorded),
            reasons=sorted({str(decoder.finish_reason) for decoder in self.decoders}),
        )

    def steps(self) -> Iterator[Step]:
        """Drive all decoders to their end. Sequences enter in order, as many at a time as the adapter serves well."""
        for i, mark, step in self._recalled:
            self._left[i].extend(step.abandoned)
            yield from self._take(i, mark, step)
            yield from self._settled(i)
        if self.writer is not None:
            for resumption in self.resumed:
                self.writer.resumed(resumption)
        room = max(1, self.settings.adapter.info.concurrency)
        waiting = list(range(len(self.decoders)))[::-1]
        active: list[int] = []
        while waiting or active:
            active = [i for i in active if not self.decoders[i].finished]
            while waiting and len(active) < room:
                entering = waiting.pop()
                if not self.decoders[entering].finished:
                    active.append(entering)
            if not active:
                continue
            if self.ends_at is not None and time.monotonic() >= self.ends_at:
                for i in active + waiting:
                    self.decoders[i].finish("deadline")
                    yield from self._settled(i)
                return
            yield from self._round(active)

    def results(self) -> list[Result]:
        """The results so far, one per sequence."""
        trace = Trace(self.header, self.kept or [], self.footer, self.resumed)
        return [
            Result(
                text=decoder.text if self.recorded[i] == len(decoder.output_ids) else decoder.text_of(self.recorded[i]),
                token_ids=tuple(decoder.output_ids[: self.recorded[i]]),
                finish_reason=decoder.finish_reason or "cancelled",
                seed=self.header.seed,
                trace=trace,
                stream=decoder.randomness.stream,
                error=self.errors.get(i),
            )
            for i, decoder in enumerate(self.decoders)
        ]

    def only_result(self) -> Result:
        """The result of a run of one sequence. Raises the error that ended it."""
        (result,) = self.results()
        if result.error is not None:
            result.error.partial = result
            raise result.error
        return result

    def _round(self, active: list[int]) -> Iterator[Step]:
        """One token for each active sequence. A step is recorded before it is handed out."""
        asking = list(active)
        disclosed: dict[int, int] = {}
        for question in range(1, _MOST_QUESTIONS + 1):
            decoders = [self.decoders[i] for i in asking]
            needs = [decoder.need if question < _MOST_QUESTIONS else ALL for decoder in decoders]
            started = time.perf_counter()
            try:
                answers = ask(self.settings.adapter, [decoder.prefix for decoder in decoders], needs)
            except DistributionError as error:
                steps = {len(decoder.output_ids) for decoder in decoders}
                raise _at_step(error, steps.pop() if len(steps) == 1 else None) from error
            waited = time.perf_counter() - started
            late = self.ends_at is not None and time.monotonic() >= self.ends_at
            again: list[int] = []
            for i, answer in zip(asking, answers, strict=True):
                if isinstance(answer, DecodekitError):
                    self._fail(i, answer)
                    yield from self._settled(i)
                    continue
                shown = 0 if answer.tail is None else len(answer.scores)
                final = answer.tail is None or disclosed.get(i) == shown or question == _MOST_QUESTIONS
                disclosed[i] = shown
                mark = self.decoders[i].mark() if self._ban is not None else None
                step = self._feed(i, answer, final, waited, late, again)
                if step is not None:
                    yield from self._take(i, mark, step)
                yield from self._settled(i)
            if not again:
                return
            asking = again

    def _feed(
        self, i: int, answer: Distribution, final: bool, waited: float, late: bool, again: list[int]
    ) -> Step | None:
        decoder = self.decoders[i]
        room = self.settings.adapter.info.context_length
        last: FinishReason | None = "deadline" if late else None
        if room is not None and len(decoder.prefix) >= room:
            last = "length"  # there is no asking after this token
        try:
            return decoder.feed(answer, final=final, waited=waited, last=last)
        except Undisclosed as error:
            if final:
                self._fail(i, error)
            else:
                get_logger().debug(
                    "asking for more", question=error.question, need=str(decoder.need), stream=decoder.randomness.stream
                )
                again.append(i)
        except DecodekitError as error:
            self._fail(i, error)
        return None

    def _recall(self, past: Trace) -> None:
        """Bring the decoders to where the recorded steps left them. Raises before anything is written."""
        stopped = [end for end in (past.footer.ends if past.footer else ()) if end.finish_reason == "stop"]
        lasts = {(end.stream, end.tokens - 1) for end in stopped}
        places = {stream: i for i, stream in enumerate(self.streams)}
        for step in past.steps:
            i = places.get(step.stream)
            if i is None:
                raise TraceError(f"the header names no sequence with stream {step.stream}", step=step.index)
            decoder = self.decoders[i]
            mark = decoder.mark() if self._ban is not None else None
            last: FinishReason | None = "stop" if (step.stream, step.index) in lasts else None
            again = decoder.repeat(step, step.answer(self.settings.adapter.info.vocab_size), last=last)
            if self.interrupt is not None:
                raise self.interrupt
            self._recalled.append((i, mark, again))

    def _take(self, i: int, mark: Mark | None, step: Step) -> Iterator[Step]:
        """Record a step and hand it out; with a mark it may be taken back, and is kept until nothing can."""
        if mark is not None:
            self._hold(i, mark, step)
            return
        self._record(i, step)
        yield step

    def _hold(self, i: int, mark: Mark, step: Step) -> None:
        """Keep a step until nothing can take it back; go back if it completes a banned phrase."""
        assert self._ban is not None
        held, left = self._held[i], self._left[i]
        held.append((mark, replace(step, abandoned=tuple(left))))
        left.clear()
        found = self._ban.find([step.token_id for _, step in held])
        if found is None:
            return
        at, phrase = found
        branch = [step for _, step in held[at:]]
        left.extend(earlier for step in branch for earlier in step.abandoned)
        attempts = [step.draw.attempt for step in branch if step.draw is not None]
        left.append(Abandoned(phrase, max(attempts, default=0), tuple(step.token_id for step in branch)))
        self.decoders[i].rewind(held[at][0])
        del held[at:]
        why = ""
        if not attempts:
            why = "nothing random decides here, so it would come again; ban its tokens in the chain"
        elif len(left) >= _MOST_REWINDS:
            why = f"{len(left)} branches were taken back; the model writes hardly anything else"
        if why:
            self._fail(
                i, PluginError(f"the phrase {phrase!r} was written, and {why}", plugin="ban", step=branch[0].index)
            )

    def _settled(self, i: int) -> Iterator[Step]:
        """The held steps that nothing can take back any more, recorded and handed out."""
        held = self._held[i]
        if self._ban is None or not held:
            return
        done = self.decoders[i].finished
        for _ in range(len(held) if done else self._ban.settled([step.token_id for _, step in held])):
            _, step = held.pop(0)
            self._record(i, step)
            yield step

    def _record(self, i: int, step: Step) -> None:
        if self.writer is not None:
            self.writer.write(step)
        if self.kept is not None:
            self.kept.append(step)
        self.recorded[i] += 1
        if self.interrupt is not None and not self._held[i]:
            self.decoders[i].finish_reason = "error" if isinstance(self.interrupt, Exception) else "cancelled"
            if isinstance(self.interrupt, DecodekitError):
                self.errors[i] = self.interrupt
            raise self.interrupt

    def _watch(self, step: Step) -> bool:
        """The caller's ``until``. What it raises waits until the step it saw is recorded."""
        assert self.stop.until is not None
        try:
            return self.stop.until(step)
        except BaseException as error:
            self.interrupt = error
            return True

    def _fail(self, i: int, error: DecodekitError) -> None:
        decoder = self.decoders[i]
        if isinstance(error, DistributionError):
            error = _at_step(error, len(decoder.output_ids))
        if isinstance(error, ContextOverflow) and len(decoder.output_ids):
            decoder.finish("length")
            return
        decoder.finish("error")
        self.errors[i] = error
        get_logger().warning(
            "a sequence failed", stream=decoder.randomness.stream, step=len(decoder.output_ids), error=str(error)
        )

    def _ends(self, error: BaseException | None) -> list[SequenceEnd]:
        return [
            SequenceEnd(
                decoder.randomness.stream,
                self.recorded[i],
                decoder.finish_reason or "cancelled",
                str(self.errors.get(i) or error) if decoder.finish_reason == "error" else None,
            )
            for i, decoder in enumerate(self.decoders)
        ]


def _at_step(error: DistributionError, step: int | None) -> DistributionError:
    return error if error.step is not None else type(error)(error.message, stage=error.stage, step=step)


def _seconds(deadline: object) -> float:
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline >= 0:
        raise ParameterError(f"deadline is a number of seconds from now, 0 or more, not {deadline!r}")
    return deadline
