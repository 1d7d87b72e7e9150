"""One sequence of a run: its decoder, the steps that may still be taken back, and how it ended. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from decodekit.chain.batch import Drawn
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure, Undisclosed
from decodekit.errors import ContextOverflow, DecodekitError, DistributionError
from decodekit.log import RunLog
from decodekit.model.drawn import CallsBegun, DrawnEnd, DrawnToken, Taken
from decodekit.session.bans import HeldSteps
from decodekit.session.decided import Checkpoint, Decided
from decodekit.session.decoder import Decoder
from decodekit.session.inquiry import Inquiry, not_enough
from decodekit.session.schema import Schema
from decodekit.text.tool_call import ToolCall
from decodekit.trace.step import FinishReason, Step

__all__ = ["RunSequence", "at_step"]

Decision = TypeVar("Decision", Step, Decided)

_INSTEAD = "Otherwise use a chain that needs less, or on_undisclosed='truncate'."


class RunSequence:
    """One sequence of a run.

    Args:
        decoder: its decoder.
        log: of the run.
        held: holds its steps while a ban may take them back; None without a ban.
        schema: of the call.

    Attributes:
        error: what ended it, when it failed.
        recorded: how many of its steps are recorded.
        cached_tokens: how many tokens of its prompt needed no evaluation; None where the adapter does not say.
        counts: the end of an answer that the provider drew, with its numbers of tokens; None elsewhere.
    """

    def __init__(
        self, decoder: Decoder, log: RunLog, held: HeldSteps | None = None, schema: Schema | None = None
    ) -> None:
        self.decoder, self._log, self._schema = decoder, log, schema
        self.error: DecodekitError | None = None
        self.recorded = 0
        self.cached_tokens: int | None = None
        self._held = held
        self._inquiry = Inquiry()  # for the step that is being decided
        self.counts: DrawnEnd | None = None
        self._calls: Callable[[], tuple[ToolCall, ...]] | tuple[ToolCall, ...] = ()
        self._given_tokens = 0  # by the provider, as far as they can be counted
        self._waiting: tuple[Step, int] | None = None  # a step whose text is held back, and the text before that

    @property
    def stream(self) -> int:
        return self.decoder.randomness.stream

    @property
    def finished(self) -> bool:
        return self.decoder.finished

    @property
    def complete(self) -> bool | None:
        """Whether an end-of-text token ended it where the text may end; None where no part of the chain says."""
        complete, context = self.decoder.complete, self.decoder.context
        ends = () if context.tokenizer is None else context.tokenizer.eos_ids
        return complete and len(context.output_ids) > 0 and context.output_ids[-1] in ends

    @property
    def parts(self) -> tuple[str, ...] | None:
        """Of a complete text, the parts that the schema of the call constrains; None where it names none."""
        return self._schema.parts(self.decoder.context) if self._schema is not None and self.complete else None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools in the provider's answer; of one that did not come to its end, those that had come."""
        if callable(self._calls) and self.finished:
            self._calls = self._calls()  # now: the answer may still be read until it is closed
        return self._calls() if callable(self._calls) else self._calls

    @property
    def undecided(self) -> bool:
        """Whether the answers for the present step were not enough so far."""
        return self._inquiry.questions > 0 and not self.finished

    @property
    def need(self) -> Disclosure:
        """What to ask for next."""
        return self._inquiry.next_need(self.decoder.need)

    def take(
        self, answer: Taken, *, waited: float = 0.0, last: FinishReason | None = None, drawn: Drawn | None = None
    ) -> list[Step]:
        """Take the answer to the question for `need` after the decoder's prefix.

        Args:
            answer: the adapter's answer, or what the provider drew.
            waited: the seconds it took.
            last: end after this token for this reason, if nothing else ends the sequence.
            drawn: what a batch drew for this answer; see `draw_together`.

        Returns:
            The steps that can no longer be taken back; none while `undecided`.
        """
        if isinstance(answer, DecodekitError):
            self.fail(answer)
            return self.settled()
        if isinstance(answer, CallsBegun):
            self._calls = answer.so_far
            return []
        if isinstance(answer, DrawnEnd):
            self.decoder.finish(answer.reason)
            self.counts, self._calls = answer, answer.calls
            self._note_faults()
            return self.settled()
        if isinstance(answer, DrawnToken):
            return self._given(answer, waited, last)
        checkpoint = self.decoder.checkpoint() if self._held is not None else None
        step = self._answered(self.decoder.feed, answer, waited, last, drawn)
        if self.undecided:
            return []
        return self.settled() if step is None else self._keep(checkpoint, step)

    def decide(
        self, answer: Taken, *, waited: float = 0.0, last: FinishReason | None = None, drawn: Drawn | None = None
    ) -> Decided | None:
        """As `take`, for a sequence that holds no steps; `settle` makes the step. None where there will be none."""
        if isinstance(answer, DecodekitError):
            self.fail(answer)
            return None
        assert isinstance(answer, Distribution)  # a provider that draws is not asked ahead
        return self._answered(self.decoder.decide, answer, waited, last, drawn)

    def settle(self, decided: Decided) -> Step | None:
        """The step of a decided token; None where it failed."""
        try:
            return self.decoder.settle(decided)
        except DecodekitError as error:
            self.decoder.rewind(decided.before)
            self.fail(error)
            return None

    def repeat(
        self, step: Step, answer: Distribution | None, last: FinishReason | None
    ) -> tuple[Checkpoint | None, Step]:
        """Take the next step from its record. Returns the arguments of `take_recorded`."""
        checkpoint = self.decoder.checkpoint() if self._held is not None else None
        return checkpoint, self.decoder.repeat(step, answer, last=last)

    def take_recorded(self, checkpoint: Checkpoint | None, step: Step) -> list[Step]:
        """Hold a repeated step like a new one. Returns the steps that can no longer be taken back."""
        if self._held is not None:
            self._held.abandoned.extend(step.abandoned)
        return self._keep(checkpoint, step)

    def settled(self) -> list[Step]:
        """Release the held steps that can no longer be taken back."""
        if self._held is None:
            return self._released() if self.finished else []
        return self._held.settled(everything=self.finished)

    def fail(self, error: DecodekitError) -> None:
        """End with this error; with 'context' if that is full after at least one token."""
        decoder = self.decoder
        if isinstance(error, DistributionError):
            error = at_step(error, len(decoder.output_ids))
        if isinstance(error, ContextOverflow) and len(decoder.output_ids):
            decoder.finish("context")
            return
        decoder.finish("error")
        self.error = error
        self._log.warning("a sequence failed", stream=self.stream, step=len(decoder.output_ids), error=str(error))

    def broken_off(self, error: BaseException, recorded: int) -> None:
        """End because the run ends with this error: only recorded steps count."""
        if self._held is not None and self._held.start is not None:  # never returned, so not a part of the result
            self.decoder.rewind(self._held.start)
        if recorded < len(self.decoder.output_ids):  # its end was not recorded
            self.decoder.finish_reason = None
        if not self.finished:
            self.stop_for(error)

    def stop_for(self, error: BaseException) -> None:
        """End because of this error, also if it had ended before: 'error', or 'cancelled' for an interrupt."""
        self.decoder.finish_reason = None
        self.decoder.finish("error" if isinstance(error, Exception) else "cancelled")
        if isinstance(error, DecodekitError):
            self.error = error

    def _answered(
        self,
        feed: Callable[..., Decision],
        answer: Distribution,
        waited: float,
        last: FinishReason | None,
        drawn: Drawn | None,
    ) -> Decision | None:
        """What the decoder makes of an answer; None where more is asked for, or the sequence failed."""
        final, decision = self._inquiry.is_final(answer), None
        try:
            decision = feed(answer, final=final, waited=waited, last=last, drawn=drawn)
        except Undisclosed as error:
            if not final:
                need = str(self.decoder.need)
                self._log.debug("asking for more", question=error.question, need=need, stream=self.stream)
                return None
            self.fail(not_enough(error, answer, _INSTEAD))
        except DecodekitError as error:
            self.fail(error)
        self._inquiry = Inquiry()
        return decision

    def _given(self, drawn: DrawnToken, waited: float, last: FinishReason | None) -> list[Step]:
        """Take a token that the provider drew. Its step waits while text is held back that may become its own."""
        self._given_tokens += drawn.counted
        self.counts = DrawnEnd("stop", drawn.prompt_tokens, None, drawn.cached_tokens)  # if a stop text ends it here
        if self._given_tokens > self.decoder.stop.max_tokens:
            self.decoder.finish("length")  # the provider went on beyond what it was asked for
            return self.settled()
        before = self._released()
        try:
            step = self.decoder.take(drawn, waited=waited, last=None if last == "context" else last)
        except DecodekitError as error:
            self.fail(error)
            return before
        if self.finished or not self.decoder.texts.holds:
            return [*before, step]
        self._waiting = step, len(self.decoder.text)
        return before

    def _note_faults(self) -> None:
        """A warning for each call that cannot be run."""
        for call in self.tool_calls:
            if call.fault:
                self._log.warning("a call of a tool has a fault", stream=self.stream, tool=call.name, fault=call.fault)

    def _released(self) -> list[Step]:
        """The step that waited; at the end of the sequence, with the text that was held back."""
        if self._waiting is None:
            return []
        (step, before), self._waiting = self._waiting, None
        return [replace(step, text=step.text + self.decoder.text[before:]) if self.finished else step]

    def _keep(self, checkpoint: Checkpoint | None, step: Step) -> list[Step]:
        if self._held is None:
            return [step]
        assert checkpoint is not None
        back = self._held.hold(checkpoint, step)
        if back is not None:
            self.decoder.rewind(back.checkpoint)
            if back.error is not None:
                self.fail(back.error)
        return self.settled()


def at_step(error: DistributionError, step: int | None) -> DistributionError:
    """The error with this step, if it has none."""
    return error if error.step is not None else type(error)(error.message, stage=error.stage, step=step)
