"""A trace as a Parquet table, one row per step, for analysis with the tools one already has. Extra: ``parquet``."""

from __future__ import annotations

import os
from typing import Any

from decodekit.errors import ConfigError
from decodekit.trace.codec import to_line
from decodekit.trace.header import Trace
from decodekit.trace.step import Step

__all__ = ["write_parquet"]


def write_parquet(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write the steps of a trace to a Parquet file. The header goes into the schema's metadata, as JSON.

    Args:
        trace: a trace.
        path: the file to write.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'decodekit[parquet]'") from error

    table = pa.Table.from_pylist([_row(step) for step in trace.steps])
    header = to_line(trace.header.content())
    parquet.write_table(table.replace_schema_metadata({"decodekit": header}), path, compression="zstd")


def _row(step: Step) -> dict[str, Any]:
    raw, choice, evidence = step.raw, step.choice, step.evidence
    return {
        "stream": step.stream,
        "step": step.index,
        "token_id": step.token_id,
        "text": step.text,
        "logprob": choice.logprob,
        "raw_logprob": choice.raw_logprob,
        "rank": choice.rank,
        "score": choice.score,
        "margin": choice.margin,
        "runner_up": choice.runner_up,
        "word": None if step.draw is None else step.draw.word.to_bytes(8, "big"),
        "raw_entropy": raw.entropy,
        "raw_top_ids": [token for token, _ in raw.top],
        "raw_top_logprobs": [logprob for _, logprob in raw.top],
        "processors": [
            {"name": e.name, "support": e.support, "entropy": e.entropy, "kl": e.kl, "mass_removed": e.mass_removed}
            for e in step.entries
        ],
        "final_ids": None if evidence is None else evidence.token_ids.tolist(),
        "final_scores": None if evidence is None else evidence.scores.tolist(),
        "final_floor": None if evidence is None else evidence.floor,
        "predict_seconds": step.timing.predict,
        "chain_seconds": step.timing.chain,
    }
