"""The trace format, ``decodekit-trace/1``: JSON Lines; each line has a digest of the line before.

    {"kind": "header", "content": {...}, "created": "..."}
    {"kind": "step", "prev": "<BLAKE2b of the line above>", "content": {...}, "timing": {...}}
    ...
    {"kind": "footer", "prev": "...", "content": {...}, "check": "<BLAKE2b of this line up to here>"}

A line of kind "resumed" says that the run was resumed at this place; one of kind "recovered" says that an incomplete
line was removed. The digests detect damage, not forgery: anyone who can write the file can write a new one. ``content``
is the same in equal runs; times are outside of it, and the footer's ``contents`` is one digest over the contents of the
header and all steps. Floats are written with all their digits; an infinity is the string "inf" or "-inf". A raw row is
base64 of its little-endian bytes.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from decodekit.chain import Entry
from decodekit.distribution.disclosure import Tail
from decodekit.draw.choice import Choice, Draw
from decodekit.text.json_weight import json_weight
from decodekit.trace.evidence import Evidence
from decodekit.trace.step import Step
from decodekit.trace.summary import RawSummary
from decodekit.types import Ids

__all__ = ["LONGEST_LINE", "MOST_OBJECTS", "check_size", "digest", "encode_step", "to_line"]

LONGEST_LINE = 16 * 2**20  # bytes; the longest that a run needs holds a whole row of 262,144 tokens and its raw row
MOST_OBJECTS = 40 * 2**20  # bytes that a parsed line may take by `json_weight`: prompts of a million tokens in all


def digest(data: bytes) -> str:
    """BLAKE2b, 128 bits, in hex."""
    return blake2b(data, digest_size=16).hexdigest()


def check_size(line: bytes) -> None:
    """Raise `ValueError` for a line that is too long, or would take too much memory when it is parsed."""
    if len(line) > LONGEST_LINE:
        raise ValueError(f"a line is longer than {LONGEST_LINE >> 20} MiB")
    if len(line) > MOST_OBJECTS // 200 and json_weight(line) > MOST_OBJECTS:  # a byte weighs 92 at most
        raise ValueError(f"the parts of a line would take more than {MOST_OBJECTS >> 20} MiB of memory")


def to_line(data: Mapping[str, Any]) -> bytes:
    """One JSON line without its newline, compact, in UTF-8. Raises `ValueError` for NaN."""
    line = to_json(data)  # several times faster than json, but less strict
    if (b"N" in line or b"I" in line) and (b"NaN" in line or b"Infinity" in line):  # a letter is found much faster
        return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return line


def encode_step(step: Step) -> dict[str, Any]:
    """The content of a step line, as plain data. Optional fields that are None or empty are left out."""
    content: dict[str, Any] = {
        "stream": step.stream,
        "step": step.index,
        "token": step.token_id,
        "text": step.text,
        "raw": _raw(step.raw),
        "entries": [_entry(entry) for entry in step.entries],
        "choice": _choice(step.choice),
    }
    if step.draw is not None:
        content["draw"] = _draw(step.draw)
    if step.schedule is not None:
        content["schedule"] = dict(step.schedule)
    if step.evidence is not None:
        content["final"] = _final(step.evidence)
    if step.row is not None:
        content["row"] = _row(*step.row)
    if step.complete is not None:
        content["complete"] = step.complete
    if step.asked:
        content["asked"] = [[question, asdict(need)] for question, need in step.asked]
    if step.abandoned:
        content["abandoned"] = [asdict(branch) for branch in step.abandoned]
    return content


def _raw(raw: RawSummary) -> dict[str, Any]:
    return {
        "disclosed": raw.disclosed,
        "support": raw.support,
        "entropy": raw.entropy,
        "log_normalizer": raw.log_normalizer,
        "origin": raw.origin,
        "stage": raw.stage,
        "temperature": raw.temperature,
        "tail": _tail(raw.tail),
        "top": raw.top,
    }


def _entry(entry: Entry) -> dict[str, Any]:
    written: dict[str, Any] = {
        "name": entry.name,
        "support": entry.support,
        "entropy": entry.entropy,
        "kl": _number(entry.kl),
        "mass_removed": entry.mass_removed,
        "chosen": _number(entry.chosen),
        "top": entry.top,
    }
    if entry.kept_mass is not None:
        written["kept_mass"] = entry.kept_mass
    if entry.kept_bounds is not None:
        written["kept_bounds"] = list(map(_number, entry.kept_bounds))
    if entry.ambiguous:
        written["ambiguous"] = True
    if entry.tail is not None:
        written["tail"] = _tail(entry.tail)
    if entry.gave_up is not None:
        written["gave_up"] = _tail(entry.gave_up)
    if entry.tosses:
        written["tosses"] = entry.tosses
    return written


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "logprob": choice.logprob,
        "raw_logprob": _number(choice.raw_logprob),
        "rank": choice.rank,
        "score": choice.score,
        "margin": _number(choice.margin),
        "runner_up": choice.runner_up,
    }


def _draw(draw: Draw) -> dict[str, Any]:
    return {"domain": draw.domain, "attempt": draw.attempt, "lane": draw.lane, "word": f"{draw.word:016x}"}


def _final(evidence: Evidence) -> dict[str, Any]:
    scores: list[float | str] = evidence.scores.tolist()
    if not math.isfinite(sum(scores)):  # type: ignore[arg-type]
        scores = ["-inf" if score == -math.inf else score for score in scores]
    return {"token_ids": evidence.token_ids.tolist(), "scores": scores, "floor": evidence.floor}


def _row(ids: Ids | None, scores: NDArray[Any]) -> dict[str, Any]:
    little_endian = np.ascontiguousarray(scores, dtype=scores.dtype.newbyteorder("<"))
    return {
        "token_ids": None if ids is None else ids.tolist(),
        "dtype": scores.dtype.name,
        "scores": base64.b64encode(little_endian.tobytes()).decode(),
    }


def _tail(tail: Tail | None) -> dict[str, Any] | None:
    if tail is None:
        return None
    return {
        "mass_low": tail.mass_low,
        "mass_high": tail.mass_high,
        "count": tail.count,
        "max_logprob": _number(tail.max_logprob),
    }


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
