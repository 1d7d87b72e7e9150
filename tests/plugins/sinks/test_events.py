"""The structlog sink: an event for each step, and no text unless it is asked for."""

from __future__ import annotations

import logging

import pytest
import structlog
from structlog.testing import capture_logs

import decodekit
from decodekit.testing import NGramAdapter, check_sink

ADAPTER = NGramAdapter("the cat sat on the mat. ")


def test_it_keeps_the_contract_for_all_runs() -> None:
    sink = decodekit.sink("structlog", text=True)
    assert check_sink(lambda: sink) > 10


@pytest.mark.parametrize("text", [False, True])
def test_each_step_is_an_event_at_level_debug(text: bool) -> None:
    structlog.configure()
    try:
        with capture_logs() as logs:
            result = decodekit.Session(ADAPTER, seed=7).generate(
                "the ", max_tokens=3, trace=decodekit.sink("structlog", text=text)
            )
    finally:
        structlog.reset_defaults()
    steps = [event for event in logs if event["event"] == "step"]
    assert [event["token_id"] for event in steps] == list(result.token_ids)
    assert [event["logprob"] for event in steps] == [step.choice.logprob for step in result.trace.steps]
    assert {event["log_level"] for event in steps} == {"debug"}
    assert [event.get("text") for event in steps] == (
        [step.text for step in result.trace.steps] if text else [None] * 3
    )
    [end] = [event for event in logs if event["event"] == "sequence ended"]
    assert (end["tokens"], end["finish_reason"]) == (3, "length")
    assert ("error" in end) == text


def test_without_structlog_configured_they_go_to_plain_logging(caplog: pytest.LogCaptureFixture) -> None:
    sink = decodekit.sink("structlog")
    with caplog.at_level(logging.DEBUG, "decodekit.steps"):
        decodekit.Session(ADAPTER, seed=7).generate("the ", max_tokens=2, trace=sink)
    assert [record.message.split()[0] for record in caplog.records if record.name == "decodekit.steps"] == [
        "step", "step", "sequence",
    ]  # fmt: skip
