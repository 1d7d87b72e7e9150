"""Every example runs, as its reader would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.real_model

EXAMPLES = Path(__file__).parent.parent / "examples"
SAYS = {
    "any_function.py": "no step is walked twice: True",
    "custom_processor.py": "without doubt",
    "explain_a_token.py": "proved",
    "from_config.py": "[",
    "own_dialect.py": "of three tokens",
    "score_a_text.py": "nats",
    "temperature_curve.py": "chance between T",
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs_and_says_what_it_promises(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert SAYS[path.name] in done.stdout
    assert done.stderr == ""
    assert len(path.read_text().splitlines()) <= 40
