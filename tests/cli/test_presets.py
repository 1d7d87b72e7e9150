"""Presets on the command line: as a chain, and beside one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.cli.conftest import TOY, Decodekit

CONFIG = """
[adapter]
type = "toy"

[chain]
preset = "llama.cpp"
parameters = { mirostat = 2, top_k = 5 }
"""
HOT = ("chain", "--chain", "temperature=1.5 top_p=0.9 min_p=0.2")


def test_a_preset_is_a_chain_and_says_what_it_drops(decodekit: Decodekit, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text(CONFIG)
    told = json.loads(decodekit("chain", "d.toml", "--json").stdout)
    assert [part["name"] for part in told["processors"]] == ["temperature", "mirostat_v2"]
    assert "drops top_k" in told["notes"][0]
    shown = decodekit("chain", "--preset", "llama.cpp mirostat=2 top-k=5").stdout
    assert "note: mirostat: llama.cpp runs temperature and mirostat alone, and drops top_k" in shown


def test_generate_takes_a_preset_and_its_sampler(decodekit: Decodekit, tmp_path: Path) -> None:
    done = decodekit(
        "generate", "ab", *TOY, "--preset", "transformers temperature=0.5", "--max-tokens", "3", "--trace", "t.jsonl"
    )
    assert done.returncode == 0 and "decodekit: do_sample: without it the choice is greedy" in done.stderr
    greedy = decodekit("generate", "ab", *TOY, "--sampler", "greedy", "--max-tokens", "3")
    assert done.stdout == greedy.stdout
    tmp_path.joinpath("d.toml").write_text(CONFIG)
    done = decodekit("generate", "ab", "-c", "d.toml", "--max-tokens", "3")
    assert done.returncode == 0 and "decodekit: mirostat: llama.cpp runs" in done.stderr


def test_two_chains_side_by_side(one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path) -> None:
    np.save(tmp_path / "row.npy", np.array([3, 2.5, 2, 1, 0]))
    calls = [
        [*HOT, "--against", "llama.cpp top_k=0", "--logits", "row.npy"],
        [*HOT, "--against", "llama.cpp top_k=0", "--logits", "row.npy", "--json"],
        ["chain", "--preset", "transformers do_sample=true top_p=0.9", "--against", "vllm top_k=50", "--json"],
        ["chain", "--chain", "temperature=0.5", "--against", "llama.cpp top_k=0 top_p=1.0 min_p=0", "--json"],
        ["chain", "--chain", "typical_p=0.5", "--against", "vllm", "--json"],
        ["chain", "--chain", "temperature=0.5", "--against", "llama.cpp temp=0.7 top_k=0 top_p=1.0 min_p=0"],
    ]
    shown, data, same, alike, left, weighed = ((out, err) for code, out, err in one_after_another(calls))
    assert "token 3: you keep it (10.57 %), llama.cpp removes it at stage 1," in shown[0]
    told = json.loads(data[0])["against"]
    assert told["same"] is False and told["stages"]["theirs"][0]["support"] == 3
    (disagreement,) = told["disagreements"]
    assert {key: disagreement[key] for key in ("token_id", "kept_by", "place")} == {
        "token_id": 3,
        "kept_by": "yours",
        "place": 0,
    }
    assert 0.1 < told["total_variation"] < 0.11
    assert json.loads(same[0])["against"]["same_chain"] is True
    assert json.loads(alike[0])["against"] | {"stages": 0} == {
        "preset": "llama.cpp",
        "same": True,
        "same_chain": True,
        "total_variation": 0.0,
        "stages": 0,
        "disagreements": [],
        "not_carried_over": [],
        "notes": [],
    }
    assert json.loads(left[0])["against"]["not_carried_over"] == ["typical_p"]
    assert "the same tokens with other probabilities: total variation 0.1" in weighed[0]


def test_wrong_calls(one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", np.zeros((2, 3)))
    tmp_path.joinpath("text.npy").write_text("no array")
    calls = {
        "--chain and --preset both give a chain": ["chain", "--chain", "top_k=3", "--preset", "vllm"],
        "no preset is named 'lama.cpp'; did you mean 'llama.cpp'": ["chain", "--preset", "lama.cpp"],
        "--preset takes the name of a preset": ["chain", "--preset", "vllm(top_k=3)"],
        "'top_k' is written once, as key=value": ["chain", "--preset", "vllm top_k"],
        "only mrv2 and v1": ["chain", "--preset", "vllm version=0.8.5"],
        "expected one row of logits": ["chain", "--preset", "vllm", "--against", "tgi", "--logits", "table.npy"],
        "cannot read text.npy": ["chain", "--preset", "vllm", "--against", "tgi", "--logits", "text.npy"],
        "name a preset there": ["chain", "--preset", "vllm", "--logits", "table.npy"],
    }
    for message, (code, out, err) in zip(calls, one_after_another(list(calls.values())), strict=True):
        assert (code, out) == (2, ""), err
        assert message in err and err.count("\n") == 1
