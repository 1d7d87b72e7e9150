"""Measures the fifteen claims beside this file, and writes docs/claims.md with its plots.

python examples/claims/run.py docs/claims.md        # all
python examples/claims/run.py docs/claims.md 3 11   # these two; the others stay as they are
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import platform
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from claim import Claim

NUMBERS = range(1, 16)
TESTED = (7, 12)  # claims whose commands run in the tests of the page too
TITLE = "# Fifteen claims about language models, measured\n"
INTRODUCTION = """
Things that people say about language models, each with the lines that test it, what came out, and a verdict. All of it
is written by `python examples/claims/run.py docs/claims.md` (some minutes on one core; the extras `demo`, `torch` and
`plots`). The model is small, and a verdict is of what was measured. A figure behind ± is a standard error; *exact* is
up to rounding. In the lines, `smollm2()` is a session of [claim.py](../examples/claims/claim.py), `torch_smollm2()` a
new torch adapter with the same weights, and `small` is True in the tests, which measure a part again. The two engines
round differently: torch computes with the quantised weights in float32, llama.cpp with its own kernels. Below the
lines, a part of the claim is measured by a command that needs no more than the package, with what it prints: one of
decodekit's where there is one, otherwise one of Python's. [Measuring models](science.md) explains the functions.
"""


def measured(number: int, *, small: bool = False) -> Claim:
    """Test a claim; a small measurement has a part of the figures, and takes about a second."""
    return importlib.import_module(f"claim_{number:02}").measure(small)


def lines_of(number: int) -> str:
    """The lines that measure: those of the function up to its first empty line."""
    source = inspect.getsource(importlib.import_module(f"claim_{number:02}").measure)
    body = source.partition('"""\n')[2].partition("\n\n")[0]
    return textwrap.dedent(body)


def section(number: int, found: Claim, plots: Path) -> str:
    """A claim as Markdown; its plot is written."""
    name = f"claim_{number:02}"
    rows = "".join(f"| {what} | {value} |\n" for what, value in found.figures.items())
    parts = [
        f"## {number}. {found.claim}",
        _wrapped(f"**{found.verdict[0].upper()}{found.verdict[1:]}.** {found.why}"),
        f"| measured | |\n| --- | --- |\n{rows}".rstrip(),
    ]
    if found.plot is not None:
        found.plot(plots / f"{name}.svg")
        parts.append(f"![{found.claim}]({plots.name}/{name}.svg)")
    source = f"From [{name}.py](../examples/claims/{name}.py):"
    parts += [
        _wrapped(f"Model: {found.model}. Prompt: {found.prompts}. {source}"),
        f"<!-- skip: next -->\n\n```python\n{lines_of(number)}\n```",
        _console(found.commands, tested=number in TESTED),
    ]
    return "\n\n".join(parts) + "\n"


def _console(commands: Sequence[str], *, tested: bool) -> str:
    """What each command prints, on the page."""
    shown = "\n\n".join(f"$ {command}\n{_printed(command)}" for command in commands)
    skipped = "" if tested else "<!-- skip: next -->\n\n"
    return f"As a command:\n\n{skipped}```console\n{shown}\n```"


def _printed(command: str) -> str:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-I", *(["-m", "decodekit"] if program == "decodekit" else []), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    return done.stdout.rstrip()


def summary(sections: dict[int, str]) -> str:
    """A table of the claims and their verdicts, as the sections say."""
    found = []
    for number, part in sections.items():
        claim, verdict = re.match(r"## \d+\. (.+)\n\n\*\*(.+?)\.\*\*", part).groups()
        found.append(f"| {number} | {claim} | {verdict} |")
    return "\n".join(["| | claim | verdict |", "| --: | --- | --- |", *found, ""])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def environment() -> str:
    """What this was measured with."""
    packages = ["llama-cpp-python", "torch", "transformers", "numpy"]
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])
    return _wrapped(f"Measured on {platform.system()}, {_processor()}, {os.cpu_count()} cores, one thread; {versions}.")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return f"{platform.machine()} ({named[1]})" if named else platform.machine()


def write(page: Path, numbers: list[int]) -> None:
    """Measure these claims again. The others stay as they are on the page."""
    plots = page.with_suffix("")
    plots.mkdir(exist_ok=True)
    old = page.read_text() if page.exists() else ""
    sections = {int(part.split(".")[0]): f"## {part.rstrip()}\n" for part in re.split(r"^## ", old, flags=re.M)[1:]}
    for number in numbers:
        found = measured(number)
        if not found.supported:
            raise SystemExit(f"claim {number}: the figures do not support {found.verdict!r}: {found.figures}")
        sections[number] = section(number, found, plots)
    sections = dict(sorted(sections.items()))
    page.write_text("\n".join([TITLE + INTRODUCTION, environment() + "\n", summary(sections), *sections.values()]))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Measures claims, and writes the page with its plots.")
    arguments.add_argument("page", type=Path, help="the page, docs/claims.md")
    arguments.add_argument("numbers", type=int, nargs="*", help="which claims; all without")
    given = arguments.parse_args()
    write(given.page, given.numbers or list(NUMBERS))
