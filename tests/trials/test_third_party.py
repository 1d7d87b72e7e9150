"""A stranger's plugins: the template renders a package, and pip, decodekit and pytest take it for what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("copier")

import copier

from tests.trials.out_of_tree import EXAMPLES, Environment, render, run

EXAMPLE, TEMPLATE = EXAMPLES / "third_party_plugin", EXAMPLES / "plugin_template"


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and "cache" not in str(path.relative_to(folder))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_example_is_what_the_template_renders_without_answers(tmp_path: Path) -> None:
    rendered = files(render(tmp_path / "rendered"))
    assert rendered == files(EXAMPLE), "render it again: copier copy --defaults examples/plugin_template <folder>"
    assert len(rendered) == 5


@pytest.mark.parametrize(
    "answer", ["distribution=Night Owl", "package=decodekit_grammar", "processor=wide-eyed", "sampler=sharpen"]
)
def test_an_answer_that_makes_no_package_is_refused(answer: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"Validation error for question '{answer.partition('=')[0]}'"):
        copier.run_copy(str(TEMPLATE), tmp_path / "rendered", data=dict([answer.split("=")]), defaults=True, quiet=True)


def test_the_example_is_installed_found_and_passes_its_own_tests(tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "venv")
    before = json.loads(environment.decodekit("plugins", "--json"))
    environment.install(EXAMPLE)
    after = json.loads(environment.decodekit("plugins", "--json"))
    told = {"distribution": "third-party-plugin", "version": "0.1.0", "loaded": False}
    assert [plugin for plugin in after if plugin not in before] == [
        {"name": "sharpen", "group": "processors", **told},
        {"name": "daring", "group": "samplers", **told},
    ]
    said = environment.decodekit("plugins", "sharpen")
    assert "sharpen  (processor, third-party-plugin 0.1.0)\nMultiply" in said
    chain = ("--chain", "sharpen=1.5", "--sampler", "daring=0.5", "--json")
    assert json.loads(environment.decodekit("chain", *chain))["sampler"]["distribution"] == "third-party-plugin"

    passed = run(environment.python, "-Im", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE / "tests", cwd=EXAMPLE)
    assert " passed" in passed and "skipped" not in passed
