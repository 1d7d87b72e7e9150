"""The same questions in a new process, to an adapter that a configuration names.

That process reads the question on stdin, as JSON, and writes the answers to a file, as NumPy arrays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decodekit.analysis.audit.material import Rows, Text
from decodekit.analysis.audit.probes import alone
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import AdapterError, ParameterError
from decodekit.model.asking import blocking
from decodekit.model.prefix import Prefix
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
        ParameterError: a parameter is no plain data.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers"
        asked = {
            "adapter": dict(named),
            "texts": [[list(text.prompt.token_ids), list(text.ids)] for text in texts],
            "top": want.top,  # None for the whole vocabulary
            "answers": str(answers),
        }
        try:
            question = json.dumps(asked)
        except TypeError as error:
            raise ParameterError(f"named: parameters as a configuration has them, plain data: {error}") from None
        done = subprocess.run(  # noqa: S603 - this interpreter, and a function of this package
            [sys.executable, "-P", "-c", _START],
            input=question.encode(),
            capture_output=True,
            env={**os.environ, **(environment or {})},
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise AdapterError(f"the new process failed: {said[-1] if said else f'exit code {done.returncode}'}")
        return _read(answers)


def answer() -> None:
    """What the new process does."""
    question = json.load(sys.stdin)
    table = question["adapter"]
    adapter = blocking(registry.adapter(table.pop("type"), **table))
    texts = [_text(Prefix(prompt), ids) for prompt, ids in question["texts"]]
    try:
        rows = alone(adapter, texts, ALL if question["top"] is None else Disclosure(question["top"])).rows
    finally:
        adapter.close()
    _write(Path(question["answers"]), rows)


def _text(prompt: Prefix, ids: Sequence[int]) -> Text:
    prefixes = [prompt]
    for token_id in ids[:-1]:
        prefixes.append(prefixes[-1].extend((token_id,)))
    return Text(tuple(prefixes), tuple(ids))


def _write(path: Path, rows: Rows) -> None:
    arrays: dict[str, Any] = {}
    notes: list[dict[str, Any]] = []
    for number, (place, dist) in enumerate(rows.items()):
        row = dist.row  # its own numbers, such as float32: `scores` are float64, and bits are compared
        arrays[f"scores{number}"] = row.values if row.scale == 1 else row.scores
        if dist.token_ids is not None:
            arrays[f"ids{number}"] = dist.token_ids
        tail = dist.tail
        notes.append(
            {
                "place": place,
                "vocab_size": dist.vocab_size,
                "origin": dist.origin,
                "stage": dist.stage,
                "temperature": dist.temperature,
                "schedule": None if dist.schedule is None else dict(dist.schedule),
                "tail": None if tail is None else [tail.max_logprob, dist.entropy if dist.knows_entropy else None],
            }
        )
    with path.open("wb") as file:
        np.savez(file, notes=np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8), **arrays)


def _read(path: Path) -> Rows:
    rows: Rows = {}
    with np.load(path, allow_pickle=False) as arrays:
        for number, note in enumerate(json.loads(arrays["notes"].tobytes())):
            scores, ids = arrays[f"scores{number}"], arrays.get(f"ids{number}")
            common = {name: note[name] for name in ("stage", "temperature", "schedule")}
            if ids is None:
                dist = Distribution.dense(scores, origin=note["origin"], **common)
            elif note["tail"] is None:
                dist = Distribution.listed(ids, scores, note["vocab_size"], origin=note["origin"], **common)
            else:
                bound, entropy = note["tail"]
                dist = Distribution.head(ids, scores, note["vocab_size"], max_hidden=bound, entropy=entropy, **common)
            rows[note["place"][0], note["place"][1]] = dist
    return rows
