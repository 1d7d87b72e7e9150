"""One sequence of a run: its decoder, the steps that may still be taken back, and how it ended. No I/O."""

from __future__ import annotations

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.errors import ContextOverflow, DecodekitError, DistributionError
from decodekit.log import get_logger
from decodekit.model.adapter import Answer
from decodekit.session.bans import HeldSteps
from decodekit.session.decoder import Checkpoint, Decoder
from decodekit.trace.step import FinishReason, Step

__all__ = ["RunSequence", "at_step"]

_MOST_QUESTIONS = 6  # for one step; the last of them asks for everything


class RunSequence:
    """One sequence of a run.

    Args:
        decoder: decodes it.
        held: where its steps wait while a ban may take them back; None without a ban.

    Attributes:
        error: what ended it, when it failed.
    """

    def __init__(self, decoder: Decoder, held: HeldSteps | None = None) -> None:
        self.decoder = decoder
        self.error: DecodekitError | None = None
        self._held = held
        self._questions = 0  # asked for the step that is being decided
        self._shown: int | None = None  # how many tokens the last answer disclosed

    @property
    def stream(self) -> int:
        return self.decoder.randomness.stream

    @property
    def finished(self) -> bool:
        return self.decoder.finished

    @property
    def undecided(self) -> bool:
        """Whether a question of the present step was answered, and not in full."""
        return self._questions > 0 and not self.finished

    @property
    def holding(self) -> bool:
        """Whether steps wait here that are neither recorded nor taken back."""
        return self._held is not None and len(self._held) > 0

    @property
    def need(self) -> Disclosure:
        """What to ask for now."""
        return self.decoder.need if self._questions < _MOST_QUESTIONS - 1 else ALL

    def take(self, answer: Answer, *, waited: float = 0.0, last: FinishReason | None = None) -> list[Step]:
        """Take the answer to the question for `need` after the decoder's prefix.

        Args:
            answer: what the adapter said.
            waited: the seconds it took.
            last: end after this token for this reason, if nothing else ends it.

        Returns:
            The steps that nothing can take back any more; none while `undecided`.
        """
        if isinstance(answer, DecodekitError):
            self.fail(answer)
            return self.settled()
        mark = self.decoder.mark() if self._held is not None else None
        step = self._decide(answer, waited, last)
        if self.undecided:
            return []
        return self.settled() if step is None else self._keep(mark, step)

    def repeat(
        self, step: Step, answer: Distribution | None, last: FinishReason | None
    ) -> tuple[Checkpoint | None, Step]:
        """Take the next step from its record; what comes back is for `take_recorded`."""
        mark = self.decoder.mark() if self._held is not None else None
        return mark, self.decoder.repeat(step, answer, last=last)

    def take_recorded(self, mark: Checkpoint | None, step: Step) -> list[Step]:
        """Hold a repeated step as when it was new. Returns the steps that nothing can take back any more."""
        if self._held is not None:
            self._held.abandoned.extend(step.abandoned)
        return self._keep(mark, step)

    def settled(self) -> list[Step]:
        """The held steps that nothing can take back any more; they are held no longer."""
        return [] if self._held is None else self._held.settled(everything=self.finished)

    def fail(self, error: DecodekitError) -> None:
        """End in this error; where the context is full, after at least one token, as 'length'."""
        decoder = self.decoder
        if isinstance(error, DistributionError):
            error = at_step(error, len(decoder.output_ids))
        if isinstance(error, ContextOverflow) and len(decoder.output_ids):
            decoder.finish("length")
            return
        decoder.finish("error")
        self.error = error
        get_logger().warning("a sequence failed", stream=self.stream, step=len(decoder.output_ids), error=str(error))

    def broken_off(self, error: BaseException, recorded: int) -> None:
        """The run ends here, whatever was going on: only what is recorded counts."""
        if self._held is not None and self._held.start is not None:  # never handed out, so not a part of the result
            self.decoder.rewind(self._held.start)
        if recorded < len(self.decoder.output_ids):  # its end was not recorded
            self.decoder.finish_reason = None
        if not self.finished:
            self.stop_for(error)

    def stop_for(self, error: BaseException) -> None:
        """End for this reason, whatever the end had been: 'error' for an error, 'cancelled' for an interrupt."""
        self.decoder.finish_reason = None
        self.decoder.finish("error" if isinstance(error, Exception) else "cancelled")
        if isinstance(error, DecodekitError):
            self.error = error

    def _decide(self, answer: Distribution, waited: float, last: FinishReason | None) -> Step | None:
        shown = 0 if answer.tail is None else len(answer.scores)
        self._questions += 1
        final = answer.tail is None or shown == self._shown or self._questions == _MOST_QUESTIONS
        self._shown = shown
        step = None
        try:
            step = self.decoder.feed(answer, final=final, waited=waited, last=last)
        except Undisclosed as error:
            if not final:
                need = str(self.decoder.need)
                get_logger().debug("asking for more", question=error.question, need=need, stream=self.stream)
                return None
            self.fail(_final(error, answer))
        except DecodekitError as error:
            self.fail(error)
        self._questions, self._shown = 0, None
        return step

    def _keep(self, mark: Checkpoint | None, step: Step) -> list[Step]:
        if self._held is None:
            return [step]
        assert mark is not None
        back = self._held.hold(mark, step)
        if back is not None:
            self.decoder.rewind(back.mark)
            if back.error is not None:
                self.fail(back.error)
        return self.settled()


def _final(error: Undisclosed, answer: Distribution) -> Undisclosed:
    """The error when there is nothing more to ask: what was shown, and why it is no more, as far as that is told.

    An adapter tells why in the schedule of its answer, as ``shows_less``.
    """
    why = (answer.schedule or {}).get("shows_less", "")
    shown = f"{len(answer.scores)} tokens" if answer.token_ids is not None else "all it has"
    final = Undisclosed(error.need, error.question)
    message = (
        f"{error.question} cannot be answered: it needs {error.need}, which was asked for, and the adapter showed "
        f"{shown}{f': {why}' if why else ''}. Use a chain that needs less, or on_undisclosed='truncate'."
    )
    final.args = (message,)
    return final


def at_step(error: DistributionError, step: int | None) -> DistributionError:
    """The error with its step, where it names none."""
    return error if error.step is not None else type(error)(error.message, stage=error.stage, step=step)
