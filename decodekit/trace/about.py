"""What a file of steps is, in short: a trace file or a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from decodekit.errors import TraceError
from decodekit.plugin import registry
from decodekit.trace.columns import SCHEMA
from decodekit.trace.facts import sampler_of
from decodekit.trace.header import Header
from decodekit.trace.parsing import parse_json
from decodekit.trace.reader import open_trace
from decodekit.trace.tables import ParquetSteps, is_table
from decodekit.types import PathLike

__all__ = ["about"]


def about(path: PathLike) -> dict[str, Any]:
    """The facts of a file, as data for JSON; a trace file is read to its end, step by step.

    Returns:
        ``format``; ``level``, ``seed``, ``model`` (adapter and model), ``chain`` (the names of its parts), of the
        header; ``prompts`` and ``sequences``, how many; ``tokens``, how many steps; ``ended``, how many sequences for
        each finish reason, None where no end is recorded; ``resumed``, how often, and ``shortened``, the steps that a
        limit of bytes made shorter, None for a table; ``part``, what a slice holds; ``bytes`` of the file, and
        ``fault``, what is wrong behind the steps that were counted, or None.

    Raises:
        TraceError: no such file, or no usable header.
        ConfigError: it is a table, and pyarrow is not installed.
    """
    facts = _of_table(path) if is_table(path) else _of_trace(path)
    return {**facts, "bytes": Path(path).stat().st_size}


def _of_trace(path: PathLike) -> dict[str, Any]:
    reader = open_trace(path)
    tokens = sum(1 for _ in reader.intact())
    footer = reader.footer
    return {
        "format": reader.header.format,
        **_of_header(reader.header),
        "tokens": tokens,
        "ended": None if footer is None else dict(Counter(str(end.finish_reason) for end in footer.ends)),
        "resumed": len(reader.resumed),
        "shortened": 0 if footer is None else footer.shortened,
        "part": None,
        "fault": None if reader.fault is None else str(reader.fault),
    }


def _of_table(path: PathLike) -> dict[str, Any]:
    table = ParquetSteps(path)
    ends, part = (_json(path, table.metadata.get(name)) for name in (b"decodekit.ends", b"decodekit.slice"))
    return {
        "format": SCHEMA,
        **_of_header(table.header),
        "tokens": table.rows,
        "ended": None if ends is None else dict(Counter(str(end.get("finish_reason")) for end in ends.get("ends", []))),
        "resumed": None,
        "shortened": None,
        "part": part,
        "fault": None,
    }


def _of_header(header: Header) -> dict[str, Any]:
    names = [registry.shown_name("processors", part) for part in header.chain.get("processors", [])]
    return {
        "level": header.level,
        "seed": header.seed,
        "model": " ".join(str(header.adapter.get(name, "")) for name in ("name", "model")).strip(),
        "chain": [*names, sampler_of(header)],
        "prompts": len(header.prompts),
        "sequences": len(header.sequences),
    }


def _json(path: PathLike, data: bytes | None) -> dict[str, Any] | None:
    if data is None:
        return None
    try:
        read = parse_json(data)
        if isinstance(read, dict) and all(isinstance(end, dict) for end in read.get("ends", [])):
            return read
    except (ValueError, TypeError):
        pass
    raise TraceError(f"the metadata of {path} is damaged")
