"""Rollouts as Parquet, a row for each sequence. Extra: ``parquet``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decodekit.analysis.trainers.rows import Rollout
from decodekit.errors import TraceError, message_of
from decodekit.trace.columns import pyarrow
from decodekit.trace.table_file import TableFile

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SCHEMA", "batch_of", "read_rollouts", "rollout_file"]

SCHEMA = "decodekit-rollouts/1"
_ROW_GROUP = 256  # sequences
_REAL = ("logprobs", "model_logprobs", "mass", "entropies")


def rollout_file(path: Path) -> TableFile:
    """A new file of rollouts, which takes what `batch_of` makes and has its name once it is published.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: the file exists, or cannot be written.
    """
    return TableFile(
        path,
        _schema(),
        _ROW_GROUP,
        dictionaries=["run", "stop_reason"],
        encodings={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in _REAL},
    )


def batch_of(rows: Sequence[Rollout]) -> pa.RecordBatch:
    """Rollouts as a batch of rows."""
    return pyarrow().RecordBatch.from_pylist([_as_row(row) for row in rows], schema=_schema())


def read_rollouts(path: Path) -> Iterable[Rollout]:
    """The rollouts of a file, or of a folder that `decodekit.analysis.rollouts` wrote, in order and bounded memory.

    Raises:
        ConfigError: pyarrow is not installed.
        TraceError: the file cannot be read, or is no file of rollouts of this version.
    """
    pyarrow()
    from pyarrow import parquet

    path = Path(path)
    path = path / "rollouts.parquet" if path.is_dir() else path
    try:
        file = parquet.ParquetFile(path)
        named = (file.schema_arrow.metadata or {}).get(b"decodekit.schema", b"").decode(errors="replace")
        if named != SCHEMA:
            raise TraceError(f"{path} has the schema {named!r}; this version reads {SCHEMA!r}")
        for batch in file.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                row["weights"] = [(span["start"], span["fingerprint"]) for span in row["weights"]]
                yield Rollout(**row)
    except (OSError, ValueError) as error:  # pyarrow's own are of these kinds
        raise TraceError(f"cannot read {path}: {message_of(error)[:300]}") from error


def _as_row(row: Rollout) -> dict[str, Any]:
    spans = [{"start": start, "fingerprint": fingerprint} for start, fingerprint in row.weights]
    return {**asdict(row), "weights": spans}


def _schema() -> pa.Schema:
    pa = pyarrow()
    ids = pa.list_(pa.int64())  # those that are made up for a server of texts have 63 bits
    kinds: dict[str, Any] = {
        "run": pa.string(), "prompt": pa.int32(), "sample": pa.int32(), "stream": pa.uint64(), "seed": pa.uint64(),
        "prompt_ids": ids, "token_ids": ids, "text": pa.string(), "loss_mask": pa.list_(pa.int8()),
        "support_ids": pa.list_(ids), "modes": ids, "stop_reason": pa.string(), "is_sample": pa.bool_(),
        "weights": pa.list_(pa.struct([("start", pa.int32()), ("fingerprint", pa.string())])),
        **{name: pa.list_(pa.float64()) for name in _REAL},
    }  # fmt: skip
    return pa.schema([(each.name, kinds[each.name]) for each in fields(Rollout)], {"decodekit.schema": SCHEMA})
