"""The page on claims: a part of each claim is measured again, and must say what stands there."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_docs import disagreement

pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.real_model

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "claims.md"


@pytest.fixture(scope="module")
def run() -> Iterator[ModuleType]:
    """examples/claims/run.py, as if it were started there."""
    folder = str(ROOT / "examples" / "claims")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("run")
    finally:
        sys.path.remove(folder)
        for path in Path(folder).glob("*.py"):
            sys.modules.pop(path.stem, None)


def sections() -> dict[int, str]:
    return {int(part.split(".")[0]): part for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]}


def figures(section: str) -> dict[str, str]:
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, flags=re.MULTILINE)
    return {what: value for what, value in rows if what != "---"}


def test_the_page_has_all_claims_and_their_lines_as_they_are_now(run: ModuleType) -> None:
    page = sections()
    assert sorted(page) == list(run.NUMBERS)
    for number, section in page.items():
        assert f"```python\n{run.lines_of(number)}\n```" in section, f"run.py docs/claims.md {number}"
        assert len(figures(section)) >= 3 and "**" in section
        assert section.count("```console") == 1 and section.count(f"](claims/claim_{number:02}.svg)") == 1
    plots = sorted((ROOT / "docs" / "claims").iterdir())
    assert [f"claims/{path.name}" for path in plots] == re.findall(r"\]\((claims/.+\.svg)\)", PAGE.read_text())
    assert all(path.stat().st_size < 30_000 for path in plots)


@pytest.mark.parametrize("number", range(1, 16))
def test_a_part_of_a_claim_measured_again(run: ModuleType, number: int) -> None:
    found, printed = run.measured(number, small=True), figures(sections()[number])
    same = found.figures.keys() & printed.keys()
    assert found.supported and same
    for name in same:
        assert disagreement(found.figures[name], printed[name]) is None, name
    verdict = f"**{found.verdict[0].upper()}{found.verdict[1:]}.** {found.why}"
    words = " ".join(sections()[number].split())
    assert verdict in words and f"Prompt: {found.prompts}." in words
    assert found.commands and all(f"$ {command}\n" in sections()[number] for command in found.commands)


def test_the_same_figures_have_the_same_plot(run: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("first", "again"):
        (tmp_path / folder).mkdir()
        run.section(9, run.measured(9, small=True), tmp_path / folder)
    first, again = ((tmp_path / folder / "claim_09.svg").read_bytes() for folder in ("first", "again"))
    assert first == again
