"""What is installed, what is imported when, and what is public."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import decodekit

ROOT = Path(__file__).parent.parent
FOLDERS = ("adapters", "plugins")


def packages(folder: str) -> list[str]:
    return sorted(
        path.name for path in (ROOT / folder).iterdir() if path.is_dir() and path.name.startswith("decodekit_")
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_packages_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_package_in_a_folder_is_typed_and_reached_by_an_entry_point_or_a_command(folder: str) -> None:
    points = {
        point.module.split(".")[0]
        for group in ("adapters", "guessers", "presets", "processors", "samplers", "sinks")
        for point in importlib.metadata.entry_points(group=f"decodekit.{group}")
    }
    assert packages(folder)
    for package in packages(folder):
        assert package in points or (ROOT / folder / package / "__main__.py").exists()  # a command of its own
        assert (ROOT / folder / package / "py.typed").exists()


def test_importing_decodekit_loads_no_backend_no_plugin_and_no_extra() -> None:
    code = "import json, sys, decodekit; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    heavy = {"torch", "transformers", "llama_cpp", "httpx", "typer", "pyarrow", "jinja2", "hypothesis", "pytest"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("decodekit_")} == set()
    assert "decodekit" in loaded  # the check can see what is loaded


def test_the_core_needs_numpy_pydantic_and_structlog_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [need.split(">")[0] for need in project["dependencies"]] == ["numpy", "pydantic", "structlog"]
    extras = project["optional-dependencies"]
    assert set(extras) >= {"llamacpp", "torch", "remote", "cli", "parquet", "demo", "all", "dev"}


def test_public_names_are_exactly_what_the_package_imports() -> None:
    tree = ast.parse(Path(decodekit.__file__).read_text())
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(decodekit.__all__)


def core_modules() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "decodekit").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py") and "cli" not in path.parts
    )


@pytest.mark.parametrize("name", core_modules())
def test_every_module_says_what_is_public_and_documents_it(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    public = module.__all__
    for item in public:
        value = getattr(module, item)
        if callable(value) and getattr(value, "__module__", name) == name:
            assert value.__doc__, f"{name}.{item} has no docstring"


def test_nothing_reads_code_from_data() -> None:
    """No pickle is read, no eval, no exec, no import of a name that came from outside."""
    forbidden = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    for folder in ("decodekit", *FOLDERS):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                    if names == ["pickle"] and {alias.name for alias in node.names} == {"Pickler"}:
                        names = []  # which writes, and runs no code of the data: errors try what can be written
                assert not forbidden & {name.split(".")[0] for name in names}, path
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    assert node.func.id not in ("eval", "exec", "__import__"), path
