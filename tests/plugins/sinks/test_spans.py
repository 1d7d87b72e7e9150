"""The OpenTelemetry sink: a span for each generation, with usage, means and no text unless it is asked for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter, check_sink

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from decodekit_sinks import conventions as name

ADAPTER = NGramAdapter("the cat sat on the mat. ")


class Seen:
    """A sink, and the spans that it ended."""

    def __init__(self, **params: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.sink = decodekit.sink("opentelemetry", tracer_provider=self.provider, **params)

    @property
    def spans(self) -> Any:
        return self._exporter.get_finished_spans()


def test_it_keeps_the_contract_and_every_span_ends() -> None:
    seen = Seen(content=True)
    written = check_sink(lambda: seen.sink)
    assert len(seen.spans) == written + 1  # one run did not begin
    assert sum(span.status.status_code is StatusCode.ERROR for span in seen.spans) == 2


def test_a_span_sums_up_a_call_and_is_a_child_of_the_callers() -> None:
    seen = Seen()
    session = decodekit.Session(ADAPTER, "temperature=0.8", seed=2**64 - 1)
    with seen.provider.get_tracer("application").start_as_current_span("request"):
        rows = session.generate_many(["the ", "cat"], max_tokens=4, trace=seen.sink)
    span, parent = seen.spans
    assert span.parent.span_id == parent.context.span_id
    steps = rows[0][0].trace.steps
    have = dict(span.attributes)
    assert have[name.OPERATION] == name.COMPLETION and have[name.CHOICES] == 2
    assert (have[name.INPUT_TOKENS], have[name.OUTPUT_TOKENS]) == (7, 8)
    assert have[name.FINISH_REASONS] == ("length", "length")
    assert have[name.SEED_TEXT] == str(2**64 - 1) and name.SEED not in have
    surprisals = [-step.choice.raw_logprob for row in rows for result in row for step in result.trace.steps]
    assert have[name.MEAN_SURPRISAL] == pytest.approx(np.mean(surprisals))
    assert have[name.MIN_MARGIN] == min(step.choice.margin for row in rows for r in row for step in r.trace.steps)
    assert have[name.STEPS] == 8 and have[name.UNDISCLOSED] == 0
    assert not any(step.text.strip() and step.text in str(span.attributes.get(name.OUTPUT_MESSAGES)) for step in steps)
    assert set(have) <= {value for key, value in vars(name).items() if key.isupper()}


def test_text_and_messages_of_errors_are_there_only_when_asked_for() -> None:
    secret = "the secret text"

    def fails(ids: tuple[int, ...]) -> Any:
        if len(ids) > 2:
            raise decodekit.AdapterError(secret)
        return np.arange(5.0)

    for content in (False, True):
        seen = Seen(content=content)
        with pytest.raises(decodekit.DecodekitError):
            decodekit.Session(TableAdapter(fails, 5), seed=1).generate([0], max_tokens=5, trace=seen.sink)
        result = decodekit.Session(ADAPTER, seed=1).generate("the ", max_tokens=5, trace=seen.sink)
        failed, ended = seen.spans
        assert failed.status.status_code is StatusCode.ERROR and ended.status.status_code is not StatusCode.ERROR
        assert failed.attributes[name.OUTPUT_TOKENS] == 2 and failed.attributes[name.ERROR_TYPE] == "_OTHER"
        everything = failed.to_json() + ended.to_json()
        assert (secret in everything) == content
        assert (name.OUTPUT_MESSAGES in everything) == content
        if content:
            [message] = json.loads(ended.attributes[name.OUTPUT_MESSAGES])
            assert message["parts"][0]["content"] == result.text


def test_a_resumed_run_says_so() -> None:
    seen, session = Seen(), decodekit.Session(ADAPTER, seed=1)
    trace = session.generate("the ", max_tokens=2).trace
    decodekit.resume(trace, ADAPTER, max_tokens=4, trace=seen.sink)
    [span] = seen.spans
    assert span.attributes[name.RESUMED_AFTER] == 2 and span.attributes[name.OUTPUT_TOKENS] == 4
