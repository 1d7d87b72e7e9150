"""Runs as spans of OpenTelemetry. Extra: ``otel``."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from decodekit import ConfigError, Step
from decodekit.trace import Header, Resumption, SequenceEnd
from decodekit.trace.columns import run_of
from decodekit_sinks import conventions as name

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Spans"]

_LARGEST = 2**63 - 1  # of an attribute


class Spans:
    """One span for each generation (a call, of one sequence or of several), a child of the caller's current span.

    Its attributes are usage, finish reasons, and in ``decodekit.*`` means of surprisal and entropy, the least margin,
    and how many steps had undisclosed tokens. All names are in `decodekit_sinks.conventions`. What an exporter does
    with spans is up to the application.

    Args:
        tracer_provider: where spans begin; OpenTelemetry's global one when None.
        content: also the generated texts and the messages of errors. They may be private.

    Raises:
        ConfigError: opentelemetry-api is not installed.
    """

    def __init__(self, *, tracer_provider: Any = None, content: bool = False) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ConfigError("the sink opentelemetry needs its API: pip install 'decodekit[otel]'") from error
        provider: TracerProvider = tracer_provider or trace.get_tracer_provider()
        self._tracer = provider.get_tracer("decodekit", schema_url=name.SCHEMA_URL)
        self.content = content

    def __repr__(self) -> str:
        return f"Spans(content={self.content})"

    def open(self, header: Header) -> _SpanWriter:
        """Begin the span of a run."""
        adapter, model = str(header.adapter["name"]), str(header.adapter["model"])
        attributes: dict[str, Any] = {
            name.OPERATION: name.COMPLETION,
            name.PROVIDER: adapter,
            name.MODEL: model,
            name.CHOICES: len(header.sequences),
            name.INPUT_TOKENS: sum(len(header.prompts[prompt]) for _, prompt in header.sequences),
            name.RUN: run_of(header),
            name.SEED_TEXT: str(header.seed),
            name.LEVEL: header.level,
        }
        if header.seed <= _LARGEST:
            attributes[name.SEED] = header.seed
        if header.stop.get("max_tokens") is not None:
            attributes[name.MAX_TOKENS] = header.stop["max_tokens"]
        return _SpanWriter(self._tracer.start_span(f"{name.COMPLETION} {model}", attributes=attributes), self.content)


class _SpanWriter:
    """Sums up the steps of one run, and ends its span."""

    def __init__(self, span: Span, content: bool) -> None:
        self._span, self._content = span, content
        self._texts: defaultdict[int, list[str]] = defaultdict(list)
        self._sums: dict[str, float] = dict.fromkeys((name.PREDICT_SECONDS, name.CHAIN_SECONDS), 0.0)
        self._counts: dict[str, int] = dict.fromkeys((name.STEPS, name.UNDISCLOSED, name.ABANDONED), 0)
        self._known: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])  # how many, and their sum
        self._margin = math.inf

    def write(self, step: Step) -> None:
        """Add a step to the sums."""
        self._counts[name.STEPS] += 1
        self._counts[name.UNDISCLOSED] += step.raw.tail is not None
        self._counts[name.ABANDONED] += len(step.abandoned)
        self._sums[name.PREDICT_SECONDS] += step.timing.predict
        self._sums[name.CHAIN_SECONDS] += step.timing.chain
        self._margin = min(self._margin, step.choice.margin)
        logprob = step.choice.raw_logprob
        for key, value in (
            (name.MEAN_SURPRISAL, None if logprob is None else -logprob),
            (name.MEAN_ENTROPY, step.raw.entropy),
        ):
            if value is not None:
                self._known[key][0] += 1
                self._known[key][1] += value
        if self._content:
            self._texts[step.stream].append(step.text)

    def resumed(self, resumption: Resumption) -> None:
        """Note where the run was resumed."""
        self._span.set_attribute(name.RESUMED_AFTER, resumption.steps)

    def close(self, ends: Sequence[SequenceEnd]) -> None:
        """Set the attributes, and end the span."""
        means = {key: total / count for key, (count, total) in self._known.items()}
        self._span.set_attributes({**self._counts, **self._sums, **means})
        if math.isfinite(self._margin):
            self._span.set_attribute(name.MIN_MARGIN, self._margin)
        self._span.set_attribute(name.FINISH_REASONS, [end.finish_reason for end in ends])
        self._span.set_attribute(name.OUTPUT_TOKENS, sum(end.tokens for end in ends))
        if self._content:
            self._span.set_attribute(name.OUTPUT_MESSAGES, json.dumps([self._message(end) for end in ends]))
        failed = [end.error for end in ends if end.finish_reason == "error"]
        if failed:
            self._fail(failed[0])
        self._span.end()

    def discard(self) -> None:
        """The run did not begin: the span ends as an error."""
        self._fail(None)
        self._span.end()

    def _message(self, end: SequenceEnd) -> dict[str, Any]:
        text = "".join(self._texts[end.stream][: end.tokens])
        parts = [{"type": "text", "content": text}]
        return {"role": "assistant", "parts": parts, "finish_reason": end.finish_reason}

    def _fail(self, message: str | None) -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute(name.ERROR_TYPE, "_OTHER")
        self._span.set_status(Status(StatusCode.ERROR, message if self._content else None))
