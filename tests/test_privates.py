"""Nothing reaches into what another module keeps for itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# At most five. Each is a shelf, a name of another library, and why there is no other way.
ALLOWED = {
    ("decodekit_torch", "_dynamo"): "the settings of torch's compiler are here only",
    ("decodekit_torch", "_attn_implementation"): "transformers says nowhere else which attention a model runs",
    ("decodekit_llamacpp", "_fields_"): "the name that ctypes documents for a structure",
    ("decodekit_command.py", "_exit"): "the name that Python documents for leaving without its own end",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_of_classes(tree: ast.Module) -> set[str]:
    """What the classes of a module define: methods, attributes, slots, and what they set on ``self``."""
    names: set[str] = set()
    for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for statement in kind.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(statement.name)
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        names.add(node.id)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        names.add(node.value)  # a slot
        for node in ast.walk(kind):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
                names.add(node.attr)
    return names


def is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def reaches(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, text, name) of each access to a private name of another module."""
    tree = ast.parse(source)
    own, imported = names_of_classes(tree), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            path = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
            for alias in node.names:
                imported.add(alias.asname or alias.name.partition(".")[0])
                for name in filter(is_private, [*path, *alias.name.split(".")]):
                    yield node.lineno, ast.unparse(node), name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            value, name = node.value, node.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "setattr", "hasattr", "delattr")
            and isinstance(node.args[1], ast.Constant)
            and is_private(str(node.args[1].value))
        ):
            value, name = node.args[0], str(node.args[1].value)
        else:
            continue
        foreign = isinstance(value, ast.Name) and value.id in imported
        if not is_own(value) and (foreign or name not in own):
            yield node.lineno, ast.unparse(node), name


@pytest.mark.parametrize(
    "source",
    [
        "def f(dist): return dist._row",
        "import torch\ntorch._dynamo.reset()",
        "from decodekit import errors\nclass A:\n    def _find(self): return errors._find()",
        "from decodekit.errors import _find",
        "import numpy._core",
        "from numpy._core import umath",
        "def f(dist): dist._row = 1",
        "def f(dist): return getattr(dist, '_row')",
        "class A:\n    def f(self): return self.other._adapter._memory",
        "def _row(dist): return dist._row",  # a function of this name is no attribute of a class
    ],
)
def test_reaching_into_another_module_is_found(source: str) -> None:
    assert list(reaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def f(self): return self._x + self.__dict__['x']",
        "class A:\n    @classmethod\n    def f(cls): return cls._make()",
        "class A:\n    __slots__ = ('_ids',)\ndef f(a): return a._ids",
        "class A:\n    def __init__(self): self._ids = 1\n    def f(self, other): return other._ids",
        "class A:\n    def _find(self): pass\ndef f(a): return a._find()",
        "from __future__ import annotations\nimport a.b\na.__name__",
    ],
)
def test_what_a_module_made_itself_is_its_own(source: str) -> None:
    assert not list(reaches(source))


def test_no_module_reaches_into_the_privates_of_another() -> None:
    assert len(ALLOWED) <= 5
    found: list[str] = []
    needed: set[tuple[str, str]] = set()
    for room in ("decodekit", "adapters", "plugins"):
        for path in sorted((ROOT / room).rglob("*.py")):
            file = path.relative_to(ROOT)
            for line, text, name in reaches(path.read_text()):
                if (file.parts[1], name) in ALLOWED:
                    needed.add((file.parts[1], name))
                else:
                    found.append(f"{file}:{line}: {text}")
    assert found == []
    assert needed == set(ALLOWED), "a line of the list is not needed any more"
