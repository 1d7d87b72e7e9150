"""The layers: imports run down, no two files import each other in a circle, and each contract can be broken."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
FOLDERS = ("decodekit", "adapters", "plugins")
LONGEST = 400  # lines of a file
FUTURE = "from __future__ import annotations\n"

PLANTED = {  # contract: the file, and the import that breaks it
    "the core knows no adapter, no plugin and no backend": ("decodekit/log.py", "import torch"),
    "adapters and plugins are independent of one another": (
        "plugins/decodekit_sampling/top_k.py",
        "import decodekit_presets",
    ),
    "only two modules import httpx": ("adapters/decodekit_remote/server.py", "import httpx"),
    "inside the core, imports run down": (
        "decodekit/errors.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from decodekit.session import Result",
    ),
    "inside the distribution package, imports run down": (
        "decodekit/distribution/disclosure.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from decodekit.distribution import Distribution",
    ),
    "inside the analyses, imports run down": (
        "decodekit/analysis/numbers/statistics.py",
        "import decodekit.analysis.texts.law",
    ),
    "an optional dependency is imported only in its own files": ("decodekit/config/model.py", "import rich"),
}


def sources(*folders: str) -> Iterator[Path]:
    for folder_name in folders or FOLDERS:
        yield from sorted((ROOT / folder_name).rglob("*.py"))


def copied(folder: Path) -> Path:
    """A copy of the sources and their contracts."""
    for folder_name in FOLDERS:
        shutil.copytree(ROOT / folder_name, folder / folder_name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def checked(folder: Path) -> str:
    """What import-linter says of a copy that breaks a contract."""
    roots = [str(folder), str(folder / "adapters"), str(folder / "plugins")]
    code = (
        f"import sys; sys.path[:0] = {roots!r}; "
        "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def test_each_contract_is_broken_by_what_it_forbids(tmp_path: Path) -> None:
    assert set(PLANTED) == {contract["name"] for contract in CONFIG["contracts"]}
    copied(tmp_path)
    for file, line in PLANTED.values():
        path = tmp_path / file
        path.write_text(path.read_text().replace(FUTURE, f"{FUTURE}\n{line}\n", 1))
    said = checked(tmp_path)
    for name in PLANTED:
        assert f"{name} BROKEN" in said, said


def test_a_new_module_must_be_put_into_a_layer(tmp_path: Path) -> None:
    exhaustive = [contract for contract in CONFIG["contracts"] if contract.get("exhaustive")]
    layered = [contract for contract in CONFIG["contracts"] if contract["type"] == "layers"]
    assert exhaustive == layered and len(layered) == 3
    copied(tmp_path)
    for contract in exhaustive:
        (container,) = contract["containers"]
        (tmp_path.joinpath(*container.split(".")) / "annex.py").write_text(FUTURE)
    said = checked(tmp_path)
    for contract in CONFIG["contracts"]:
        state = "BROKEN" if contract in exhaustive else "KEPT"
        assert f"{contract['name']} {state}" in said, said
    assert said.count("annex") == 3, said


def modules() -> dict[str, Path]:
    names = {}
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[1:] if parts[0] in ("adapters", "plugins") else parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports, for types alone or not; a package stands for its ``__init__``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                inner if (inner := f"{node.module}.{alias.name}") in known else node.module for alias in node.names
            }
    return {name for name in found if name in known}


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The nodes from which a path leads back to them."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        ahead = list(graph[start])
        while ahead:
            node = ahead.pop()
            if node not in seen:
                seen.add(node)
                ahead.extend(graph[node])
        reached[start] = seen
    return {node for node, seen in reached.items() if node in seen}


def test_no_file_is_in_an_import_circle() -> None:
    known = modules()
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"b", "c"}  # the search can find one
    graph = {name: imports_of(path, known) for name, path in known.items()}
    assert sum(map(len, graph.values())) > 500  # it sees the imports
    assert circles(graph) == set()


def test_no_file_is_long() -> None:
    files = sources(*FOLDERS, "tests", "examples")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length >= LONGEST} == {}


def test_every_path_that_the_page_on_architecture_names_is_there() -> None:
    named = re.findall(
        r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py)`", (ROOT / "docs" / "architecture.md").read_text()
    )
    found = [name for name in named if (ROOT / name).exists() or (ROOT / "decodekit" / name).exists()]
    beside = {"commands/"}  # named after the folder it is in
    assert len(named) > 30 and set(named) - set(found) <= beside


def test_the_tree_on_that_page_shows_every_folder_of_sources() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    shown, above = set[str](), list[str]()
    for line in page.partition("```text\n")[2].partition("```")[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        above[depth:] = [line.split()[0]]
        shown.add("".join(above))
    assert {name for name in shown if not (ROOT / name).exists()} == set()
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in sources()}
    assert folders <= shown | {"plugins/"}


def test_that_page_names_every_file_of_sources_once() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## The files")[2]
    named: list[str] = []
    folder = ""
    for line in page.partition("```text\n")[2].partition("```")[0].splitlines():
        if line.startswith(" "):
            named += [f"{folder}/{name}.py" for name in line[27:].split()]
        elif line:
            folder = line
    there = [str(path.relative_to(ROOT)) for path in sources() if path.name != "__init__.py"]
    assert sorted(named) == sorted(there)
