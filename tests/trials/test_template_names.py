"""The template takes a name, or refuses it with a reason; what it renders then passes lint and types, and imports."""

from __future__ import annotations

import importlib.util
import keyword
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("copier")

import copier
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import Context, Distribution, Plugin
from decodekit.plugin.traits import DECLARED
from decodekit.testing import NGramAdapter
from tests.trials.out_of_tree import EXAMPLES

TEMPLATE = EXAMPLES / "plugin_template"
EXAMPLE = EXAMPLES / "third_party_plugin"
LONGEST = 40

small = string.ascii_lowercase + string.digits
words = st.text(small, min_size=1, max_size=12)
odd = st.sampled_from([
    "class", "none", "match", "type", "json", "tests", "numpy", "torch", "decodekit", "decodekit_remote", "top_p",
    "greedy", "copy", "schema", "model_dump", "field", "class_var", "float", "name", "self", "pure", "initial", "print",
    "np", "pytest", "Night", "night-owl", "night_owl", "9lives", "l", "x1", "x_1", "_x", "x_", "a__b", "", "é", "a b",
    "n" * LONGEST, "z" * LONGEST, "a" * LONGEST, "n" * (LONGEST + 1), "a_" * 19 + "aa", "zz_" * 13 + "z",
])  # fmt: skip


def names(separator: str) -> st.SearchStrategy[str]:
    """Names of this shape, which are mostly valid, and odd ones."""
    plain = st.lists(words, min_size=1, max_size=4).map(separator.join).map(lambda name: "a" + name)
    return st.one_of(plain, plain, plain, odd)


answers = st.fixed_dictionaries(
    {"distribution": names("-"), "processor": names("_"), "sampler": names("_")}, optional={"package": names("_")}
)


def rendered(folder: Path, given: dict[str, str]) -> dict[str, Any] | None:
    """Render into a folder; the answers in full, or None where a name was refused with a reason."""
    try:
        done = copier.run_copy(str(TEMPLATE), folder, data=given, defaults=True, quiet=True)
    except ValueError as error:
        if re.fullmatch(r"Validation error for question '(distribution|package|processor|sampler)': .+", str(error)):
            return None
        raise
    return dict(done.answers.combined)


def check_use(folder: Path, told: dict[str, Any]) -> None:
    """The package is imported, and both plugins are made and called with the parameters that bear their names."""
    source = folder / told["package"] / "__init__.py"
    spec = importlib.util.spec_from_file_location(f"rendered_{told['package']}", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        sharp = getattr(module, told["processor_class"])(**{told["processor"]: 2.0})
        bold = getattr(module, told["sampler_class"])(**{told["sampler"]: 0.5})
        chain = decodekit.Chain([sharp], bold)
        assert isinstance(sharp(Distribution.dense([0.0, 1.0]), Context()), Distribution)
        assert chain.describe()["processors"][0]["params"] == {told["processor"]: 2.0}
        session = decodekit.Session(NGramAdapter("abab"), chain, seed=1)
        assert len(session.generate("a", max_tokens=2).token_ids) == 2
    finally:
        del sys.modules[spec.name]


def passes(folder: Path, *command: object) -> None:
    words = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_whatever_the_names_it_is_refused_or_passes_its_own_lint(tmp_path: Path) -> None:
    packages: dict[str, Path] = {}
    tried = {"all": 0, "taken": 0}

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), database=None)
    @example({"distribution": "night-owl", "processor": "sharp", "sampler": "bold"})
    @example({"distribution": "9lives", "processor": "sharp", "sampler": "bold"})
    @given(answers)
    def render(given: dict[str, str]) -> None:
        tried["all"] += 1
        folder = tmp_path / f"p{tried['all']}"
        told = rendered(folder, given)
        if told is not None:
            tried["taken"] += 1
            check_use(folder, told)
            packages[told["package"]] = folder / told["package"]

    render()
    assert 1 <= tried["taken"] < tried["all"]
    passes(tmp_path, "ruff", "check", "--no-cache", ".")
    passes(tmp_path, "ruff", "format", "--no-cache", "--check", ".")
    typed = [*packages.values(), EXAMPLE / EXAMPLE.name, EXAMPLE / "tests"]
    passes(tmp_path, "mypy", "--strict", "--cache-dir", tmp_path / ".mypy", *typed)


def test_the_lists_of_taken_names_are_complete() -> None:
    lists = yaml.safe_load((TEMPLATE / "names.yml").read_text())
    taken = {name: set(each["default"].split()) for name, each in lists.items()}
    keywords = {word.lower() for word in keyword.kwlist}
    of_plugins = {name for name in dir(Plugin) if not name.startswith("_")} | set(DECLARED)
    groups = ("processors", "samplers")
    ours = {info.name for info in decodekit.plugins() if info.group in groups and info.distribution == "decodekit"}
    modules = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    assert modules | set(filter(str.islower, keyword.kwlist)) <= taken["taken_packages"]
    assert keywords | of_plugins <= taken["taken_fields"] and ours <= taken["taken_plugins"]


@pytest.mark.parametrize("taken", ["processor=class", "package=json", "sampler=top_p", "processor=x1 sampler=x_1"])
def test_a_name_that_would_break_the_package_is_refused_with_the_reason(taken: str, tmp_path: Path) -> None:
    given = dict(word.split("=") for word in taken.split())
    with pytest.raises(ValueError, match=r"a (name|plugin) (of|that) "):
        copier.run_copy(str(TEMPLATE), tmp_path / "p", data=given, defaults=True, quiet=True)
