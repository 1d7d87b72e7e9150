"""A state machine without I/O: it says what it needs, takes a distribution, and returns a step.

A driver asks an adapter for the distribution after `Decoder.prefix` with the disclosure `Decoder.need`, feeds the
answer, and asks again for more if that raises `Undisclosed`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from decodekit.chain import Chain, Entry
from decodekit.chain.batch import Drawn, StepRow
from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure, Undisclosed
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.draw.randomness import BoundRandomness, Randomness
from decodekit.errors import ParameterError, TraceError
from decodekit.model.drawn import DrawnToken
from decodekit.model.prefix import Prefix
from decodekit.session.decided import Checkpoint, Decided
from decodekit.session.drawn_step import drawn_step
from decodekit.session.stop import OnUndisclosed, Stop
from decodekit.text.token_text import TokenText
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.evidence import gather
from decodekit.trace.header import Header
from decodekit.trace.origin import StepOrigin
from decodekit.trace.recalled import recalled_states
from decodekit.trace.step import FinishReason, Level, Step, Timing
from decodekit.trace.summary import RawSummary
from decodekit.types import Ids

__all__ = ["Checkpoint", "Decided", "Decoder"]


class Decoder:
    """Decodes one sequence, given the distributions.

    Args:
        chain: what to do with each distribution.
        randomness: the sequence's noise.
        prompt: the prefix it starts from.
        stop: when it ends.
        tokenizer: for text and stop strings; without one, `text` stays empty.
        on_undisclosed: what `feed` does when the adapter cannot disclose more.
        level: how much of each distribution a step keeps.
        top_logprobs: how many leading tokens each step keeps, raw and after each processor.
        metadata: given to processors as ``ctx.metadata``.
        attempt: the attempt of the noise; each rewind adds one; see RNG.md.
        header: of the run, by which a step explains itself.

    Raises:
        ParameterError: stop strings without a tokenizer.
    """

    def __init__(
        self,
        chain: Chain,
        randomness: Randomness,
        prompt: Prefix,
        stop: Stop | None = None,
        tokenizer: Tokenizer | None = None,
        on_undisclosed: OnUndisclosed = "error",
        *,
        level: Level = "proof",
        top_logprobs: int = 5,
        metadata: Mapping[str, Any] | None = None,
        attempt: int = 0,
        header: Header | None = None,
    ) -> None:
        stop = stop or Stop()
        if stop.strings and tokenizer is None:
            raise ParameterError("stop strings need a tokenizer, and this adapter has none; use stop_ids")
        self.chain = chain
        self.randomness = randomness
        self.prefix = prompt
        self.finish_reason: FinishReason | None = None
        self._prompt_length = len(prompt)
        self.stop = stop
        self._ends = stop.ids | (tokenizer.eos_ids if tokenizer is not None else frozenset())
        self._tokenizer = tokenizer
        self._on_undisclosed = on_undisclosed
        self._level = level
        self._top = top_logprobs
        self._attempt = attempt
        self._header = header
        self.texts = self._text_stream()  # so far, and what is held back
        self._context = Context(TokenIds(prompt.since(0)), TokenIds(), tokenizer, metadata or {})
        self._states = chain.initial(self._context)
        self._asked: list[tuple[str, Disclosure]] = []
        self._need = chain.need(self._context, self._states)
        if stop.max_tokens == 0:
            self.finish("length")

    @property
    def need(self) -> Disclosure:
        """What the next distribution should disclose."""
        return self._need

    @property
    def noted(self) -> bool:
        """Whether a step keeps what each processor did."""
        return self._level != "none"

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None

    @property
    def complete(self) -> bool | None:
        """Whether the text so far may end here; None where no part of the chain says."""
        return self.chain.complete(self._states)

    def forced(self) -> Sequence[int]:
        """The next token ids, as far as a part of the chain holds them for all but certain."""
        return self.chain.forced(self._states)

    @property
    def text(self) -> str:
        """The text so far, without bytes that may still change; all of it once finished."""
        return self.texts.text

    @property
    def context(self) -> Context:
        """What a processor may read at the next step, without random numbers."""
        return self._context

    @property
    def prompt_tokens(self) -> int | None:
        """How many tokens the prompt has; None where the tokenizer gives one id to a whole text."""
        return None if getattr(self._tokenizer, "whole_texts", False) else self._prompt_length

    @property
    def output_ids(self) -> Sequence[int]:
        """The ids generated so far."""
        return self._context.output_ids

    def row(self, dist: Distribution) -> StepRow | None:
        """The next step for `draw_rows`; None where this answer must be fed without it.

        That is: a part of the chain must run only once, or the tail of the answer may have to be given up.
        """
        if self.finished or not self.chain.pure or (dist.hidden is not None and self._on_undisclosed == "truncate"):
            return None
        noise = self.randomness.at(self._context.step, draw=self._attempt)
        return StepRow(dist, self._context, self._states, noise, self.chain.links, self.noted)

    def feed(
        self,
        dist: Distribution,
        *,
        final: bool = False,
        waited: float = 0.0,
        last: FinishReason | None = None,
        drawn: Drawn | None = None,
    ) -> Step:
        """Take the distribution that follows `prefix` and choose one token.

        Args:
            dist: the adapter's answer.
            final: the adapter cannot disclose more; ``on_undisclosed`` decides what happens if it is not enough.
            waited: the seconds the answer took, for the record.
            last: end after this token for this reason, if nothing else ends the sequence.
            drawn: what a batch drew for this answer, from `row`.

        Raises:
            Undisclosed: ask the adapter for `need`, which is now larger, and feed again. Nothing has changed.
            DecodekitError: the step failed; nothing has changed.
        """
        decided = self._decide(dist, final, waited, drawn)
        try:
            step = self.settle(decided)
        except BaseException:
            self._restore(decided.before)
            self._asked = list(decided.asked)
            raise
        return self._close(step, last)

    def decide(
        self,
        dist: Distribution,
        *,
        final: bool = False,
        waited: float = 0.0,
        last: FinishReason | None = None,
        drawn: Drawn | None = None,
    ) -> Decided:
        """The first half of `feed`: choose the token and go on. `settle` makes its step, before or after the next call.

        Not for a sequence with ``until``, which wants to see each step before the next one is begun.

        Raises:
            DecodekitError: as `feed`.
        """
        assert self.stop.until is None
        decided = self._decide(dist, final, waited, drawn)
        return decided._replace(text=decided.text + self._end(decided.choice.token_id, last))

    def settle(self, decided: Decided) -> Step:
        """The second half of `feed`: the step of a token, with all that is recorded of it.

        Raises:
            DecodekitError: as `feed`; to go on without this token, `rewind` to its ``before``.
        """
        started = time.perf_counter()
        dist, reshaped, choice = decided.dist, decided.reshaped, decided.choice
        entries: tuple[Entry, ...] = ()
        if self.noted:
            choice, entries = reshaped.settle(choice, top=self._top)
        proof = self._level in ("proof", "full")
        return Step(
            index=decided.noise.step,
            token_id=choice.token_id,
            text=decided.text,
            raw=RawSummary.brief(dist) if self._level == "none" else RawSummary.of(dist, self._top),
            entries=entries,
            draw=choice.draw,
            choice=choice,
            schedule=dist.schedule,
            timing=Timing(decided.waited, decided.seconds + time.perf_counter() - started),
            stream=self.randomness.stream,
            evidence=gather(reshaped.final, choice, self.chain.sampler, decided.noise) if proof else None,
            row=_row(dist) if self._level == "full" else None,
            complete=decided.complete,
            asked=decided.asked,
            origin=self._origin(decided.before.context),
        )

    def repeat(self, step: Step, raw: Distribution | None = None, *, last: FinishReason | None = None) -> Step:
        """Take the next step from its record: nothing is asked and nothing is drawn.

        Args:
            step: the record of the step at this place.
            raw: what the adapter had answered (`Step.answer`), if that was recorded.
            last: as for `feed`.

        Returns:
            The step, with the text that it adds here. It may differ from the recorded text where the run had ended
            after the step: held text had then been added.

        Raises:
            TraceError: the step belongs to another place, or comes after the end; or the chain needs more than was
                recorded.
        """
        if self.finished or step.index != self._context.step:
            where = f"the sequence ended there ({self.finish_reason})" if self.finished else "that is not its place"
            raise TraceError(
                f"step {step.index} of stream {step.stream} cannot come after {self._context.step} tokens: {where}",
                step=self._context.step,
            )
        if step.draw is not None:
            self._attempt = step.draw.attempt
        noise, origin = self.randomness.at(step.index, draw=self._attempt), self._origin(self._context)
        self._advance(step.token_id, recalled_states(self.chain, step, raw, self._context, self._states, noise))
        return self._close(replace(step, text=self.texts.take(step.token_id), origin=origin), last)

    def take(self, drawn: DrawnToken, *, waited: float = 0.0, last: FinishReason | None = None) -> Step:
        """Take a token that the provider drew: nothing is reshaped or drawn here. The arguments are those of `feed`.

        ``max_tokens`` is the provider's affair, whose tokens need not be those that are counted here.
        """
        step = drawn_step(
            drawn,
            index=self._context.step,
            stream=self.randomness.stream,
            text=self.texts.take(drawn.token_id),
            level=self._level,
            top=self._top,
            waited=waited,
        )
        step = replace(step, origin=self._origin(self._context))
        self._advance(drawn.token_id, self._states)
        return self._close(step, drawn.ends or last, limited=False)

    def _origin(self, before: Context) -> StepOrigin | None:
        """What explains the step that follows here."""
        if self._header is None:
            return None
        return StepOrigin(self._header, self._tokenizer, before.prompt_ids, before.output_ids)

    def checkpoint(self) -> Checkpoint:
        """Where it stands, to be given to `rewind`. O(1): nothing in a checkpoint ever changes."""
        return Checkpoint(self.prefix, self._context, self._states, self._need, self.texts.checkpoint())

    def rewind(self, checkpoint: Checkpoint) -> None:
        """Go back to where it stood, unfinished. The attempt rises by one: the same noise would be biased."""
        self._restore(checkpoint)
        self._attempt += 1

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.prefix, self._context = checkpoint.prefix, checkpoint.context
        self._states, self._need = checkpoint.states, checkpoint.need
        self.texts.rewind(checkpoint.text)
        self._asked.clear()
        self.finish_reason = None

    def text_of(self, tokens: int) -> str:
        """The text of the first ``tokens`` tokens, as if there were no others. O(tokens)."""
        stream = self._text_stream()
        for token_id in self.output_ids[:tokens]:
            stream.take(token_id)
        stream.finish()
        return stream.text

    def finish(self, reason: FinishReason) -> str:
        """End the sequence. Returns the text that was held back until now."""
        if self.finish_reason is None:
            self.finish_reason = reason
            return self.texts.finish()
        return ""

    def _decide(self, dist: Distribution, final: bool, waited: float, drawn: Drawn | None) -> Decided:
        """Choose a token and go on."""
        if self.finished:
            raise ParameterError(f"the sequence has finished ({self.finish_reason}); there is nothing to feed")
        started = time.perf_counter()
        before = self.checkpoint()
        step = self._context.step
        raced = drawn is not None and drawn.choice is not None
        noise = drawn.noise if drawn is not None and raced else self.randomness.at(step, draw=self._attempt)
        reshaped, choice = self._choose(dist, noise, final, drawn)
        if self.noted and self.chain.stateful:
            choice = reshaped.placed(choice)
        self._advance(choice.token_id, reshaped.states_after(choice))
        text, asked = self.texts.take(choice.token_id), tuple(self._asked)
        self._asked.clear()
        seconds = time.perf_counter() - started
        return Decided(dist, reshaped, choice, noise, text, asked, before, self.complete, waited, seconds)

    def _choose(
        self, dist: Distribution, noise: BoundRandomness, final: bool, drawn: Drawn | None
    ) -> tuple[Reshaped, Choice]:
        """Run the chain and draw. Where more must be disclosed, the need grows and `Undisclosed` is raised again."""
        # An impure processor runs only once, so the first answer is final.
        truncate = (final or not self.chain.pure) and self._on_undisclosed == "truncate"
        try:
            if drawn is None:
                reshaped, choice = self.chain.reshape(dist, self._context, self._states, noise, truncate=truncate), None
            else:
                reshaped, choice, _ = drawn
            if choice is None:
                choice, reshaped = reshaped.choose(noise, truncate=truncate)
        except Undisclosed as error:
            self._need = self._need | error.need
            self._asked.append((error.question, error.need))
            raise
        return reshaped, choice

    def _advance(self, token_id: int, states: tuple[Any, ...]) -> None:
        context = self._context
        ids = context.output_ids
        assert isinstance(ids, TokenIds)
        self._context = Context(context.prompt_ids, ids.append(token_id), context.tokenizer, context.metadata)
        self._states = states
        self.prefix = self.prefix.extend((token_id,))
        self._need = self.chain.need(self._context, states)

    def _text_stream(self) -> TokenText:
        return TokenText(self._tokenizer, self.stop.strings, self._ends)

    def _close(self, step: Step, last: FinishReason | None, *, limited: bool = True) -> Step:
        """Decide whether this step is the last; if it is, add the text that was held back."""
        wanted = self.stop.until is not None and self.stop.until(step)  # first, so that it sees every step
        held = self._end(step.token_id, last, wanted=wanted, limited=limited)
        return replace(step, text=step.text + held) if held else step

    def _end(self, token_id: int, last: FinishReason | None, *, wanted: bool = False, limited: bool = True) -> str:
        """End after this token, if it is the last. Returns the text that was held back."""
        reason: FinishReason | None = None
        if wanted or token_id in self._ends or self.texts.stopped:
            reason = "stop"
        elif limited and self._context.step >= self.stop.max_tokens:
            reason = "length"
        else:
            reason = last
        return "" if reason is None else self.finish(reason)


def _row(dist: Distribution) -> tuple[Ids | None, NDArray[Any]]:
    """The answer's own scores, for the record: float32 where the adapter gave float32."""
    return dist.token_ids, dist.row.values if dist.row.scale == 1.0 else dist.scores
