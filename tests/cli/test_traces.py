from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.conftest import TOY, Decodekit
from tests.cli.toy_adapters import TEXT


@pytest.fixture
def trace(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Twelve tokens; the parameter is the level."""
    chain = library.Chain([library.processor("temperature", temperature=0.8), library.processor("top_p", top_p=0.95)])
    path, level = tmp_path / "run.jsonl", getattr(request, "param", "proof")
    library.Session(NGramAdapter(TEXT), chain).generate("the ", seed=7, max_tokens=12, trace=path, level=level)
    return path


def test_a_whole_trace_is_proved(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("verify", "run.jsonl")
    assert done.stdout == (
        "proved: each choice follows from the recorded final scores and the seed\nsteps: 12 proved\n"
    )
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("trace", ["full"], indirect=True)
def test_raw_rows_let_a_trace_be_reproduced(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("verify", "run.jsonl", "--chain", "--json")
    assert json.loads(done.stdout) == {"word": "reproduced", "step": None, "why": "12 steps reproduced",
                                       "counts": {"reproduced": 12}}  # fmt: skip
    assert done.returncode == 0


@pytest.mark.parametrize("trace", ["choice"], indirect=True)
def test_choices_alone_are_consistent(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("verify", "run.jsonl")
    assert done.returncode == 0 and done.stdout.startswith("consistent: ") and "at step 0: " in done.stdout


def test_a_trace_may_be_a_table(decodekit: Decodekit, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = decodekit("generate", "the ", *TOY, "--seed", "7", "--max-tokens", "5", "--trace", "run.parquet")
    assert done.returncode == 0, done.stderr
    assert "".join(parquet.read_table(tmp_path / "run.parquet").column("text").to_pylist()) == done.stdout.rstrip("\n")
    again = decodekit("generate", "the ", *TOY, "--max-tokens", "5", "--trace", "run.parquet")
    assert again.returncode == 2 and "exists" in again.stderr


def test_a_flipped_byte_fails(decodekit: Decodekit, trace: Path) -> None:
    data = bytearray(trace.read_bytes())
    at = data.index(b'"step":5') + 60
    data[at] ^= 1
    trace.write_bytes(data)
    done = decodekit("verify", "run.jsonl")
    assert done.returncode == 1 and done.stdout.startswith("failed: ")
    assert decodekit("replay", "run.jsonl").returncode == 1


def test_a_cut_trace_is_incomplete_and_can_be_recovered(
    one_after_another: Callable[..., list[tuple[int, str, str]]], trace: Path
) -> None:
    lines = trace.read_bytes().splitlines(keepends=True)
    trace.write_bytes(b"".join(lines[:6]) + lines[6][:50])
    cut, allowed, recovered, whole, again = one_after_another(
        [
            ["verify", "run.jsonl"],
            ["verify", "run.jsonl", "--allow-incomplete"],
            ["recover", "run.jsonl", "whole.jsonl"],
            ["verify", "whole.jsonl", "--allow-incomplete"],
            ["recover", "run.jsonl", "whole.jsonl"],  # never written over
        ]
    )
    assert cut[0] == 1 and cut[1].startswith("incomplete: ") and "steps: 5 proved" in cut[1]
    assert allowed[0] == 0
    assert recovered[0] == 0 and recovered[1].startswith("whole.jsonl: 5 steps kept; ")
    assert whole[0] == 0
    assert again[0] == 2


@pytest.mark.parametrize(
    "content", [b"", b"no trace\n", b'{"kind":"header","content":{"format":"decodekit-trace/9"}}\n']
)
def test_what_is_no_trace_is_unreadable(decodekit: Decodekit, tmp_path: Path, content: bytes) -> None:
    tmp_path.joinpath("run.jsonl").write_bytes(content)
    done = decodekit("verify", "run.jsonl", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["word"] == "unreadable"


@pytest.mark.parametrize("trace", ["full"], indirect=True)
def test_a_chain_of_another_version_is_consistent_and_says_which(
    decodekit: Decodekit, tmp_path: Path, trace: Path
) -> None:
    recorded = library.read_trace(trace)
    recorded.header.chain["processors"][0]["version"] = "0.0.9"
    with library.trace.TraceWriter(tmp_path / "old.jsonl", recorded.header) as writer:
        for step in recorded.steps:
            writer.write(step)
        writer.close(recorded.footer.ends if recorded.footer else ())
    assert decodekit("verify", "old.jsonl").returncode == 0
    done = decodekit("verify", "old.jsonl", "--chain")
    assert done.returncode == 0 and done.stdout.startswith("consistent: ") and "0.0.9" in done.stdout


def test_a_hostile_format_name_does_not_reach_the_screen(decodekit: Decodekit, tmp_path: Path) -> None:
    hostile = json.dumps({"kind": "header", "content": {"format": "\x1b]0;pwned\x07\u202e"}})
    tmp_path.joinpath("run.jsonl").write_text(hostile + "\n")
    done = decodekit("verify", "run.jsonl")
    assert done.returncode == 1 and "\x1b" not in done.stdout and "\u202e" not in done.stdout


def test_a_trace_is_replayed_from_itself(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("replay", "run.jsonl")
    assert (done.stdout, done.stderr, done.returncode) == (
        "12 of 12 tokens are drawn again from the record\n",
        "",
        0,
    )


def test_the_same_model_replays_without_drift(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("replay", "run.jsonl", *TOY)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "12 of 12 tokens are drawn again from the model\ndrift, in nats: median 0, largest 0\n"


def test_an_adapter_that_is_awaited_replays_too(decodekit: Decodekit, tmp_path: Path) -> None:
    written = decodekit("generate", "the ", "--adapter", "awaited", "--max-tokens", "3", "--trace", "awaited.jsonl")
    assert written.returncode == 0, written.stderr
    again = decodekit("replay", "awaited.jsonl", "--adapter", "awaited")
    assert (again.returncode, again.stderr) == (
        0,
        "",
    ) and "3 of 3 tokens are drawn again from the model" in again.stdout


def test_another_model_replays_with_a_warning_and_its_drift(decodekit: Decodekit, trace: Path, tmp_path: Path) -> None:
    tmp_path.joinpath("d.toml").write_text('[adapter]\ntype = "toy"\norder = 1\n')
    done = decodekit("replay", "run.jsonl", "-c", "d.toml", "--json")
    data = json.loads(done.stdout)
    assert "decodekit: warning: the trace's model_fingerprint is" in done.stderr
    assert data["live"] and data["steps"] == 12 and data["max_drift"] > 0.1 and len(data["warnings"]) == 1
    assert done.returncode == (0 if data["explained"] else 1)
    shown = decodekit("replay", "run.jsonl", "-c", "d.toml")
    assert shown.returncode == done.returncode
    first = data["first_difference"]
    assert first is not None and f"first difference: stream 0, step {first['step']}: " in shown.stdout
    assert ("inside" if first["explained"] else "outside") in shown.stdout
    assert ("not explained" in shown.stdout) is not data["explained"]


@pytest.mark.parametrize("trace", ["choice"], indirect=True)
def test_a_record_that_holds_too_little_is_not_called_equal(decodekit: Decodekit, trace: Path) -> None:
    done = decodekit("replay", "run.jsonl")
    assert done.returncode == 0
    assert done.stdout.startswith("0 of 12 tokens") and "12 could not be drawn" in done.stdout
