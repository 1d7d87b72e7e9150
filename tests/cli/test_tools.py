"""``decodekit generate --tools``: tools for the model of a provider that draws."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import verify
from tests.adapters.remote.scripted import playing
from tests.adapters.remote.tool_answers import ROME, WEATHER, streamed_calls
from tests.cli.conftest import COMMAND, TOY, Decodekit


@pytest.fixture
def tools(tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps([WEATHER]))


def drawn_by(server: Any) -> tuple[str, ...]:
    settings = ("base_url=" + server.url, "dialect=openai_chat", "probe=false")
    return ("--adapter", "remote", *(word for each in settings for word in ("--set", each)), "--sampler", "provider")


def test_calls_are_in_the_json_and_in_the_trace(decodekit: Decodekit, tools: None, tmp_path: Path) -> None:
    whole, broken = (streamed_calls("openai_chat", ROME, text="Well", broken=each) for each in (False, True))
    with playing(lambda number, _: broken if number == 4 else whole) as server:
        run = ("generate", "hi", "--chat", *drawn_by(server), "--seed", "7", "--tools", "tools.json")
        done = decodekit(*run, "--tool-choice", "weather", "--json", "--trace", "run.jsonl")
        (result,) = json.loads(done.stdout)["results"]
        assert result["finish_reason"] == "tool_calls" and result["text"] == "Well"
        assert result["tool_calls"][0]["parsed"] == {"city": "Rome"}
        assert server.asked[-1][1]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        several = decodekit(*run, "-n", "2")
        cut = json.loads(decodekit(*run, "--json").stdout)["results"][0]
    assert (cut["finish_reason"], cut["tool_calls"][0]["complete"]) == ("error", False)
    assert several.stdout.split() == ["Well", "---", "Well"]
    assert 'sample 1 calls weather({"city": "Rome"})' in several.stderr
    assert verify(tmp_path / "run.jsonl").word == "consistent"


def test_each_line_of_many_prompts_may_have_its_own(decodekit: Decodekit, tools: None, tmp_path: Path) -> None:
    line = {"prompt": [{"role": "user", "content": "hi"}], "tools": [WEATHER], "tool_choice": "required"}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(line) + "\n")
    with playing(lambda *_: streamed_calls("openai_chat", ROME)) as server:
        done = decodekit("generate", *drawn_by(server), "--prompts", "prompts.jsonl", "--out", "out.jsonl")
        assert server.asked[-1][1]["tools"] == [WEATHER] and server.asked[-1][1]["tool_choice"] == "required"
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert row["finish_reason"] == "tool_calls" and row["tool_calls"][0]["parsed"] == {"city": "Rome"}


def test_what_is_wrong_is_said_with_its_place(decodekit: Decodekit, tools: None, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "one.json").write_text(json.dumps(WEATHER))
    for flags, why in {
        ("--tools", "broken.json"): "--tools broken.json is not JSON",
        ("--tools", "nowhere.json"): "--tools nowhere.json: No such file",
        ("--tools", "one.json"): "tools is a list of definitions",
        ("--tools", "tools.json"): "here decodekit draws",
        ("--tool-choice", "weather"): "and no tool is given",
    }.items():
        done = decodekit("generate", "the ", *TOY, *flags)
        assert done.returncode == 2 and why in " ".join(done.stderr.split()), done.stderr


def test_ctrl_c_ends_a_call_that_goes_on(environment: dict[str, str], tools: None, tmp_path: Path) -> None:
    """Calls are no tokens, so nothing follows the first Ctrl-C."""

    def answer(number: int, body: Any) -> Any:
        status, kind, pieces = streamed_calls("openai_chat", ROME, text="Well", broken=True)
        return status, kind, [*pieces, lambda gone: gone.wait(20) and b""]

    with playing(answer) as server:
        run = [*COMMAND, "generate", "hi", "--chat", *drawn_by(server), "--tools", "tools.json", "--trace", "run.jsonl"]
        process = subprocess.Popen(
            run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment, text=True
        )
        assert process.stdout is not None
        begun = process.stdout.read(4)  # the server is asked, and what follows is no token
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (begun + out.rstrip(), process.returncode) == ("Well", 130)
    shown = 'decodekit: calls weather({"city": "Rome"})  [the call was cut before its end]'
    assert err.strip() in ("", shown)  # nothing where the signal comes before the first piece of the call is taken
    assert '"cancelled"' in (tmp_path / "run.jsonl").read_text().splitlines()[-1]
