"""A trace as a Parquet table, one row per step, for analysis with other tools. Extra: ``parquet``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decodekit.chain import Entry
from decodekit.errors import ConfigError
from decodekit.trace.codec import to_line
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_parquet"]

_ROWS = 4096  # steps written at a time; a step at level 'proof' has up to a few thousand final scores


def write_parquet(trace: Trace, path: PathLike) -> None:
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

    columns = _columns(pa)
    schema = pa.schema(
        [pa.field(name, build([]).type) for name, build in columns.items()],
        metadata={"decodekit": to_line(trace.header.content())},
    )
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(trace.steps), _ROWS):
            steps = trace.steps[start : start + _ROWS]
            writer.write_table(pa.Table.from_arrays([build(steps) for build in columns.values()], schema=schema))


def _columns(pa: Any) -> dict[str, Callable[[Sequence[Step]], pa.Array]]:
    """For each column a function from steps to an array; its type does not depend on the steps."""

    def scalars(of: Callable[[Step], Any], kind: Any) -> Callable[[Sequence[Step]], pa.Array]:
        return lambda steps: pa.array([of(step) for step in steps], kind)

    def lists(of: Callable[[Step], NDArray[Any] | None], kind: Any) -> Callable[[Sequence[Step]], pa.Array]:
        return lambda steps: _listed(pa, [of(step) for step in steps], pa.array, kind)

    integer, number, text, seconds = pa.int64(), pa.float64(), pa.string(), pa.float64()
    return {
        "stream": scalars(lambda step: step.stream, pa.uint64()),
        "step": scalars(lambda step: step.index, integer),
        "token_id": scalars(lambda step: step.token_id, integer),
        "text": scalars(lambda step: step.text, text),
        "logprob": scalars(lambda step: step.choice.logprob, number),
        "raw_logprob": scalars(lambda step: step.choice.raw_logprob, number),
        "rank": scalars(lambda step: step.choice.rank, integer),
        "score": scalars(lambda step: step.choice.score, number),
        "margin": scalars(lambda step: step.choice.margin, number),
        "runner_up": scalars(lambda step: step.choice.runner_up, integer),
        "word": scalars(lambda step: None if step.draw is None else step.draw.word.to_bytes(8, "big"), pa.binary()),
        "raw_entropy": scalars(lambda step: step.raw.entropy, number),
        "raw_top_ids": lists(lambda step: np.array([token for token, _ in step.raw.top], np.int64), integer),
        "raw_top_logprobs": lists(lambda step: np.array([logprob for _, logprob in step.raw.top]), number),
        "processors": lambda steps: _processors(pa, steps),
        "final_ids": lists(lambda step: None if step.evidence is None else step.evidence.token_ids, integer),
        "final_scores": lists(lambda step: None if step.evidence is None else step.evidence.scores, number),
        "final_floor": scalars(lambda step: None if step.evidence is None else step.evidence.floor, number),
        "predict_seconds": scalars(lambda step: step.timing.predict, seconds),
        "chain_seconds": scalars(lambda step: step.timing.chain, seconds),
    }


def _processors(pa: Any, steps: Sequence[Step]) -> pa.Array:
    """The column of what each processor did: a list of structures."""
    numbers = ("entropy", "kl", "mass_removed", "kept_mass")

    def entries(flat: Sequence[Entry], kind: None) -> pa.Array:
        names = [pa.array([entry.name for entry in flat], pa.string())]
        supports = [pa.array([entry.support for entry in flat], pa.int64())]
        floats = [pa.array([getattr(entry, number) for entry in flat], pa.float64()) for number in numbers]
        return pa.StructArray.from_arrays([*names, *supports, *floats], names=["name", "support", *numbers])

    return _listed(pa, [step.entries for step in steps], entries, None)


def _listed(pa: Any, parts: Sequence[Any], build: Callable[[Any, Any], pa.Array], kind: Any) -> pa.Array:
    """A column of lists; None stands for a missing list."""
    present = [part for part in parts if part is not None]
    if present and isinstance(present[0], np.ndarray):
        flat: Any = np.concatenate(present)
    else:
        flat = [item for part in present for item in part]
    ends = list(accumulate((0 if part is None else len(part) for part in parts), initial=0))
    absent = pa.array([part is None for part in parts], pa.bool_()) if len(present) < len(parts) else None
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), build(flat, kind), mask=absent)
