"""The loop: ask the adapter, feed the decoders, hand out steps. Batch first; one sequence is a batch of one.

A call is a run: it has one seed, its sequences have different streams, and the same call with the same seed gives the
same answer. A session closes only an adapter that it built.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any, Self

import numpy as np

from decodekit.asking import BlockingAdapter, ask, blocking
from decodekit.chain import Chain
from decodekit.decoder import Decoder, OnUndisclosed, Stop
from decodekit.disclosure import ALL
from decodekit.distribution import Distribution
from decodekit.errors import ContextOverflow, DecodekitError, DistributionError, ParameterError, Undisclosed
from decodekit.log import get_logger
from decodekit.prefix import Prefix
from decodekit.protocols import Adapter, AdapterInfo, AsyncAdapter, Message
from decodekit.randomness import Randomness
from decodekit.step import FinishReason, Level, Step
from decodekit.trace.format import Footer, Header, SequenceEnd, Trace
from decodekit.trace.writer import TraceWriter

__all__ = ["Prompt", "Result", "Session"]

Prompt = str | Sequence[int] | Sequence[Message] | Prefix
Path = str | os.PathLike[str]

_MOST_QUESTIONS = 6  # the last of them asks for everything
_MOST_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a generation came to.

    Args:
        text: the text, without the end-of-text token and without a matched stop string.
        token_ids: all ids, the end-of-text token and those of a stop string included.
        finish_reason: 'stop', 'length', 'deadline', 'cancelled' or 'error'.
        seed: the seed of the run, drawn if none was given.
        trace: every step of the run; in a batch, of all its sequences.
        stream: which sequence of the run this is.
        error: what ended it, when the reason is 'error'.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    seed: int
    trace: Trace
    stream: int = 0
    error: DecodekitError | None = None


class Session:
    """Decodes prompts with one adapter and one chain.

    Args:
        adapter: any `Adapter` or `AsyncAdapter`. It stays yours to close.
        chain: what to do with each distribution.
        seed: the seed of every call that is given none; None draws a fresh one for each call and records it.
        on_undisclosed: what to do when a chain needs more than the adapter can disclose: 'error', or 'truncate' to
            what was shown, which is recorded.
        max_tokens: the default of every call.
        metadata: handed to processors as ``ctx.metadata``.
        top_logprobs: how many leading tokens each step keeps, raw and after each processor.

    Raises:
        ParameterError: a policy or a number that does not exist.
    """

    def __init__(
        self,
        adapter: Adapter | AsyncAdapter,
        chain: Chain | None = None,
        *,
        seed: int | None = None,
        on_undisclosed: OnUndisclosed = "error",
        max_tokens: int = 256,
        metadata: Mapping[str, Any] | None = None,
        top_logprobs: int = 5,
    ) -> None:
        if on_undisclosed not in ("error", "truncate"):
            raise ParameterError(f"on_undisclosed is 'error' or 'truncate', not {on_undisclosed!r}")
        if type(top_logprobs) is not int or not 0 <= top_logprobs <= 1000:
            raise ParameterError(f"top_logprobs must be an integer from 0 to 1000, not {top_logprobs!r}")
        if seed is not None:
            Randomness(seed)
        Stop(max_tokens)
        self.adapter = blocking(adapter)
        self._facade = (
            self.adapter if isinstance(self.adapter, BlockingAdapter) and self.adapter is not adapter else None
        )
        self.chain = chain or Chain()
        self.seed = seed
        self.on_undisclosed: OnUndisclosed = on_undisclosed
        self.max_tokens = max_tokens
        self._metadata = metadata
        self._top = top_logprobs
        self._owns_adapter = False
        self._config: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: Path | Mapping[str, Any]) -> Self:
        """A session from a TOML file or the same structure as a dict; the session closes the adapter it builds.

        Raises:
            ConfigError: what is wrong, where, and what was probably meant.
        """
        from decodekit.config import load_config

        resolved = load_config(config)
        chain = resolved.build_chain()
        session = cls(resolved.build_adapter(), chain, **resolved.session_options())
        session._owns_adapter = True
        session._config = resolved.as_data()
        return session

    def close(self) -> None:
        """Close the adapter if this session built it; of somebody else's async adapter, only our facade's thread."""
        if self._owns_adapter:
            self.adapter.close()
        elif self._facade is not None:
            self._facade.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def generate(
        self,
        prompt: Prompt,
        *,
        max_tokens: int | None = None,
        seed: int | None = None,
        stream: int = 0,
        stop: Sequence[str] | str = (),
        stop_ids: Sequence[int] = (),
        deadline: float | None = None,
        until: Callable[[Step], bool] | None = None,
        trace: Path | None = None,
        level: Level = "proof",
    ) -> Result:
        """Continue one prompt.

        Args:
            prompt: text (taken raw), token ids, chat messages (the model's template is applied), or a `Prefix`.
            max_tokens: at most this many; the session's default when None.
            seed: the run's seed; the session's when None.
            stream: which noise of that seed to use.
            stop: texts that end it, cut from the text.
            stop_ids: ids that end it.
            deadline: seconds from now after which no further token is begun.
            until: sees each `Step`; true ends the generation.
            trace: a file to write the trace to, as it happens.
            level: 'choice', 'proof' or 'full'.

        Raises:
            DecodekitError: with everything generated so far in ``partial``.
        """
        rule = _stop(self, max_tokens, stop, stop_ids, until)
        run = _Run(self, [prompt], [stream], seed, rule, level, trace, deadline, kept=[])
        with run:
            for _ in run.steps():
                pass
        return run.only_result()

    def stream(
        self,
        prompt: Prompt,
        *,
        max_tokens: int | None = None,
        seed: int | None = None,
        stream: int = 0,
        stop: Sequence[str] | str = (),
        stop_ids: Sequence[int] = (),
        deadline: float | None = None,
        until: Callable[[Step], bool] | None = None,
        trace: Path | None = None,
        level: Level = "proof",
    ) -> Generator[Step, None, Result]:
        """As `generate`, one `Step` at a time. The steps' texts add up to the result's text.

        Closing the iterator early ends the run as 'cancelled'; its trace is whole. The steps are yours to keep: an
        error's ``partial`` has the ids and the text, and no steps.
        """
        rule = _stop(self, max_tokens, stop, stop_ids, until)
        return _streamed(_Run(self, [prompt], [stream], seed, rule, level, trace, deadline))

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        n: int = 1,
        max_tokens: int | None = None,
        seed: int | None = None,
        stream: int = 0,
        stop: Sequence[str] | str = (),
        stop_ids: Sequence[int] = (),
        deadline: float | None = None,
        until: Callable[[Step], bool] | None = None,
        trace: Path | None = None,
        level: Level = "proof",
    ) -> list[list[Result]]:
        """Continue many prompts, ``n`` times each, together.

        Sample j of prompt i uses stream ``i << 32 | j`` (plus ``stream``), so more prompts or samples shift no other's
        noise. One failing sequence ends alone, with ``finish_reason='error'``.

        Returns:
            For each prompt its n results.
        """
        if type(n) is not int or not 1 <= n <= _MOST_SAMPLES:
            raise ParameterError(f"n must be an integer from 1 to {_MOST_SAMPLES}, not {n!r}")
        if isinstance(prompts, str | Prefix):
            raise ParameterError("generate_many takes a list of prompts; for one prompt use generate")
        streams = [stream + (i << 32 | j) for i in range(len(prompts)) for j in range(n)]
        rule = _stop(self, max_tokens, stop, stop_ids, until)
        run = _Run(self, prompts, streams, seed, rule, level, trace, deadline, kept=[])
        with run:
            for _ in run.steps():
                pass
        results = run.results()
        return [results[i * n : (i + 1) * n] for i in range(len(prompts))]


def _stop(
    session: Session,
    max_tokens: int | None,
    strings: Sequence[str] | str,
    ids: Sequence[int],
    until: Callable[[Step], bool] | None,
) -> Stop:
    listed = (strings,) if isinstance(strings, str) else tuple(strings)
    given: Sequence[Any] = ids
    for token_id in given:
        if not isinstance(token_id, int | np.integer) or token_id < 0:
            raise ParameterError(f"stop_ids are token ids, and {token_id!r} is none")
    return Stop(session.max_tokens if max_tokens is None else max_tokens, listed, frozenset(ids), until)


def _streamed(run: _Run) -> Generator[Step, None, Result]:
    with run:
        yield from run.steps()
    return run.only_result()


@dataclass
class _Run:
    """One call: its decoders, its trace, and the loop that drives them."""

    session: Session
    prompts: Sequence[Prompt]
    streams: list[int]
    seed: int | None
    stop: Stop
    level: Level
    path: Path | None
    deadline: float | None
    kept: list[Step] | None = None  # a list that the steps go into; None when nobody wants them
    errors: dict[int, DecodekitError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        session = self.session
        if self.level not in ("choice", "proof", "full"):
            raise ParameterError(f"level is 'choice', 'proof' or 'full', not {self.level!r}")
        seed = session.seed if self.seed is None else self.seed
        self.seed = Randomness(seed).seed
        self.prefixes = [as_prefix(session.adapter, prompt, i) for i, prompt in enumerate(self.prompts)]
        samples = len(self.streams) // max(len(self.prefixes), 1)
        self.ends_at = None if self.deadline is None else time.monotonic() + _seconds(self.deadline)
        self.recorded = [0] * len(self.streams)
        self.interrupt: BaseException | None = None
        stop = self.stop if self.stop.until is None else replace(self.stop, until=self._watch)
        self.decoders = [
            Decoder(
                session.chain,
                Randomness(self.seed, stream),
                self.prefixes[i // samples],
                stop,
                session.adapter.tokenizer,
                session.on_undisclosed,
                level=self.level,
                top_logprobs=session._top,
                metadata=session._metadata,
            )
            for i, stream in enumerate(self.streams)
        ]
        self.header = Header(
            seed=self.seed,
            level=self.level,
            prompts=[list(prefix.token_ids) for prefix in self.prefixes],
            sequences=[(stream, i // samples) for i, stream in enumerate(self.streams)],
            chain=session.chain.describe(),
            adapter=_plain(session.adapter.info),
            on_undisclosed=session.on_undisclosed,
            stop={"max_tokens": self.stop.max_tokens, "strings": list(self.stop.strings), "ids": sorted(self.stop.ids)},
            config=session._config,
            chat_template=_template_digest(session.adapter),
        )
        self.footer: Footer | None = None
        self.writer: TraceWriter | None = None

    def __enter__(self) -> Self:
        if self.path is not None:
            self.writer = TraceWriter(self.path, self.header)
        get_logger().debug("generation started", sequences=len(self.decoders), seed=self.seed, level=self.level)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        unfinished: FinishReason = "error" if isinstance(error, Exception) else "cancelled"
        for i, decoder in enumerate(self.decoders):
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
        get_logger().debug(
            "generation finished",
            tokens=sum(self.recorded),
            reasons=sorted({str(decoder.finish_reason) for decoder in self.decoders}),
        )

    def steps(self) -> Iterator[Step]:
        """Drive all decoders to their end. Sequences enter in order, as many at a time as the adapter serves well."""
        room = max(1, self.session.adapter.info.concurrency)
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
                return
            yield from self._round(active)

    def results(self) -> list[Result]:
        """The results so far, one per sequence."""
        trace = Trace(self.header, self.kept or [], self.footer)
        return [
            Result(
                text=decoder.text,
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
                answers = ask(self.session.adapter, [decoder.prefix for decoder in decoders], needs)
            except DistributionError as error:
                steps = {len(decoder.output_ids) for decoder in decoders}
                raise _at_step(error, steps.pop() if len(steps) == 1 else None) from error
            waited = time.perf_counter() - started
            late = self.ends_at is not None and time.monotonic() >= self.ends_at
            again: list[int] = []
            for i, answer in zip(asking, answers, strict=True):
                if isinstance(answer, DecodekitError):
                    self._fail(i, answer)
                    continue
                shown = 0 if answer.tail is None else len(answer.scores)
                final = answer.tail is None or disclosed.get(i) == shown or question == _MOST_QUESTIONS
                disclosed[i] = shown
                step = self._feed(i, answer, final, waited, late, again)
                if step is not None:
                    self._record(i, step)
                    yield step
            if not again:
                return
            asking = again

    def _feed(
        self, i: int, answer: Distribution, final: bool, waited: float, late: bool, again: list[int]
    ) -> Step | None:
        decoder = self.decoders[i]
        room = self.session.adapter.info.context_length
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

    def _record(self, i: int, step: Step) -> None:
        if self.writer is not None:
            self.writer.write(step)
        if self.kept is not None:
            self.kept.append(step)
        self.recorded[i] += 1
        if self.interrupt is not None:
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


def as_prefix(adapter: Adapter, prompt: Prompt, index: int = 0) -> Prefix:
    """A prompt in any of its forms as token ids, checked against the vocabulary.

    Raises:
        ParameterError: an empty prompt, an id outside the vocabulary, text or messages without a tokenizer, or
            something that is no prompt.
    """
    where = f"prompt {index}"
    given: object = prompt
    if isinstance(given, bytes | bytearray) or not isinstance(given, str | Prefix | Sequence | np.ndarray):
        raise ParameterError(
            f"{where}: a prompt is text, a list of token ids, a list of messages or a Prefix, "
            f"not {type(prompt).__name__}"
        )
    tokenizer = adapter.tokenizer
    if isinstance(prompt, Prefix):
        prefix = prompt
    elif isinstance(prompt, str) or (len(prompt) and isinstance(prompt[0], Mapping)):
        if tokenizer is None:
            raise ParameterError(f"{where}: this adapter has no tokenizer; give token ids")
        if isinstance(prompt, str):
            begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
            try:
                prefix = Prefix(begin + tokenizer.encode(prompt))
            except UnicodeEncodeError as error:
                raise ParameterError(f"{where} is no Unicode text: {error}") from error
        else:
            prefix = Prefix(tokenizer.encode_messages(prompt))  # type: ignore[arg-type]
    else:
        prefix = Prefix(prompt)  # type: ignore[arg-type]
    if len(prefix) == 0 and tokenizer is not None and tokenizer.bos_id is not None:
        prefix = Prefix([tokenizer.bos_id])
    if len(prefix) == 0:
        raise ParameterError(
            f"{where} is empty, and this model has no begin-of-text token to start from; give it a token"
        )
    size = adapter.info.vocab_size
    largest = int(prefix.since(0).max())
    if size is not None and largest >= size:
        raise ParameterError(f"{where}: token id {largest} lies outside the vocabulary of {size} tokens")
    return prefix


def _at_step(error: DistributionError, step: int | None) -> DistributionError:
    return error if error.step is not None else type(error)(error.message, stage=error.stage, step=step)


def _seconds(deadline: object) -> float:
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not deadline >= 0:
        raise ParameterError(f"deadline is a number of seconds from now, 0 or more, not {deadline!r}")
    return deadline


def _plain(info: AdapterInfo) -> dict[str, Any]:
    return asdict(replace(info, versions=dict(info.versions)))


def _template_digest(adapter: Adapter) -> str:
    template = getattr(adapter.tokenizer, "chat_template", None)
    return blake2b(template.encode(), digest_size=16).hexdigest() if isinstance(template, str) else ""
