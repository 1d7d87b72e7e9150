from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.toy_adapters import TEXT

Calls = Callable[..., list[tuple[int, str, str]]]


def write(path: Path, seed: int, **call: object) -> None:
    chain = library.Chain([library.processor("temperature", temperature=1.2), library.processor("top_p", top_p=0.95)])
    session = library.Session(NGramAdapter(TEXT), chain, seed=seed)
    session.generate_many(["the ", "a "], trace=path, **{"max_tokens": 8, **call})  # type: ignore[arg-type]


def test_where_two_traces_part(one_after_another: Calls, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 7)
    write(tmp_path / "b.jsonl", 8)
    write(tmp_path / "c.jsonl", 7, level="full")
    second = str(1 << 32)
    parted, data, equal, all_of_it, one, no_stream, no_file, no_trace = one_after_another(
        [
            ["diff", "a.jsonl", "b.jsonl"],
            ["diff", "a.jsonl", "b.jsonl", "--json"],
            ["diff", "a.jsonl", "c.jsonl"],
            ["diff", "a.jsonl", "c.jsonl", "--all"],
            ["diff", "a.jsonl", "b.jsonl", "--stream", second, "--json"],
            ["diff", "a.jsonl", "b.jsonl", "--stream", "5"],
            ["diff", "a.jsonl", "absent.jsonl"],
            ["diff", "a.jsonl", "bad.jsonl"] if tmp_path.joinpath("bad.jsonl").write_text("{}\n") else [],
        ]
    )
    assert parted[0] == 1 and parted[1].startswith("configuration: seed at step ")
    assert "> seed: 7, 8" in parted[1] and "tokens left" in parted[1] and parted[2] == ""
    found = json.loads(data[1])
    assert (data[0], found["cause"], found["where"], found["equal"]) == (1, "configuration", "seed", False)
    assert [each["stream_a"] for each in found["sequences"]] == [0, 1 << 32]
    assert equal[0] == 0 and equal[1].startswith("equal tokens; seed, chain, prompts equal; level differs, ")
    assert equal[1].count("  stream ") == 1 and all_of_it[1].count("  stream ") == 2
    assert [each["stream_a"] for each in json.loads(one[1])["sequences"]] == [1 << 32]
    assert no_stream[0] == 2 and "--stream 5: no such sequence" in no_stream[2] and second in no_stream[2]
    assert no_file[0] == 2 and no_trace[0] == 1 and "not a decodekit trace" in no_trace[2]
