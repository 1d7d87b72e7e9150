"""The rows of a sweep as a Parquet file. Extra: ``parquet``."""

from __future__ import annotations

import json
from typing import Any

from decodekit.analysis.sweeps.result import Sweep
from decodekit.trace.columns import pyarrow
from decodekit.trace.new_file import NewFile
from decodekit.types import PathLike

__all__ = ["SCHEMA", "write_sweep"]

SCHEMA = "decodekit-samples/1"
"""The name and version of the columns; docs/science.md describes them."""


def write_sweep(sweep: Sweep, path: PathLike) -> None:
    """Write all rows, failed ones included, to a new file, which gets its name when it is whole.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: the file exists, or cannot be written.
    """
    pa = pyarrow()
    from pyarrow import parquet

    table = pa.table(_columns(sweep), schema=_schema(pa, sweep))
    file = NewFile(path)
    try:
        with file.typed():
            parquet.write_table(table, str(file.draft), compression="zstd", row_group_size=65_536)
        file.publish()
    finally:
        file.discard()


def _schema(pa: Any, sweep: Sweep) -> Any:
    words, number = pa.dictionary(pa.int32(), pa.string()), pa.int32()
    fields = [
        *[("key", pa.string()), ("prompt", words), ("id", words), ("answer", words), ("task", number)],
        *[("chain", words), ("sample", number), ("seed", pa.uint64()), ("stream", pa.uint64())],
        *[("text", pa.string()), ("token_ids", pa.list_(pa.int64())), ("finish_reason", words), ("error", pa.string())],
        *[("value", pa.float64()), ("vote", pa.string()), ("check_error", pa.string())],
    ]
    return pa.schema(fields, metadata={"decodekit.schema": SCHEMA, "decodekit.check": sweep.check or ""})


def _columns(sweep: Sweep) -> dict[str, list[Any]]:
    rows, tasks = sweep.rows, sweep.tasks
    prompts = [_text(task.prompt_data()) for task in tasks]
    labels = [None if task.label is None else str(task.label) for task in tasks]
    answers = [None if task.answer is None else _text(task.answer) for task in tasks]
    return {
        "key": [row.key for row in rows],
        "prompt": [prompts[row.task] for row in rows],
        "id": [labels[row.task] for row in rows],
        "answer": [answers[row.task] for row in rows],
        "task": [row.task for row in rows],
        "chain": [sweep.chains[row.chain] for row in rows],
        "sample": [row.sample for row in rows],
        "seed": [sweep.seed] * len(rows),
        "stream": [row.stream for row in rows],
        "text": [row.text for row in rows],
        "token_ids": [row.token_ids for row in rows],
        "finish_reason": [row.finish_reason for row in rows],
        "error": [row.error for row in rows],
        "value": [row.value for row in rows],
        "vote": [row.vote for row in rows],
        "check_error": [row.check_error for row in rows],
    }


def _text(data: Any) -> str:
    """Text as it is, other data as JSON."""
    text = data if isinstance(data, str) else json.dumps(data)
    return text.encode("utf-8", "backslashreplace").decode()
