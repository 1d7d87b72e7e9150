"""A server that draws itself: its own draws against the lists that it returns with them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import ParameterError, Session
from decodekit.analysis import honesty, recorded_draws
from decodekit.analysis.sampler_checks.bets import Law
from decodekit.analysis.sampler_checks.recorded_draws import possible_end
from decodekit.cli.app import run
from decodekit.plugin.registry import _ADAPTERS
from decodekit.testing import PiecesTokenizer, TableAdapter
from decodekit.trace.named_texts import named_texts
from decodekit.trace.reader import read_trace
from decodekit_remote import RemoteAdapter
from tests.adapters.remote import drawing
from tests.adapters.remote.servers import TalkingTokenizer, serving

Capture = pytest.CaptureFixture[str]
ASKED: Any = [{"role": "user", "content": "what sat on the"}]


def drawn(chain: str, path: Path | None = None) -> decodekit.Trace:
    with serving("openai_chat") as server:
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat", tokenizer=TalkingTokenizer())
        with Session(adapter, decodekit.Chain.of(chain), seed=1, top_logprobs=20) as session:
            return session.generate_many([ASKED], n=12, max_tokens=60, trace=path)[0][0].trace


def flat(row: np.ndarray, written: object, body: Any) -> np.ndarray:
    """What a server draws from that obeys another temperature than it was asked for."""
    weights = np.exp(np.asarray(row) * 0.4)
    return np.asarray(weights / weights.sum())


def test_a_server_that_draws_from_its_lists_passes() -> None:
    found = honesty(recorded_draws([drawn("provider")], ends=TalkingTokenizer().eos_ids))
    assert found.honest and found.tokens > 100 and abs(found.z) < 4  # two-sided p of 6e-5


def test_the_command_takes_the_end_tokens_of_the_model_it_is_given(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.zeros(257), np.zeros(1)
    for name, make in {
        "talking": lambda: TableAdapter(rows[0], 257, tokenizer=TalkingTokenizer()),
        "other": lambda: TableAdapter(rows[1], 1, tokenizer=PiecesTokenizer([b"a"])),
    }.items():
        monkeypatch.setitem(_ADAPTERS.registered, name, make)
    path = str(tmp_path / "run.jsonl")
    drawn("provider", tmp_path / "run.jsonl")
    trace = read_trace(path)
    expected = honesty(recorded_draws([trace], ends=TalkingTokenizer().eos_ids))
    assert trace.footer is not None
    stopped = replace(trace.footer, ends=[replace(each, finish_reason="stop") for each in trace.footer.ends])
    with pytest.raises(ParameterError, match=r"end of text that it does not return.*name its tokenizer="):
        honesty(recorded_draws([decodekit.Trace(trace.header, trace.steps, stopped, trace.resumed)]))
    assert run(["doctor", "--honest", "--trace", path, "--adapter", "talking", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["log_e"] == pytest.approx(expected.log_e)
    assert run(["doctor", "--honest", "--trace", path, "--adapter", "other"]) == 2
    assert "tokenizer" in capsys.readouterr().err


def test_a_server_with_a_hidden_temperature_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "law", flat)
    found = honesty(recorded_draws([drawn("provider")], ends=TalkingTokenizer().eos_ids))
    assert not found.honest and found.crossed is not None and found.crossed < found.tokens
    assert found.leaning.startswith("temperature") and float(found.leaning.split()[1]) > 1


def test_lists_of_raw_values_say_nothing_of_a_chain() -> None:
    trace = drawn("temperature=0.5 provider")
    with pytest.raises(ParameterError, match="asked for temperature, and its lists are of values before that"):
        honesty(recorded_draws([trace]))
    assert honesty(recorded_draws([trace], "model", ends=TalkingTokenizer().eos_ids)).drift < 0


def test_a_server_that_repeats_its_texts_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ignores the seed: all requests have the noise of the first. Counted as independent, one of 6 is accused."""
    chance = np.random.default_rng(8).random(60)

    def fixed(row: np.ndarray, written: Any, body: Any) -> np.ndarray:
        law = np.exp(row - np.logaddexp.reduce(row))
        at = min(int(np.searchsorted(np.cumsum(law), chance[len(written)])), len(law) - 1)
        return np.eye(len(law))[at]

    monkeypatch.setattr(drawing, "law", fixed)
    ends = TalkingTokenizer().eos_ids
    trace = drawn("provider")
    assert len({tuple(trace.token_ids(stream)) for stream, _ in trace.header.sequences}) == 1
    one = len(trace.token_ids(trace.header.sequences[0][0]))
    assert 5 < honesty(recorded_draws([trace], ends=ends)).tokens == one


def test_without_a_tokenizer_the_ends_are_texts_that_look_like_marks() -> None:
    """Its end, of a probability of about .1, is in the lists of a server of texts and is never returned."""
    chance, laws = np.random.default_rng(5), np.random.default_rng(6)
    alarms = 0
    for _ in range(40):
        draws = []
        for _ in range(250):
            p = laws.dirichlet(np.full(8, 0.7)) * 0.89
            listed, logprobs = np.array([*range(8), 100]), np.log([*p, 0.11])
            order = np.argsort(-logprobs)
            law = Law.listed(listed[order], logprobs[order], complete=True)
            draws.append((law.without({100, -1}), int(chance.choice(8, p=p / p.sum()))))
        alarms += not honesty(draws).honest
    assert alarms <= 4  # Ville: 0.4 in the mean; 5 or more have a probability below 1e-4
    assert all(map(possible_end, ("<|im_end|>", "", "</s>", "[EOS]", "<end_of_turn>")))
    assert not any(map(possible_end, (" w1", "a<b>", "<a b>", "[", "<>")))


def test_the_law_of_a_server_without_a_tokenizer_has_no_token_that_looks_like_an_end() -> None:
    with serving("openai_chat") as server:
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat")
        with Session(adapter, decodekit.Chain.of("provider"), seed=1, top_logprobs=20) as session:
            trace = session.generate_many([ASKED], n=12, max_tokens=60)[0][0].trace
    texts = {token: text for step in trace.steps for token, text in named_texts(step.schedule).items()}
    marks = {token for token, text in texts.items() if text == "<end>"}
    laws = [law for law, _ in recorded_draws([trace])]
    assert len(marks) == 1 and len(laws) > 100
    assert not any(marks & set(law.token_ids.tolist()) for law in laws)
