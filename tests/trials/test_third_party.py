"""A stranger's plugins: the template renders a package, and pip, decodekit and pytest take it for what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("copier")

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "third_party_plugin"
OTHER = {"distribution": "night-owl", "package": "owl", "processor": "wide_eyed", "sampler": "hoot"}


def run(*command: object, cwd: Path) -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd=cwd, env=kept, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def render(target: Path, answers: Mapping[str, str] | None = None) -> Path:
    given = [word for key, value in (answers or {}).items() for word in ("--data", f"{key}={value}")]
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", *given]
    run(*command, EXAMPLES / "plugin_template", target, cwd=target.parent)
    return target


@dataclass(frozen=True)
class Environment:
    """A new environment that sees the packages of this one, and nothing that was installed into another."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Environment:
        venv.create(folder, symlinks=True)
        made = cls(folder)
        site = run(made.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        ours = sysconfig.get_path("purelib")
        Path(site, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        return made

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, project: Path) -> None:
        """Build the project and install it, downloading nothing."""
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
        run(self.python, "-m", "pip", "install", *offline, project, cwd=self.folder)

    def decodekit(self, *arguments: str) -> str:
        return run(self.python, "-Im", "decodekit.cli", *arguments, cwd=self.folder)


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
    with pytest.raises(AssertionError, match=f"Validation error for question '{answer.partition('=')[0]}'"):
        render(tmp_path / "rendered", dict([answer.split("=")]))


@pytest.mark.parametrize("answers", [{}, OTHER], ids=["the example", "other answers"])
def test_a_package_of_the_template_is_installed_found_and_passes_its_own_tests(
    answers: dict[str, str], tmp_path: Path
) -> None:
    project = render(tmp_path / "project", answers) if answers else EXAMPLE
    distribution = answers.get("distribution", "third-party-plugin")
    processor, sampler = answers.get("processor", "sharpen"), answers.get("sampler", "daring")
    environment = Environment.make(tmp_path / "venv")
    before = json.loads(environment.decodekit("plugins", "--json"))
    environment.install(project)

    after = json.loads(environment.decodekit("plugins", "--json"))
    told = {"distribution": distribution, "version": "0.1.0", "loaded": False}
    new = [plugin for plugin in after if plugin not in before]
    assert new == [
        {"name": processor, "group": "processors", **told},
        {"name": sampler, "group": "samplers", **told},
    ]
    assert f"{processor}  (processor, {distribution} 0.1.0)\nMultiply" in environment.decodekit("plugins", processor)
    chain = ("--chain", f"{processor}=1.5", "--sampler", f"{sampler}=0.5", "--json")
    assert json.loads(environment.decodekit("chain", *chain))["sampler"]["distribution"] == distribution

    passed = run(environment.python, "-Im", "pytest", "-q", "-p", "no:cacheprovider", project / "tests", cwd=project)
    assert " passed" in passed and "skipped" not in passed
