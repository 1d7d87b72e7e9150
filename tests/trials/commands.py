"""The commands of an application, several in one process, which saves their start and their model's libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cli.conftest import DRIVER

__all__ = ["commands"]


def commands(folder: Path, *calls: Sequence[str], **environment: str) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each command, run one after another in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(calls).encode(),
        capture_output=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
