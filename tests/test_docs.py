"""Every block of the README and the docs is executed, in order, one namespace a page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec
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
    """Each ``$ command`` must succeed; what stands below it must be what it prints, up to the values of numbers."""
    commands = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]
    for command in commands:
        line, _, expected = command.partition("\n")
        words = shlex.split(line)
        assert words[0] == "decodekit", f"only decodekit runs here, not {words[0]}"
        environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-Im", "decodekit.cli", *words[1:]],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if expected.strip():
            assert skeleton(done.stdout) == skeleton(expected), f"{line} printed:\n{done.stdout}"
    return None


def skeleton(text: str) -> list[str]:
    """The lines without numbers, bars and spacing: the last digits belong to a processor, not to the program."""
    values = re.compile(r"(?<=word )[0-9a-f]{16}|[\d.█▏▎▍▌▋▊▉\s-]+")
    return [values.sub(" ", line).strip() for line in text.strip().splitlines()]


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
