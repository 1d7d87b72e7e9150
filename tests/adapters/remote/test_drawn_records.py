"""Records of drawn answers: verified, explained, listed, and not resumed."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Session, TraceError
from decodekit.session.trial import CHAIN, tried
from decodekit.testing import NGramAdapter
from tests.adapters.remote.scripted import TALK, Scripted, anthropic, chunk, entry, generated, playing, streamed

STOP = chunk("", None, "stop")
BOTH = {**entry(" c", -1.6), "top_logprobs": [*entry(" b", -0.3)["top_logprobs"], *entry(" c", -1.6)["top_logprobs"]]}
SEVERAL = [chunk(" c", [BOTH]), chunk("at"), STOP]


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_empty_answer_of_a_provider_is_consistent(reason: str) -> None:
    with playing([chunk(reasoning_content="hm"), chunk("", None, reason)]) as server:
        result = generated(server)
    assert (result.text, result.finish_reason) == ("", reason)
    assert decodekit.verify(result.trace).word == "consistent"
    with Session(NGramAdapter("the cat. "), seed=1) as session:
        assert decodekit.verify(session.generate("the ", max_tokens=0).trace).word == "proved"


def test_more_pieces_than_max_tokens_are_consistent() -> None:
    with playing([*map(chunk, "abcdef"), chunk("", None, "length")]) as server:
        result = generated(server, max_tokens=2)
    assert (len(result.token_ids), result.finish_reason) == (6, "length")
    assert decodekit.verify(result.trace).word == "consistent"


def test_a_drawn_step_says_what_is_not_known_and_names_its_tokens_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    with playing(SEVERAL) as server:
        result = generated(server, trace=path)
    assert "drawn by the provider" in repr(result)
    shown = str(result.explain(0))
    assert "by the provider, with random numbers of its own" in shown and "nothing else" not in shown
    assert str(decodekit.read_trace(path).steps[0].explain()).splitlines()[3:5] == [
        '   " b"            74.08 %', '>  " c"            20.19 %'
    ]  # fmt: skip
    copy = pickle.loads(pickle.dumps(result))
    assert [each.text for each in copy.tokens[0].top] == [" b", " c"] and '" b"' in str(copy.explain(0))
    row = result.trace.to_rows()[0]
    assert (row["score"], row["margin"], row["rank"]) == (None, None, 1)
    assert json.loads(json.dumps(result.trace.to_rows(), allow_nan=False))


def test_a_run_that_the_provider_drew_is_not_resumed(tmp_path: Path) -> None:
    with playing(SEVERAL) as server:
        result = generated(server, max_tokens=2, trace=tmp_path / "run.trace")
        for resume in (decodekit.resume, lambda *given: next(decodekit.resume_stream(*given))):
            for source in (result.trace, tmp_path / "run.trace"):
                with pytest.raises(TraceError, match="the provider drew these tokens"):
                    resume(source, server.adapter())


def test_the_command_says_that_the_provider_drew_and_replays_with_an_async_adapter(tmp_path: Path, capfd: Any) -> None:
    pytest.importorskip("typer")
    from decodekit.cli import main

    path, config = str(tmp_path / "run.trace"), str(tmp_path / "app.toml")

    def command(*arguments: str) -> Any:
        with pytest.raises(SystemExit):
            main([*arguments, "-c", config])
        return capfd.readouterr()

    with playing(SEVERAL) as server:
        adapter = f'type = "remote"\nprobe = false\ndialect = "openai_chat"\nbase_url = "{server.url}"\n'
        Path(config).write_text(f"[adapter]\n{adapter}")
        made, again = command("generate", "hi", "--trace", path), command("replay", path)
    assert made.out.strip() == "cat" and made.err.count("the provider draws the tokens") == 1
    assert "the provider drew these tokens" in again.err and "bug" not in again.err


def test_the_event_that_the_provider_draws_is_of_the_run_that_found_it_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "decodekit")
    with playing(SEVERAL) as server, Session(server.adapter()) as session:
        session.generate(TALK)
    events = {getattr(record, "event", ""): vars(record) for record in caplog.records}
    told, started = events["the provider draws the tokens"], events["generation started"]
    assert (told["run"], told["adapter"]) == (started["run"], "remote") and told["seconds"] >= 0


LEFT_OPEN = """
import sys
from decodekit import Session
from decodekit_remote import RemoteAdapter
adapter = RemoteAdapter(base_url=sys.argv[1], dialect="openai_chat", probe=False)
steps = Session(adapter, "provider").stream([{"role": "user", "content": "hi"}])
print(next(steps).text, flush=True)
"""


def test_a_stream_that_is_open_when_the_process_ends_does_not_hold_it() -> None:
    with playing([chunk("a"), chunk("b"), lambda gone: b"" * gone.wait(60)]) as server:
        done = subprocess.run(
            [sys.executable, "-c", LEFT_OPEN, server.url], capture_output=True, text=True, check=False, timeout=30
        )
    assert (done.returncode, done.stdout) == (0, "a\n"), done.stderr


def verdicts(server: Scripted, dialect: str, chain: str, **params: Any) -> dict[str, Any]:
    with Session(server.adapter(dialect, **params), chain) as session:
        return {each.what: each for each in tried(session)}


def test_the_verdicts_where_the_provider_draws_are_about_that_also_if_it_cannot() -> None:
    with playing(SEVERAL) as server:
        found = verdicts(server, "openai_chat", "top_k=5 provider")
    assert found[CHAIN].word == "cannot" and "openai has no such parameter" in found[CHAIN].why
    assert not {"lists", "prompts", "end of text"} & set(found)
    with playing(lambda *_: streamed(anthropic("a"), done=False)) as server:
        found = verdicts(server, "anthropic_messages", "temperature=0.5")
        refused = verdicts(server, "anthropic_messages", "top_k=5")
    assert "the law" not in found and found["lists"].remedy == ""
    assert "'top_k' of this chain: with anthropic_messages it takes temperature and top_p only" in refused[CHAIN].why


def test_a_conversation_goes_to_the_chat_of_a_server_of_texts(caplog: Any) -> None:
    lists = {"tokens": [" a"], "token_logprobs": [-0.1], "top_logprobs": [{" a": -0.1, " b": -3.0}]}
    completion = {"choices": [{"index": 0, "text": " a", "finish_reason": "length", "logprobs": lists}]}

    def answer(number: int, body: Any) -> Any:
        if "messages" in body:
            return streamed([chunk("Hi", [entry("Hi")]), STOP])
        return 200, "application/json", [json.dumps(completion).encode()]

    with playing(answer, owner="me") as server:
        server.routes["/extras/tokenize/count"] = {"count": 1}
        server.routes["/extras/tokenize"] = {"tokens": [1]}
        with Session(server.adapter("auto", probe=True), "top_p=0.9 temperature=0.8", seed=1) as session:
            results = [session.generate(TALK, max_tokens=4) for _ in range(2)]
            assert session.adapter.info.versions["dialect"] == "llama_cpp_python"
            mixed = session.generate_many([TALK, "a text"], max_tokens=1, chain="top_k=1 greedy")
    assert [result.text for result in results] == ["Hi", "Hi"]
    assert {path for path, body in server.asked if "messages" in body} == {"/v1/chat/completions"}
    assert results[0].trace.header.adapter["drawing"]["engine"] == "llama-cpp-python"
    said = [record.getMessage() for record in caplog.records if "the provider draws" in record.getMessage()]
    assert len(said) == 1 and "goes to openai_chat" in said[0]
    assert "dialect='openai_chat', in a call without texts" in str(mixed[0][0].error)
