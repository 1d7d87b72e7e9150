"""The same questions in a new process, to an adapter that a configuration names.

That process reads a pickled question on stdin and writes the pickled answers to a file.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decodekit.analysis.audit.material import Rows, Text
from decodekit.analysis.audit.probes import alone
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError
from decodekit.model.asking import blocking
from decodekit.plugin import registry

__all__ = ["answer", "in_new_process"]

_START = f"from {__name__} import answer; answer()"


def in_new_process(
    named: Mapping[str, Any], texts: Sequence[Text], want: Disclosure, environment: Mapping[str, str] | None = None
) -> Rows:
    """Ask token by token in a process that is started for it.

    Args:
        named: the adapter's ``type`` and its parameters.
        texts: what to ask for.
        want: how much to show.
        environment: variables that are set for that process.

    Raises:
        AdapterError: the process failed; the message has its last line.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers"
        question = pickle.dumps((dict(named), list(texts), want, str(answers)))
        done = subprocess.run(  # noqa: S603 - this interpreter, and a function of this package
            [sys.executable, "-P", "-c", _START],
            input=question,
            capture_output=True,
            env={**os.environ, **(environment or {})},
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise AdapterError(f"the new process failed: {said[-1] if said else f'exit code {done.returncode}'}")
        rows: Rows = pickle.loads(answers.read_bytes())  # noqa: S301 - written by our own process
    return rows


def answer() -> None:
    """What the new process does."""
    table, texts, want, path = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the process above
    adapter = blocking(registry.adapter(table.pop("type"), **table))
    try:
        rows = alone(adapter, texts, want).rows
    finally:
        adapter.close()
    Path(path).write_bytes(pickle.dumps(rows))
