"""What providers refuse, how their answers end, and which model they say answered."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import Session
from decodekit.errors import ProviderError
from tests.adapters.remote.scripted import TALK, anthropic, chunk, entry, generated, playing, responses, streamed

STOP = chunk("", None, "stop")


def refusing(
    *names: str, then: Any, message: str = "Unsupported parameter: '{}' is not supported with this model."
) -> Any:
    """Refuses requests with these parameters, as models that reason do."""

    def answer(number: int, body: Any) -> Any:
        for name in names:
            if name in body:
                error = {"message": message.format(name), "type": "invalid_request_error", "param": name}
                return 400, "application/json", [json.dumps({"error": error}).encode()]
        return then if isinstance(then, tuple) else streamed(then)

    return answer


@pytest.mark.parametrize("dialect", ["openai_responses", "openai_chat"])
def test_a_model_that_takes_no_temperature_is_asked_without_where_that_changes_nothing(dialect: str) -> None:
    end = {"type": "response.completed", "response": {"status": "completed", "model": "m"}}
    events = responses(("Hi", []), end=end) if dialect == "openai_responses" else [chunk("Hi"), STOP]
    with playing(refusing("temperature", "top_p", then=events)) as server:
        result = generated(server, dialect)
        assert "temperature" not in server.asked[-1][1] and "top_p" not in server.asked[-1][1]
    assert result.text == "Hi" and result.trace.steps[0].schedule["not_sent"] == "temperature, top_p"


@pytest.mark.parametrize(("dialect", "name"), [("openai_responses", "include"), ("openai_chat", "logprobs")])
def test_logprobs_that_are_refused_are_left_out(dialect: str, name: str) -> None:
    events = responses(("Hi", [])) if dialect == "openai_responses" else [chunk("Hi"), STOP]
    message = "logprobs are not supported with reasoning models."
    with playing(refusing(name, then=events, message=message)) as server:
        result = generated(server, dialect)
    assert result.text == "Hi" and "logprobs" in result.trace.steps[0].schedule["not_sent"]


def test_a_temperature_that_the_chain_needs_is_refused_with_the_way_out() -> None:
    with (
        playing(refusing("temperature", then=[chunk("Hi"), STOP])) as server,
        pytest.raises(ProviderError, match="needs temperature, so change the chain"),
    ):
        generated(server, "openai_responses", chain="temperature=0.8 provider")


def test_a_full_context_is_told_from_max_tokens() -> None:
    with playing(lambda *_: streamed(anthropic("a", reason="model_context_window_exceeded"), done=False)) as server:
        assert generated(server, "anthropic_messages").finish_reason == "context"
    with playing([chunk("a", None, "model_length")]) as server:  # as Mistral says it
        assert generated(server).finish_reason == "context"


def whole(**message: Any) -> Any:
    """An answer that is not streamed, with a reason that no text has."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "content_filter"}
    return 200, "application/json", [json.dumps({"model": "m", "choices": [choice]}).encode()]


def one_response(*output: Any) -> Any:
    answer = {"object": "response", "status": "completed", "model": "m", "output": list(output)}
    return 200, "application/json", [json.dumps(answer).encode()]


SAID = {"type": "message", "content": [{"type": "output_text", "text": "paid"}]}
REFUSED = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
MESSAGE = {"type": "message", "model": "m", "stop_reason": "refusal", "content": [{"type": "text", "text": "paid"}]}
ENDS: dict[str, tuple[str, Any]] = {
    "a filter": ("openai_chat", streamed([chunk("pa"), chunk("id", None, "content_filter")])),
    "a tool": ("openai_chat", streamed([chunk("pa"), chunk("id", None, "tool_calls", tool_calls=[{"id": "1"}])])),
    "a refusal": ("openai_chat", streamed([chunk("pa"), chunk("id", None, "stop", refusal="no")])),
    "a whole answer": ("openai_chat", whole(content="paid")),
    "a whole answer with a call": ("openai_chat", whole(content="paid", tool_calls=[{"id": "1"}])),
    "a whole response with a call": ("openai_responses", one_response(SAID, {"type": "function_call"})),
    "a whole response with a refusal": ("openai_responses", one_response(SAID, REFUSED)),
    "a whole message": ("anthropic_messages", (200, "application/json", [json.dumps(MESSAGE).encode()])),
    "a message": ("anthropic_messages", streamed(anthropic("paid", reason="refusal"), done=False)),
}


@pytest.mark.parametrize("case", ENDS)
def test_text_that_comes_with_the_reason_is_in_the_error(case: str) -> None:
    dialect, answer = ENDS[case]
    with playing(lambda *_: answer) as server, pytest.raises(ProviderError) as caught:
        generated(server, dialect)
    assert caught.value.partial is not None and caught.value.partial.text == "paid"


def test_an_empty_reason_is_none() -> None:
    with playing([chunk("a", None, ""), chunk("b", None, ""), STOP]) as server:
        assert generated(server).text == "ab"


def test_the_model_that_answered_is_recorded_and_another_one_is_warned_of(caplog: Any) -> None:
    def answer(number: int, body: Any) -> Any:
        name = {"model": f"m-2026-0{number}"}
        return streamed([chunk("a", [entry("a")]) | name, STOP | name])

    with (
        playing(answer) as server,
        caplog.at_level(logging.WARNING),
        Session(server.adapter(model="m"), "provider", seed=1) as session,
    ):
        first, second = (session.generate(TALK, max_tokens=4) for _ in range(2))
    assert [each.trace.steps[0].schedule["model"] for each in (first, second)] == ["m-2026-01", "m-2026-02"]
    assert sum("another model answers" in record.getMessage() for record in caplog.records) == 1


def test_ids_that_are_hashes_stand_in_a_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow.parquet import read_table

    with playing([chunk("a", [entry("a")]), STOP]) as server:
        result = generated(server, trace=tmp_path / "run.parquet")
    (row,) = read_table(tmp_path / "run.parquet").to_pylist()
    assert row["token_id"] == result.token_ids[0] > 2**31 and row["raw_top_ids"] == [row["token_id"]]
