"""What `.ci/gpu` needs on a machine with a GPU: it parses, it is short enough, and its bundle lacks no import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from tests.benchmarks import on_device

ROOT = Path(__file__).parent.parent
SCRIPT = (ROOT / ".ci/gpu").read_text()
ITS_PARTS = dict(re.findall(r"^part (\w+) (\d+)", SCRIPT, re.MULTILINE))


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def with_needs(names: set[str]) -> set[str]:
    """These distributions and all that they require."""
    known: set[str] = set()
    while names:
        known |= names
        found = set()
        for name in names:
            try:
                found |= {name_of(need) for need in requires(name) or () if "extra ==" not in need}
            except PackageNotFoundError:  # for another platform
                continue
        names = found - known
    return known


def modules_imported(path: Path) -> Iterator[str]:
    """The first names of what a file imports when it is imported itself."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("script", [".ci/gpu", ".ci/gpu-bundle"])
def test_the_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def test_every_part_is_run_and_all_of_them_take_seven_minutes_at_most() -> None:
    assert set(ITS_PARTS) == {"head", "tests", "columns", *on_device.PARTS}
    assert sum(map(int, ITS_PARTS.values())) <= 7 * 60


def test_the_bundle_has_what_the_tests_and_the_benchmarks_import() -> None:
    tests = [path for path in (ROOT / "tests/adapters/torch").glob("*.py") if "cuda" in path.read_text("utf-8").lower()]
    assert {path.name for path in tests} >= {"conftest.py", "models.py", "test_device.py", "test_real.py"}
    names = ("collecting", "columns", "converting", "parquet", "table_file", "tables")
    tables = {ROOT / "decodekit/trace" / f"{name}.py" for name in names}
    tables |= {ROOT / "decodekit/trace/querying.py", ROOT / "decodekit/analysis/trainers/columns.py"}
    later = {*tables, *(ROOT / "decodekit/cli").rglob("*.py")}  # imported where asked for
    ours = [path for path in (ROOT / "decodekit").rglob("*.py") if path not in later]
    ours += (ROOT / "adapters/decodekit_torch").rglob("*.py")
    measured = [ROOT / "tests/benchmarks" / name for name in ("on_device.py", "device_draws.py", "timing.py")]
    listed = (ROOT / ".ci/gpu-wheels.txt").read_text().splitlines()
    roots = {name_of(line) for line in listed if not line.startswith("#")}
    there = with_needs(roots | {"torch", "transformers"})
    providers = packages_distributions()
    lacking = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in (ROOT / "tests/conftest.py", *tests, *ours, *measured)
        for module in modules_imported(path)
        if module not in sys.stdlib_module_names and not module.startswith(("decodekit", "tests"))
        if not {name_of(name) for name in providers.get(module, [module])} & there
    }
    assert not lacking
    assert {name_of(need) for need in requires("decodekit") or () if "extra ==" not in need} <= there
