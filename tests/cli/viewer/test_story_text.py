"""A step's story as text of any width."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console

import decodekit
from decodekit.cli.viewer.story_text import StoryText
from decodekit.view.story import story_of

from .runs import hostile, samples

CONFORMANCE = Path(__file__).parents[2] / "trace" / "conformance"
TOLD = {
    "provider": "the provider drew",
    "level_choice": "the final scores were not recorded",
    "abandoned": "taken back: ",
    "inverse_cdf": "fell into the token's interval",
    "masked_heads": "the others are known by their mass alone",
    "third_token": "failed",
}


def printed(trace: decodekit.Trace, width: int, candidate: int | None = None) -> list[str]:
    """All stories of a trace."""
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    verdict = decodekit.verify(trace)
    for at in range(len(trace.steps)):
        out.print(StoryText(story_of(trace, at, verdict=verdict), candidate))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_is_as_wide_as_its_room(width: int) -> None:
    lines = printed(samples(max_tokens=6), width, 1)
    assert max(map(len, lines)) <= width
    whole = " ".join(" ".join(lines).split())
    for part in ("raw", "top_p", "race", "the runner-up", "proved"):
        assert part in whole, part


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFORMANCE.glob("*.jsonl")))
def test_every_kind_of_record_is_told(name: str) -> None:
    try:
        trace = decodekit.read_trace(CONFORMANCE / f"{name}.jsonl")
        text = " ".join(printed(trace, 400))
    except decodekit.TraceError:
        assert name not in TOLD
        return
    assert TOLD.get(name, "step 0: ") in text


def test_no_token_is_printed_raw() -> None:
    text = "".join(printed(hostile(), 100, 0))
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")]
    assert "\\x1b[2J\\x1b[H" in text and "\\u202egnp.exe" in text and "[bold red]rich[/bold red]" in text


def test_a_stage_without_a_column_is_named() -> None:
    text = "\n".join(printed(samples(max_tokens=1), 40))
    assert "(not shown: temperature)" in text and "top_p" in text
