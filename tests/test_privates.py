"""Nothing reaches into what another module keeps for itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

# At most five. Each is a package or a file, a name of another library, and why there is no other way.
ALLOWED = {
    ("decodekit_torch", "_dynamo"): "the settings of torch's compiler are here only",
    ("decodekit_torch", "_attn_implementation"): "transformers says nowhere else which attention a model runs",
    ("decodekit_llamacpp", "_fields_"): "the name that ctypes documents for a structure",
    ("decodekit_command.py", "_exit"): "the name that Python documents for leaving without its own end",
    ("text", "_parse"): "jinja2's documentation of Environment says: override it, and call it by super()",
}


NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}  # public: the underscore is for names of fields


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLES


def is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def names_of(kind: ast.ClassDef) -> set[str]:
    """What a class defines: methods, attributes, slots, and what it sets on ``self``."""
    names: set[str] = set()
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


class Module:
    """A parsed file: its classes, and which names it imported."""

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.classes = {node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}
        self.names = {name: names_of(kind) for name, kind in self.classes.items()}
        self.own = set[str]().union(*self.names.values())
        imports = [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        self.imported = {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
        self.imports = imports
        self.written: dict[tuple[ast.AST | None, str], list[ast.expr]] = {}
        for scope, name, written in self.written_types():
            self.written.setdefault((scope, name), []).append(written)

    def around(self, node: ast.AST, *kinds: type[ast.AST]) -> Iterator[Any]:
        """The nodes of these kinds that a node is in, the innermost first."""
        while (parent := self.parents.get(node)) is not None:
            if isinstance(parent, kinds):
                yield parent
            node = parent

    def defined(self, kind: ast.ClassDef, *, itself: bool) -> set[str]:
        """What a class and its bases in this file define."""
        names = self.names[kind.name] if itself else set[str]()
        bases = (ast.unparse(base).partition("[")[0] for base in kind.bases)
        return names.union(*(self.defined(self.classes[base], itself=True) for base in bases if base in self.classes))

    def is_foreign(self, value: ast.expr) -> bool:
        """Whether a value is an imported name, or one whose type is written in the file and was imported."""
        if isinstance(value, ast.Name) and value.id in self.imported:
            return True
        types = [self.imported_type(written) for written in self.types_of(value)]
        return bool(types) and all(types)

    def types_of(self, value: ast.expr) -> Iterator[ast.expr]:
        """The annotations and the calls of classes from which a variable or an attribute of ``self`` comes."""
        if isinstance(value, ast.Call):
            yield value.func
        elif isinstance(value, ast.Name):
            scope = next(self.around(value, ast.FunctionDef, ast.AsyncFunctionDef), None)
            yield from self.written.get((scope, value.id), [])
        elif isinstance(value, ast.Attribute) and is_own(value.value):
            scope = next(self.around(value, ast.ClassDef), None)
            yield from self.written.get((scope, value.attr), [])

    def written_types(self) -> Iterator[tuple[ast.AST | None, str, ast.expr]]:
        """(function, variable, type) and (class, attribute, type), wherever the file writes or calls the type."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.arg) and node.annotation is not None:
                function = next(self.around(node, ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), None)
                yield function, node.arg, node.annotation
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            kind = next(self.around(node, ast.ClassDef), None)
            function = next(self.around(node, ast.FunctionDef, ast.AsyncFunctionDef), None)
            types = [node.annotation] if isinstance(node, ast.AnnAssign) else self.assigned(node.value, function)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield from ((function or kind, target.id, each) for each in types)
                elif isinstance(target, ast.Attribute) and is_own(target.value):
                    yield from ((kind, target.attr, each) for each in types)

    def assigned(self, value: ast.expr, function: ast.AST | None) -> list[ast.expr]:
        """The types of an assigned value: a class that is called, or a parameter with an annotation."""
        if isinstance(value, ast.Call):
            return [value.func]
        arguments = getattr(function, "args", None)
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs] if arguments else []
        return [each.annotation for each in given if each.annotation and ast.unparse(value) == each.arg]

    def imported_type(self, written: ast.expr) -> bool:
        names = {node.id for node in ast.walk(written) if isinstance(node, ast.Name)}
        return bool(names & self.imported - {"Any"}) and not names & set(self.classes)


def reaches(source: str) -> Iterator[tuple[int, str, str]]:
    """(line, text, name) of each access to a private name of another module."""
    module = Module(source)
    for node in module.imports:
        path = (node.module or "").split(".") if isinstance(node, ast.ImportFrom) else []
        for name in filter(is_private, [*path, *(part for alias in node.names for part in alias.name.split("."))]):
            yield node.lineno, ast.unparse(node), name
    for node in ast.walk(module.tree):
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
        is_super = isinstance(value, ast.Call) and ast.unparse(value.func) == "super"
        kind = next(module.around(node, ast.ClassDef), None)
        if kind is not None and (is_own(value) or is_super):
            known = module.defined(kind, itself=not is_super)
        else:
            known = set() if module.is_foreign(value) else module.own
        if name not in known:
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
        "class A:\n    def f(self): return super()._find()",
        "from b import B\nclass A(B):\n    def f(self): return self._find()",
        "from b import B\nclass A(B):\n    def _find(self): return super()._find()",
        "from b import B\nclass A:\n    _x = 1\ndef f(b: B): return b._x",  # a class of this file has the name too
        "from b import B\nclass A:\n    _x = 1\ndef f():\n    b = B()\n    return b._x",
        "from b import B\nclass A:\n    _x = 1\n    def f(self, b: B): self.b = b\n    def g(self): return self.b._x",
    ],
)
def test_reaching_into_another_module_is_found(source: str) -> None:
    assert list(reaches(source))


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    _x = 1\n    def f(self): return self._x + self.__dict__['x']",
        "class A:\n    def _find(): pass\n    @classmethod\n    def f(cls): return cls._find()",
        "class A:\n    __slots__ = ('_ids',)\ndef f(a): return a._ids",
        "class A:\n    def __init__(self): self._ids = 1\n    def f(self, other): return other._ids",
        "class A:\n    def _find(self): pass\ndef f(a): return a._find()",
        "from __future__ import annotations\nimport a.b\na.__name__",
        "class A:\n    def _find(self): pass\nclass B(A):\n    def _find(self): return super()._find()",
        "class A:\n    def _find(self): pass\nclass B(A):\n    def f(self): return self._find()",
        "from b import B\nclass A:\n    _x = 1\ndef f(a: A | B): return a._x",
    ],
)
def test_what_a_module_made_itself_is_its_own(source: str) -> None:
    assert not list(reaches(source))


def test_no_module_reaches_into_the_privates_of_another() -> None:
    assert len(ALLOWED) <= 5
    found: list[str] = []
    needed: set[tuple[str, str]] = set()
    for folder in ("decodekit", "adapters", "plugins"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = path.relative_to(ROOT)
            for line, text, name in reaches(path.read_text()):
                if (file.parts[1], name) in ALLOWED:
                    needed.add((file.parts[1], name))
                else:
                    found.append(f"{file}:{line}: {text}")
    assert found == []
    assert needed == set(ALLOWED), "a line of the list is not needed any more"
