"""The columns of steps: one schema for Parquet files and for other tools. Extra: ``parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    "IDS",
    "OLDER_SCHEMA",
    "PROCESSOR_NUMBERS",
    "SCHEMA",
    "SPLIT",
    "ends_of",
    "pyarrow",
    "run_of",
    "schema",
    "without_row",
]

BATCH = 1024  # steps that are made columns at a time
BATCH_BYTES = 8 * 2**20  # or fewer, if these take so much memory: the support of a step may be a whole vocabulary

SCHEMA = "decodekit-steps/2"
"""The name and version of the columns; docs/traces.md describes them."""
OLDER_SCHEMA = "decodekit-steps/1"
"""The same columns, with ids of 32 bits. Ids that are made up for a server of texts have 63."""
PROCESSOR_NUMBERS = ("entropy", "kl", "mass_removed", "kept_mass")
"""What is told of each processor, beside its name and its support."""
IDS = ("token_id", "runner_up", "raw_top_ids", "final_ids")
"""The columns of ids."""

DICTIONARIES = ("run", "text", "processors.list.element.name")
"""Leaves of few different values."""
SPLIT = (
    *("logprob", "raw_logprob", "score", "margin", "raw_entropy", "final_floor", "predict_seconds", "chain_seconds"),
    *("raw_top_logprobs.list.element", "final_scores.list.element"),
    *(f"processors.list.element.{name}" for name in PROCESSOR_NUMBERS),
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
    return pyarrow().schema(_fields(), metadata=metadata)


def ends_of(ends: Sequence[SequenceEnd]) -> bytes:
    """How the sequences ended, as JSON: ``decodekit.ends`` in a file's metadata."""
    return to_line({"ends": [end.content() for end in ends]})


def without_row(step: Step) -> Step:
    """The step without the model's whole answer, which no column holds."""
    return step if step.row is None else replace(step, row=None)


def _fields() -> list[tuple[str, Any]]:
    pa = pyarrow()
    integer, whole, real, single = pa.int32(), pa.int64(), pa.float64(), pa.float32()
    numbers = [(name, single) for name in PROCESSOR_NUMBERS]
    return [
        ("run", pa.dictionary(integer, pa.string())),
        ("stream", pa.uint64()),
        ("step", integer),
        ("token_id", whole),
        ("text", pa.string()),
        ("logprob", real),
        ("raw_logprob", real),
        ("rank", integer),
        ("score", real),
        ("margin", real),
        ("runner_up", whole),
        ("word", pa.binary(8)),
        ("raw_support", whole),
        ("raw_entropy", real),
        ("raw_top_ids", pa.list_(whole)),
        ("raw_top_logprobs", pa.list_(single)),
        ("processors", pa.list_(pa.struct([("name", pa.string()), ("support", whole), *numbers]))),
        ("final_ids", pa.list_(whole)),
        ("final_scores", pa.list_(single)),
        ("final_floor", real),
        ("complete", pa.bool_()),
        ("abandoned", integer),
        ("predict_seconds", single),
        ("chain_seconds", single),
    ]
