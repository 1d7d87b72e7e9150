"""Packages of strangers: rendered from the template, and installed by pip into an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXAMPLES", "Environment", "render", "run"]

EXAMPLES = Path(__file__).parents[2] / "examples"


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
        return run(self.python, "-Im", "decodekit", *arguments, cwd=self.folder)
