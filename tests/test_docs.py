"""Every block of the README and the docs is executed, in order, one namespace a page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import Document
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
KNOWN = {"python", "toml", "console", "bash", "text"}


def run_console(example: Example) -> str | None:
    """Each ``$ command`` must succeed; what stands below it must be what it prints; see `disagreement`."""
    commands = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]
    for command in commands:
        line, _, expected = command.partition("\n")
        words = shlex.split(line)
        assert words[0] == "decodekit", f"only decodekit runs here, not {words[0]}"
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-Im", "decodekit", *words[1:]],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if expected.strip():
            wrong = disagreement(done.stdout, expected)
            assert wrong is None, f"{line} printed {wrong}:\n{done.stdout}"
    return None


_NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?![\w.])")


def disagreement(printed: str, expected: str) -> str | None:
    """The first line that differs, or None.

    Everything must be equal: words, tokens, counts, spacing. Only a decimal number that follows from a model's scores
    may differ by half a percent, because a processor of another kind rounds otherwise. The line of the draw has none:
    it follows from the seed alone.
    """
    there, here = (text.strip("\n").splitlines() for text in (printed, expected))
    for ours, theirs in zip_longest(there, here):
        if ours is None or theirs is None:
            return f"{ours!r}, not {theirs!r}"
        same = ours.rstrip() == theirs.rstrip()
        if not same and not ours.startswith("  draw "):
            numbers = [[float(each) for each in _NUMBER.findall(line)] for line in (ours, theirs)]
            words = [_NUMBER.sub("#", re.sub(r" +(?=-?\d+\.)", " ", line)).rstrip() for line in (ours, theirs)]
            same = words[0] == words[1] and numbers[0] == pytest.approx(numbers[1], rel=0.005)
        if not same:
            return f"{ours!r}, not {theirs!r}"
    return None


def check_toml(example: Example) -> str | None:
    """A TOML block parses; one that is a configuration is a valid one."""
    data = tomllib.loads(example.parsed)
    if "adapter" in data:
        import decodekit.config

        decodekit.config.load_config(data)
    return None


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="console", evaluator=run_console),
        CodeBlockParser(language="toml", evaluator=check_toml),
        SkipParser(),
    ]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text()
    if "smollm2" in text and find_spec("llama_cpp") is None:
        pytest.skip("needs llama-cpp-python and the SmolLM2 package")
    languages = set(re.findall(r"^```(\w*)$", text, flags=re.MULTILINE)) - {""}
    assert languages <= KNOWN, f"blocks nobody runs: {languages - KNOWN}"
    monkeypatch.chdir(tmp_path)
    document: Document = SYBIL.parse(page)
    for example in document.examples():
        example.evaluate()


def test_a_first_sampler_takes_less_than_20_lines_of_code() -> None:
    """From the imports to its tests; blank lines and what is only used to try it out do not count."""
    page = (ROOT / "docs" / "first-sampler.md").read_text().partition("## Using it")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert len(blocks) == 2 and len(lines) < 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ('"."             64.96 %', '"."             46.96 %'),
        ('"."             64.96 %', '"."             65.96 %'),
        ("49152", "49153"),
        ("fdd1d2e633a0cc78", "fdd1d2e633a0cc79"),
        ("Gumbel 4.7614", "Gumbel 4.7615"),
        ("score   -1.3479", "score   1.3479"),
        ("step 1", "step 2"),
        ("margin  3.9766 nats", "margin  3.9766 bits"),
        ('" and"', '"and"'),
        ("\n  margin", "\n\n  margin"),
    ],
)
def test_a_wrong_figure_in_the_readme_is_found(was: str, now: str) -> None:
    page = (ROOT / "README.md").read_text()
    expected = page.partition("--explain 1\n")[2].partition("```")[0]
    assert expected.count(was) >= 1
    assert disagreement(expected, expected) is None
    assert disagreement(expected.replace("64.96 %", "64.83 %"), expected) is None  # another processor
    assert disagreement(expected.replace(was, now), expected) is not None
