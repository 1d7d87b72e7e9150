from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import decodekit as library
from tests.cli.conftest import CHAIN, TOY, Decodekit

RUN = ("generate", "the ", *TOY, *CHAIN, "--seed", "7", "--max-tokens", "20")
Calls = Callable[..., list[tuple[int, str, str]]]


def test_a_run_whose_model_broke_goes_on_to_the_same_text(one_after_another: Calls, tmp_path: Path) -> None:
    whole, broken, again, proof = one_after_another(
        [
            [*RUN, "--json"],
            [*RUN, "--set", "fail_at=12", "--trace", "broken.jsonl"],
            ["resume", "broken.jsonl", *TOY, "--trace", "whole.jsonl", "--json"],
            ["verify", "whole.jsonl"],
        ]
    )
    assert broken[0] == 1 and len(library.read_trace(tmp_path / "broken.jsonl").steps) == 8
    assert again[0] == 0 and again[2] == ""
    assert json.loads(again[1]) == {**json.loads(whole[1]), "trace": "whole.jsonl"}
    assert proof[0] == 0 and proof[1].startswith("proved: ")


def test_an_incomplete_line_is_reported_and_the_text_is_that_of_the_whole_run(
    decodekit: Decodekit, tmp_path: Path
) -> None:
    whole = decodekit(*RUN, "--trace", "run.jsonl")
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run.jsonl").write_bytes(b"".join(lines[:6]) + lines[6][:50])
    done = decodekit("resume", "run.jsonl", *TOY)
    assert (done.stdout, done.returncode) == (whole.stdout, 0)
    assert done.stderr == "decodekit: the last line of run.jsonl is incomplete: 50 bytes are left out\n"


def test_a_run_at_its_limit_goes_on_with_a_higher_one_and_samples_all_do(one_after_another: Calls) -> None:
    many = [*RUN, "-n", "2", "--json"]
    whole, short, idle, longer, plain, explained = one_after_another(
        [
            many,
            [*many, "--max-tokens", "5", "--trace", "short.jsonl"],
            ["resume", "short.jsonl", *TOY, "--json"],
            ["resume", "short.jsonl", *TOY, "--json", "--max-tokens", "20"],
            ["resume", "short.jsonl", *TOY, "--max-tokens", "20"],
            ["resume", "short.jsonl", *TOY, "--max-tokens", "20", "--explain", "7"],
        ]
    )
    assert explained[1].startswith(plain[1]) and "step 7" in explained[1]
    assert json.loads(idle[1])["results"] == json.loads(short[1])["results"]
    assert idle[0] == 0 and "a larger --max-tokens continues it" in idle[2]
    assert json.loads(longer[1]) == json.loads(whole[1])
    assert plain[1] == "\n---\n".join(sample["text"] for sample in json.loads(whole[1])["results"]) + "\n"


def test_a_run_that_ended_by_itself_is_not_said_to_go_on(one_after_another: Calls) -> None:
    stopped, again = one_after_another(
        [
            [*RUN, "--stop", "e", "--trace", "stopped.jsonl"],
            ["resume", "stopped.jsonl", *TOY, "--max-tokens", "30"],
        ]
    )
    assert (again[0], again[1]) == (0, stopped[1])
    assert again[2] == "decodekit: nothing to do: the run had ended (stop), and a text that ended is not continued\n"


def test_the_model_comes_from_a_trace_only_when_one_says_so(one_after_another: Calls) -> None:
    made = [*RUN, "--set", "order=2", "--json"]
    whole, short, asked, taken, other, wrong = one_after_another(
        [
            made,
            [*made, "--max-tokens", "5", "--trace", "short.jsonl"],
            ["resume", "short.jsonl"],
            ["resume", "short.jsonl", "--as-recorded", "--max-tokens", "20", "--json"],
            ["resume", "short.jsonl", *TOY, "--max-tokens", "20", "--json"],
            ["resume", "short.jsonl", *TOY, "--max-tokens", "2"],
        ]
    )
    assert short[0] == 0
    assert asked[0] == 2 and "--adapter toy --set order=2, which --as-recorded uses" in asked[2]
    assert taken[0] == 0 and json.loads(taken[1]) == json.loads(whole[1])
    assert other[0] == 0 and "warning: the trace's model_fingerprint" in other[2]
    assert wrong[0] == 2 and "the trace already has 5 tokens" in wrong[2]


@pytest.mark.parametrize("content", [b"", b"no trace\n"])
def test_what_is_no_trace_cannot_go_on(decodekit: Decodekit, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.jsonl").write_bytes(content)
    done = decodekit("resume", "run.jsonl", *TOY)
    assert (done.stdout, done.returncode) == ("", 1) and done.stderr.startswith("decodekit: run.jsonl is ")
