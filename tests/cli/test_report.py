from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import CHAIN, TOY, Decodekit


def test_a_report_is_written_replaced_and_never_over_another_file(
    decodekit: Decodekit, one_after_another: Callable[..., list[tuple[int, str, str]]], tmp_path: Path
) -> None:
    made = decodekit("generate", "the ", *TOY, *CHAIN, "--seed", "7", "--max-tokens", "5", "--trace", "run.jsonl")
    assert made.returncode == 0, made.stderr
    trace = tmp_path.joinpath("run.jsonl").read_bytes()
    written, again, over, nowhere, unreadable, unknown = one_after_another(
        [
            ["report", "run.jsonl", "-o", "page.html"],
            ["report", "run.jsonl", "run.jsonl", "-o", "page.html"],
            ["report", "run.jsonl", "-o", "run.jsonl"],
            ["report", "run.jsonl", "-o", "missing/page.html"],
            ["report", "page.html", "-o", "other.html"],
            ["report", "run.jsonl", "-o", "other.html", "--model", "missing.gguf"],
        ]
    )
    size = tmp_path.joinpath("page.html").stat().st_size / 1e6
    assert written[0] == 0 and again == (0, f"page.html: {size:.2f} MB\n", "")
    assert tmp_path.joinpath("page.html").read_bytes().startswith(b"<!doctype html>")
    assert over[0] == 1 and "is not a report" in over[2]
    assert tmp_path.joinpath("run.jsonl").read_bytes() == trace
    assert nowhere[0] == 2 and "there is no folder 'missing'" in nowhere[2]
    assert unreadable[0] == 1 and "is not a decodekit trace" in unreadable[2]
    assert unknown[0] in (1, 2) and "missing.gguf" in unknown[2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["page.html", "run.jsonl"]
