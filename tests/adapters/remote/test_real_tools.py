"""Tools with llama-server and llama-cpp-python's server themselves. Opt in with -m real_server.

SmolLM2 is no model for tools: examples in the conversation make it call one, or the server is told which it must call.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")

import decodekit
from decodekit import Session
from decodekit_remote import RemoteAdapter
from tests.adapters.llamacpp.bare_loop import model_path
from tests.adapters.remote.real import answering, free_port, llama_cpp_python
from tests.adapters.remote.tool_answers import CITY, DIALECTS

pytestmark = [pytest.mark.real_server, pytest.mark.slow, pytest.mark.timeout(600)]

PROGRAM = os.environ.get("DECODEKIT_LLAMA_SERVER") or shutil.which("llama-server")
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Of a city.", "parameters": CITY},
}
TEMPLATE = """{%- if tools %}<|im_start|>system
Tools: <tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
A call is <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def examples() -> list[Any]:
    talk: list[Any] = []
    for at, city in enumerate(["Paris", "London", "Oslo", "Madrid"]):
        function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
        talk += [
            {"role": "user", "content": f"What is the weather in {city}?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"c{at}", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": f"c{at}", "content": f"{10 + at} degrees"},
            {"role": "assistant", "content": f"It is {10 + at} degrees in {city}."},
        ]
    return [*talk, {"role": "user", "content": "What is the weather in Rome?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("there is no llama-server on the PATH, and DECODEKIT_LLAMA_SERVER names none")
    template: Path = tmp_path_factory.mktemp("template") / "tools.jinja"
    template.write_text(TEMPLATE)
    port = free_port()
    command = [PROGRAM, "-m", model_path(), "--host", "127.0.0.1", "--port", str(port), "-c", "4096", "-t", "1"]
    with answering([*command, "--jinja", "--chat-template-file", str(template)], f"http://127.0.0.1:{port}") as url:
        yield url


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_its_answer_and_the_last_answer(server: str, dialect: str) -> None:
    talk = examples()
    with Session(RemoteAdapter(base_url=server, dialect=dialect), "temperature=0 provider", seed=1) as session:
        first = session.generate(talk, max_tokens=100, tools=[WEATHER])
        (call,) = first.tool_calls
        assert (first.finish_reason, call.name, call.parsed, call.fault) == (
            "tool_calls",
            "get_weather",
            {"city": "Rome"},
            "",
        )
        assert decodekit.verify(first.trace).word == "consistent"
        last = session.generate([*talk, first.message, call.answer("31 degrees")], max_tokens=40, tools=[WEATHER])
        assert "31 degrees" in last.text and last.finish_reason == "stop"


def test_a_tool_that_llama_cpp_python_is_told_to_call() -> None:
    talk: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
    named = {"type": "function", "function": {"name": "get_weather"}}
    with (
        llama_cpp_python(model_path(), "--chat_format", "chatml-function-calling") as url,
        Session(RemoteAdapter(base_url=url), "temperature=0", seed=1) as session,
    ):
        first = session.generate(talk, max_tokens=60, tools=[WEATHER], tool_choice=named)
        (call,) = first.tool_calls
        assert first.finish_reason == "tool_calls" and call.parsed is not None and set(call.parsed) == {"city"}
        talk += [first.message, call.answer("18 degrees")]
        assert session.generate(talk, max_tokens=20, tools=[WEATHER], tool_choice="none").text
