"""The loop: ask the adapter, feed the decoders, hand out steps. Batch first; one sequence is a batch of one.

A call is a run: it has one seed, its sequences have different streams, and the same call with the same seed gives the
same answer. A session closes only an adapter that it built.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Self

from decodekit.asking import ask, blocking
from decodekit.chain import Chain
from decodekit.decoder import Decoder, OnUndisclosed, Stop
from decodekit.distribution import Distribution
from decodekit.errors import AdapterError, ContextOverflow, DecodekitError, ParameterError, Undisclosed
from decodekit.log import get_logger
from decodekit.prefix import Prefix
from decodekit.protocols import Adapter, AsyncAdapter, Message
from decodekit.randomness import Randomness
from decodekit.step import FinishReason, Level, Step
from decodekit.trace.format import Footer, Header, SequenceEnd, Trace
from decodekit.trace.writer import TraceWriter

__all__ = ["Prompt", "Result", "Session"]

Prompt = str | Sequence[int] | Sequence[Message] | Prefix
Path = str | os.PathLike[str]

_MOST_QUESTIONS = 6  # a disclosure that grows fourfold each time covers any vocabulary long before this
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
        if isinstance(top_logprobs, bool) or not 0 <= top_logprobs <= 1000:
            raise ParameterError(f"top_logprobs must be an integer from 0 to 1000, not {top_logprobs!r}")
        if seed is not None:
            Randomness(seed)
        Stop(max_tokens)
        self.adapter = blocking(adapter)
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
        """Close the adapter if this session built it, or its own facade over an async one."""
        if self._owns_adapter:
            self.adapter.close()

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
        run = _Run(
            self, [prompt], [stream], seed, _stop(self, max_tokens, stop, stop_ids, until), level, trace, deadline
        )
        with run:
            for step in run.steps():
                run.kept.append(step)
        result = run.results()[0]
        if result.error is not None:
            result.error.partial = result
            raise result.error
        return result

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
    ) -> Iterator[Step]:
        """As `generate`, one `Step` at a time. The steps' texts add up to the result's text.

        Closing the iterator early ends the run as 'cancelled'; its trace is whole.
        """
        run = _Run(
            self, [prompt], [stream], seed, _stop(self, max_tokens, stop, stop_ids, until), level, trace, deadline
        )
        return _streamed(run)

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
        if isinstance(n, bool) or not 1 <= n <= _MOST_SAMPLES:
            raise ParameterError(f"n must be an integer from 1 to {_MOST_SAMPLES}, not {n!r}")
        if isinstance(prompts, str):
            raise ParameterError("generate_many takes a list of prompts; for one prompt use generate")
        streams = [stream + (i << 32 | j) for i in range(len(prompts)) for j in range(n)]
        stop_rule = _stop(self, max_tokens, stop, stop_ids, until)
        run = _Run(self, prompts, streams, seed, stop_rule, level, trace, deadline)
        with run:
            for step in run.steps():
                run.kept.append(step)
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
    return Stop(session.max_tokens if max_tokens is None else max_tokens, listed, frozenset(ids), until)


def _streamed(run: _Run) -> Iterator[Step]:
    with run:
        yield from run.steps()
    error = run.errors.get(0)
    if error is not None:
        error.partial = run.results()[0]
        raise error


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
    kept: list[Step] = field(default_factory=list)
    errors: dict[int, DecodekitError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        session = self.session
        if self.level not in ("choice", "proof", "full"):
            raise ParameterError(f"level is 'choice', 'proof' or 'full', not {self.level!r}")
        seed = session.seed if self.seed is None else self.seed
        self.seed = Randomness(seed).seed
        self.prefixes = [as_prefix(session.adapter, prompt, i) for i, prompt in enumerate(self.prompts)]
        samples = len(self.streams) // max(len(self.prefixes), 1)
        self.ends_at = None if self.deadline is None else time.monotonic() + self.deadline
        self.decoders = [
            Decoder(
                session.chain,
                Randomness(self.seed, stream),
                self.prefixes[i // samples],
                self.stop,
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
            adapter=_plain(asdict(session.adapter.info)),
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
        for decoder in self.decoders:
            decoder.finish(unfinished)
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
            tokens=sum(len(decoder.output_ids) for decoder in self.decoders),
            reasons=sorted({str(decoder.finish_reason) for decoder in self.decoders}),
        )

    def steps(self) -> Iterator[Step]:
        """Drive all decoders to their end. Sequences enter in order, as many at a time as the adapter serves well."""
        room = self.session.adapter.info.concurrency
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
        trace = Trace(self.header, self.kept, self.footer)
        return [
            Result(
                text=decoder.text,
                token_ids=tuple(decoder.output_ids),
                finish_reason=decoder.finish_reason or "cancelled",
                seed=self.header.seed,
                trace=trace,
                stream=decoder.randomness.stream,
                error=self.errors.get(i),
            )
            for i, decoder in enumerate(self.decoders)
        ]

    def _round(self, active: list[int]) -> Iterator[Step]:
        """One token for each active sequence."""
        asking, final = list(active), dict.fromkeys(active, False)
        disclosed: dict[int, int] = {}
        for _ in range(_MOST_QUESTIONS):
            decoders = [self.decoders[i] for i in asking]
            started = time.perf_counter()
            answers = ask(self.session.adapter, [d.prefix for d in decoders], [d.need for d in decoders])
            waited = time.perf_counter() - started
            late = self.ends_at is not None and time.monotonic() >= self.ends_at
            again: list[int] = []
            for i, answer in zip(asking, answers, strict=True):
                if isinstance(answer, DecodekitError):
                    self._fail(i, answer)
                    continue
                shown = 0 if answer.tail is None else len(answer.scores)
                final[i] = answer.tail is None or disclosed.get(i) == shown
                disclosed[i] = shown
                step = self._feed(i, answer, final[i], waited, late, again)
                if step is not None:
                    if self.writer is not None:
                        self.writer.write(step)
                    yield step
            if not again:
                return
            asking = again
        for i in asking:
            self._fail(i, AdapterError("the adapter answers ever more, and never enough"))

    def _feed(
        self, i: int, answer: Distribution, final: bool, waited: float, late: bool, again: list[int]
    ) -> Step | None:
        decoder = self.decoders[i]
        try:
            return decoder.feed(answer, final=final, waited=waited, last="deadline" if late else None)
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

    def _fail(self, i: int, error: DecodekitError) -> None:
        decoder = self.decoders[i]
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
                len(decoder.output_ids),
                decoder.finish_reason or "cancelled",
                str(self.errors.get(i) or error) if decoder.finish_reason == "error" else None,
            )
            for i, decoder in enumerate(self.decoders)
        ]


def as_prefix(adapter: Adapter, prompt: Prompt, index: int = 0) -> Prefix:
    """A prompt in any of its forms as token ids, checked against the vocabulary.

    Raises:
        ParameterError: an empty prompt, an id outside the vocabulary, text or messages without a tokenizer.
    """
    where = f"prompt {index}"
    tokenizer = adapter.tokenizer
    if isinstance(prompt, Prefix):
        prefix = prompt
    elif isinstance(prompt, str) or (len(prompt) and isinstance(prompt[0], Mapping)):
        if tokenizer is None:
            raise ParameterError(f"{where}: this adapter has no tokenizer; give token ids")
        if isinstance(prompt, str):
            begin = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
            prefix = Prefix(begin + tokenizer.encode(prompt))
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


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in data.items()}


def _template_digest(adapter: Adapter) -> str:
    template = getattr(adapter.tokenizer, "chat_template", None)
    return blake2b(template.encode(), digest_size=16).hexdigest() if isinstance(template, str) else ""
