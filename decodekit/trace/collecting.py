"""From steps to Arrow columns. Extra: ``parquet``.

Values are collected step by step, in flat lists and arrays, and no step is kept: of steps that are kept, the garbage
collector looks through every leading token again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from decodekit.errors import message_of
from decodekit.trace.columns import BATCH, BATCH_BYTES, PROCESSOR_NUMBERS, pyarrow, run_of, schema
from decodekit.trace.header import Header
from decodekit.trace.step import Step

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["batch", "batches", "bytes_of", "stream"]

_PAIR = 128  # bytes of a leading token: a tuple with its id and its logprob
_SCALARS = (
    *("stream", "step", "token_id", "text", "logprob", "raw_logprob", "rank", "score", "margin", "runner_up", "word"),
    *("raw_support", "raw_entropy", "final_floor", "complete", "abandoned", "predict_seconds", "chain_seconds"),
)


def batch(steps: Iterable[Step], run: str, of: pa.Schema) -> pa.RecordBatch:
    """Steps as columns.

    Args:
        steps: of one run.
        run: its name.
        of: its schema.

    Raises:
        ValueError: a number is too large for its column.
    """
    collected = _Collected()
    for step in steps:
        collected.add(step)
    return collected.columns(run, of)


def batches(steps: Iterable[Step], run: str, of: pa.Schema) -> Iterator[pa.RecordBatch]:
    """As `batch`, for any number of steps: each batch is made when it is asked for."""
    collected, size = _Collected(), 0
    for step in steps:
        collected.add(step)
        size += bytes_of(step)
        if len(collected.scalars) >= BATCH or size >= BATCH_BYTES:
            yield collected.columns(run, of)
            collected, size = _Collected(), 0
    if collected.scalars:
        yield collected.columns(run, of)


def bytes_of(step: Step) -> int:
    """The memory that its lists take, about."""
    listed = _PAIR * len(step.raw.top) * (1 + len(step.entries))
    evidence = step.evidence
    return listed if evidence is None else listed + evidence.scores.nbytes + evidence.token_ids.nbytes


def stream(header: Header, steps: Sequence[Step]) -> pa.RecordBatchReader:
    """The steps of a run in batches, each made when it is read."""
    of = schema(header)
    return pyarrow().RecordBatchReader.from_batches(of, batches(steps, run_of(header), of))


class _Collected:
    """The values of steps.

    Attributes:
        scalars: for each step those of `_SCALARS`.
    """

    def __init__(self) -> None:
        self.scalars: list[tuple[Any, ...]] = []
        self._tops: list[int] = []  # how many leading tokens each step has
        self._top_ids: list[int] = []  # those of all steps
        self._top_logprobs: list[float] = []
        self._parts: list[int] = []
        self._processors: list[tuple[Any, ...]] = []
        self._supports: list[int | None] = []  # None where none was recorded
        self._ids: list[Any] = []
        self._scores: list[Any] = []

    def add(self, step: Step) -> None:
        """Take the values of the next step."""
        choice, raw, evidence = step.choice, step.raw, step.evidence
        word = None if step.draw is None else step.draw.word.to_bytes(8, "big")
        floor = None if evidence is None else evidence.floor
        self.scalars.append(
            (
                *(step.stream, step.index, step.token_id, step.text, choice.logprob, choice.raw_logprob, choice.rank),
                *(choice.score, choice.margin, choice.runner_up, word, raw.support, raw.entropy, floor),
                *(step.complete, len(step.abandoned), step.timing.predict, step.timing.chain),
            )
        )
        self._tops.append(len(raw.top))
        self._top_ids.extend([token_id for token_id, _ in raw.top])
        self._top_logprobs.extend([logprob for _, logprob in raw.top])
        self._parts.append(len(step.entries))
        for entry in step.entries:
            numbers = (entry.entropy, entry.kl, entry.mass_removed, entry.kept_mass)
            self._processors.append((entry.name, entry.support, *numbers))
        self._supports.append(None if evidence is None else len(evidence.token_ids))
        if evidence is not None:
            self._ids.append(evidence.token_ids)
            self._scores.append(evidence.scores)

    def columns(self, run: str, of: pa.Schema) -> pa.RecordBatch:
        """All of it. Raises `ValueError` for a number that is too large for its column."""
        pa, size = pyarrow(), len(self.scalars)
        values = dict(zip(_SCALARS, zip(*self.scalars, strict=True) if size else [()] * len(_SCALARS), strict=True))
        makers: dict[str, Callable[[Any], Any]] = {
            "run": lambda _: pa.DictionaryArray.from_arrays(pa.array(np.zeros(size, np.int32)), pa.array([run])),
            "raw_top_ids": lambda kind: _listed(pa, self._tops, pa.array(np.array(self._top_ids, np.int64), kind)),
            "raw_top_logprobs": lambda kind: _listed(
                pa, self._tops, pa.array(np.array(self._top_logprobs, np.float32), kind)
            ),
            "processors": lambda kind: _listed(pa, self._parts, _structures(pa, self._processors, kind)),
            "final_ids": lambda kind: _listed(pa, self._supports, pa.array(_joined(self._ids, np.int64), kind)),
            "final_scores": lambda kind: _listed(pa, self._supports, pa.array(_joined(self._scores, np.float32), kind)),
        }
        made = []
        for field in of:
            kind = field.type.value_type if pa.types.is_list(field.type) else field.type
            make = makers.get(field.name)
            try:
                with np.errstate(over="ignore"):  # of 32 bits: infinite
                    made.append(pa.array(values[field.name], kind) if make is None else make(kind))
            except (ValueError, OverflowError) as error:  # those of pyarrow are of these kinds
                raise ValueError(f"the column {field.name}: {message_of(error)}") from error
        return pa.RecordBatch.from_arrays(made, schema=of)


def _joined(parts: list[Any], kind: Any) -> Any:
    return np.concatenate(parts).astype(kind, copy=False) if parts else np.empty(0, kind)


def _structures(pa: Any, rows: list[tuple[Any, ...]], kind: Any) -> Any:
    names = ("name", "support", *PROCESSOR_NUMBERS)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    arrays = [pa.array(values, kind.field(name).type) for name, values in zip(names, columns, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _listed(pa: Any, lengths: Sequence[int | None], values: Any) -> pa.Array:
    """A column of lists; a length of None stands for a missing list."""
    ends = np.fromiter(accumulate((length or 0 for length in lengths), initial=0), np.int32, len(lengths) + 1)
    absent = pa.array([length is None for length in lengths], pa.bool_()) if None in lengths else None
    return cast("pa.Array", pa.ListArray.from_arrays(pa.array(ends), values, mask=absent))
