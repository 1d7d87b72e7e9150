"""The steps of runs as Arrow columns: one schema for Parquet files and for other tools. Extra: ``parquet``.

Columns are made from arrays and flat lists, never from rows: that is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from decodekit.chain import Entry
from decodekit.errors import ConfigError
from decodekit.trace.codec import digest, to_line
from decodekit.trace.header import Header, SequenceEnd
from decodekit.trace.lines import Lines
from decodekit.trace.step import Step

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BATCH",
    "BATCH_BYTES",
    "DELTA",
    "DICTIONARIES",
    "SCHEMA",
    "SPLIT",
    "batch",
    "batches",
    "ends_of",
    "evidence_bytes",
    "pyarrow",
    "run_of",
    "schema",
    "stream",
    "without_row",
]

BATCH = 1024  # steps that are made columns at a time
BATCH_BYTES = 32 * 2**20  # of evidence; a step of an untruncated draw has up to 2,048 scores, and of a head any number

SCHEMA = "decodekit-steps/1"
"""The name and version of the columns; docs/traces.md describes them."""

_MOST_IN_32_BITS = 2**31  # tokens

DICTIONARIES = ("run", "text", "processors.list.element.name")
"""Leaves of few different values."""
SPLIT = (
    *("logprob", "raw_logprob", "score", "margin", "raw_entropy", "final_floor", "predict_seconds", "chain_seconds"),
    *("raw_top_logprobs.list.element", "final_scores.list.element"),
    *(f"processors.list.element.{name}" for name in ("entropy", "kl", "mass_removed", "kept_mass")),
)
"""Leaves of floating-point numbers: a dictionary makes them longer, their bytes side by side compress better."""
DELTA = (
    *("stream", "step", "token_id", "rank", "runner_up", "raw_support", "abandoned"),
    *("raw_top_ids.list.element", "final_ids.list.element", "processors.list.element.support"),
)
"""Leaves of whole numbers. Split bytes would be 5 % shorter, but readers of Parquet before 2.11 cannot read them."""


def pyarrow() -> Any:
    """The module. Raises `ConfigError` if it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow: pip install 'decodekit[parquet]'") from error
    return pyarrow


def run_of(header: Header) -> str:
    """A name of the run: the BLAKE2b digest of what it starts from, in hex. Runs that start equal have equal names."""
    return digest(Lines().header(header).content)


def schema(header: Header) -> pa.Schema:
    """The schema of a run's steps. Its metadata has ``decodekit.schema``, and the header as JSON as ``decodekit``."""
    metadata = {"decodekit": Lines().header(header).content, "decodekit.schema": SCHEMA}
    pa, size = pyarrow(), header.adapter.get("vocab_size")
    ids = pa.int32() if isinstance(size, int) and size <= _MOST_IN_32_BITS else pa.int64()  # a hash has 63 bits
    return pa.schema(_fields(ids), metadata=metadata)


def ends_of(ends: Sequence[SequenceEnd]) -> bytes:
    """How the sequences ended, as JSON: ``decodekit.ends`` in a file's metadata."""
    keys = ("stream", "tokens", "finish_reason", "error")
    return to_line({"ends": [{key: getattr(end, key) for key in keys} for end in ends]})


def batch(steps: Sequence[Step], run: str, of: pa.Schema) -> pa.RecordBatch:
    """Steps as columns.

    Args:
        steps: of one run.
        run: its name.
        of: its schema.

    Raises:
        pyarrow.ArrowInvalid, OverflowError: a token id does not fit in 32 bits, where the vocabulary does.
    """
    pa = pyarrow()
    made = {name: column(steps) for name, (_, column) in _columns(pa, of.field("token_id").type).items()}
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(steps), np.int32)), pa.array([run], pa.string()))
    return pa.RecordBatch.from_arrays([names, *made.values()], schema=of)


def batches(steps: Iterable[Step], run: str, of: pa.Schema) -> Iterator[pa.RecordBatch]:
    """As `batch`, for any number of steps: each batch is made when it is asked for."""
    held: list[Step] = []
    size = 0
    for step in steps:
        held.append(without_row(step))
        size += evidence_bytes(step)
        if len(held) >= BATCH or size >= BATCH_BYTES:
            yield batch(held, run, of)
            held, size = [], 0
    if held:
        yield batch(held, run, of)


def without_row(step: Step) -> Step:
    """The step without the model's whole answer, which no column holds."""
    return step if step.row is None else replace(step, row=None)


def evidence_bytes(step: Step) -> int:
    """The memory that its evidence takes, about a half."""
    return 0 if step.evidence is None else step.evidence.scores.nbytes


def stream(header: Header, steps: Sequence[Step]) -> pa.RecordBatchReader:
    """The steps of a run in batches, each made when it is read."""
    of = schema(header)
    return pyarrow().RecordBatchReader.from_batches(of, batches(steps, run_of(header), of))


def _fields(ids: Any) -> list[tuple[str, Any]]:
    pa = pyarrow()
    kinds = [(name, kind) for name, (kind, _) in _columns(pa, ids).items()]
    return [("run", pa.dictionary(pa.int32(), pa.string())), *kinds]


_Column = tuple[Any, Callable[[Sequence[Step]], "pa.Array"]]


def _columns(pa: Any, ids: Any) -> dict[str, _Column]:
    """For each column its type, and a function from steps to an array of this type; ``ids`` is that of token ids."""
    integer, whole, real, single = pa.int32(), pa.int64(), pa.float64(), pa.float32()

    def scalars(kind: Any, of: Callable[[Step], Any]) -> _Column:
        return kind, lambda steps: pa.array([of(step) for step in steps], kind)

    def lists(kind: Any, of: Callable[[Step], Any], join: Callable[[list[Any]], Any]) -> _Column:
        return pa.list_(kind), lambda steps: _listed(
            pa, [of(step) for step in steps], lambda p: pa.array(join(p), kind)
        )

    return {
        "stream": scalars(pa.uint64(), lambda step: step.stream),
        "step": scalars(integer, lambda step: step.index),
        "token_id": scalars(ids, lambda step: step.token_id),
        "text": scalars(pa.string(), lambda step: step.text),
        "logprob": scalars(real, lambda step: step.choice.logprob),
        "raw_logprob": scalars(real, lambda step: step.choice.raw_logprob),
        "rank": scalars(integer, lambda step: step.choice.rank),
        "score": scalars(real, lambda step: step.choice.score),
        "margin": scalars(real, lambda step: step.choice.margin),
        "runner_up": scalars(ids, lambda step: step.choice.runner_up),
        "word": scalars(pa.binary(8), lambda step: None if step.draw is None else step.draw.word.to_bytes(8, "big")),
        "raw_support": scalars(whole, lambda step: step.raw.support),
        "raw_entropy": scalars(real, lambda step: step.raw.entropy),
        "raw_top_ids": lists(ids, lambda step: step.raw.top, lambda tops: _flat(tops, 0, np.int64)),
        "raw_top_logprobs": lists(single, lambda step: step.raw.top, lambda tops: _flat(tops, 1, np.float32)),
        "processors": (pa.list_(_processor(pa)), lambda steps: _processors(pa, steps)),
        "final_ids": lists(ids, lambda step: step.evidence and step.evidence.token_ids, _joined(np.int64)),
        "final_scores": lists(single, lambda step: step.evidence and step.evidence.scores, _joined(np.float32)),
        "final_floor": scalars(real, lambda step: step.evidence and step.evidence.floor),
        "complete": scalars(pa.bool_(), lambda step: step.complete),
        "abandoned": scalars(integer, lambda step: len(step.abandoned)),
        "predict_seconds": scalars(single, lambda step: step.timing.predict),
        "chain_seconds": scalars(single, lambda step: step.timing.chain),
    }


def _flat(tops: Iterable[Sequence[tuple[int, float]]], at: int, kind: Any) -> Any:
    """The ids or the logprobs of all leading tokens."""
    return np.fromiter((pair[at] for top in tops for pair in top), kind)


def _joined(kind: Any) -> Callable[[list[Any]], Any]:
    return lambda parts: np.concatenate(parts).astype(kind) if parts else np.empty(0, kind)


_NUMBERS = ("entropy", "kl", "mass_removed", "kept_mass")


def _processor(pa: Any) -> Any:
    numbers = [(name, pa.float32()) for name in _NUMBERS]
    return pa.struct([("name", pa.string()), ("support", pa.int64()), *numbers])


def _processors(pa: Any, steps: Sequence[Step]) -> pa.Array:
    """The column of what each processor did: a list of structures."""

    def entries(parts: list[tuple[Entry, ...]]) -> pa.Array:
        flat = list(chain.from_iterable(parts))
        names = pa.array([entry.name for entry in flat], pa.string())
        supports = pa.array([entry.support for entry in flat], pa.int64())
        numbers = [pa.array([getattr(entry, name) for entry in flat], pa.float32()) for name in _NUMBERS]
        return pa.StructArray.from_arrays([names, supports, *numbers], fields=list(_processor(pa)))

    return _listed(pa, [step.entries for step in steps], entries)


def _listed(pa: Any, parts: list[Any], join: Callable[[list[Any]], Any]) -> pa.Array:
    """A column of lists; None stands for a missing list."""
    present = [part for part in parts if part is not None]
    ends = np.fromiter(accumulate((0 if part is None else len(part) for part in parts), initial=0), np.int32)
    absent = pa.array([part is None for part in parts], pa.bool_()) if len(present) < len(parts) else None
    return cast("pa.Array", pa.ListArray.from_arrays(pa.array(ends), join(present), mask=absent))
