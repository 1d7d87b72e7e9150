"""The trace format, ``decodekit-trace/1``: JSON Lines, each chained to the bytes of the line before.

    {"kind": "header", "content": {...}, "created": "..."}
    {"kind": "step", "prev": "<BLAKE2b of the line above>", "content": {...}, "timing": {...}}
    ...
    {"kind": "footer", "prev": "...", "content": {...}, "check": "<BLAKE2b of this line up to here>"}

A line of kind "resumed" after some steps tells that the run was taken up again there, one of kind "recovered" that a
torn line was cut. The chain detects damage, not forgery: whoever can write the file can write it anew. ``content``
holds what equal runs share; time stands beside it, and the footer's ``contents`` is one digest over the contents of the
header and all steps. Floats are written with all their digits; an infinity is the string "inf" or "-inf". A raw row is
base64 of its little-endian bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from decodekit.chain import Entry
from decodekit.distribution.disclosure import Disclosure, Tail
from decodekit.draw.choice import Choice, Draw
from decodekit.trace.evidence import Evidence
from decodekit.trace.header import Footer, Header, Resumption
from decodekit.trace.step import Abandoned, RawSummary, Step, Timing

__all__ = ["digest", "encode_step", "parse_step", "to_line"]


def digest(data: bytes) -> str:
    """BLAKE2b, 128 bits, in hex."""
    return blake2b(data, digest_size=16).hexdigest()


def to_line(data: Mapping[str, Any]) -> bytes:
    """One JSON line without its newline: compact, UTF-8, and an error rather than a NaN."""
    line = to_json(data)  # several times quicker than json, which is stricter
    if b"NaN" in line or b"Infinity" in line:
        return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return line


def encode_step(step: Step) -> dict[str, Any]:
    """The content of a step line, as plain data. What is None or empty by default is left out."""
    raw, choice = step.raw, step.choice
    content: dict[str, Any] = {
        "stream": step.stream,
        "step": step.index,
        "token": step.token_id,
        "text": step.text,
        "raw": {
            "disclosed": raw.disclosed,
            "support": raw.support,
            "entropy": raw.entropy,
            "log_normalizer": raw.log_normalizer,
            "origin": raw.origin,
            "stage": raw.stage,
            "temperature": raw.temperature,
            "tail": _tail(raw.tail),
            "top": raw.top,
        },
        "entries": [_entry(entry) for entry in step.entries],
        "choice": {
            "logprob": choice.logprob,
            "raw_logprob": _number(choice.raw_logprob),
            "rank": choice.rank,
            "score": choice.score,
            "margin": _number(choice.margin),
            "runner_up": choice.runner_up,
        },
    }
    if step.draw is not None:
        draw = step.draw
        content["draw"] = {
            "domain": draw.domain,
            "attempt": draw.attempt,
            "lane": draw.lane,
            "word": f"{draw.word:016x}",
        }
    if step.schedule is not None:
        content["schedule"] = dict(step.schedule)
    if step.evidence is not None:
        content["final"] = {
            "token_ids": step.evidence.token_ids.tolist(),
            "scores": step.evidence.scores.tolist()
            if step.evidence.scores.min() > -math.inf
            else _numbers(step.evidence.scores),
            "floor": step.evidence.floor,
        }
    if step.row is not None:
        ids, row = step.row
        content["row"] = {
            "token_ids": None if ids is None else ids.tolist(),
            "dtype": row.dtype.name,
            "scores": base64.b64encode(np.ascontiguousarray(row, dtype=row.dtype.newbyteorder("<")).tobytes()).decode(),
        }
    if step.asked:
        content["asked"] = [[question, asdict(need)] for question, need in step.asked]
    if step.abandoned:
        content["abandoned"] = [asdict(branch) for branch in step.abandoned]
    return content


def parse_step(line: bytes) -> Step:
    """A step from its line. Raises `ValueError` for anything that does not fit the format."""
    read = _LINE.validate_json(line)
    content = read.content
    choice, draw = content.choice, content.draw
    drawn = None
    if draw is not None:
        drawn = Draw(draw.domain, content.stream, content.step, draw.attempt, draw.lane, int(draw.word, 16))
    return Step(
        index=content.step,
        token_id=content.token,
        text=content.text,
        raw=content.raw,
        entries=content.entries,
        draw=drawn,
        choice=Choice(
            token_id=content.token,
            logprob=choice.logprob,
            raw_logprob=choice.raw_logprob,
            rank=choice.rank,
            score=choice.score,
            margin=choice.margin,
            runner_up=choice.runner_up,
            draw=drawn,
        ),
        schedule=content.schedule,
        timing=read.timing,
        stream=content.stream,
        evidence=None if content.final is None else content.final.evidence(),
        row=None if content.row is None else content.row.arrays(),
        asked=content.asked,
        abandoned=content.abandoned,
    )


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
    if entry.ambiguous:
        written["ambiguous"] = True
    if entry.tail is not None:
        written["tail"] = _tail(entry.tail)
    if entry.gave_up is not None:
        written["gave_up"] = _tail(entry.gave_up)
    if entry.tosses:
        written["tosses"] = entry.tosses
    return written


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


def _numbers(values: NDArray[np.float64]) -> list[float | str | None]:
    return [_number(value) for value in values.tolist()]


# -- reading: untrusted bytes, so every field has a type and every array a length ------------------------------------

_TokenId = Annotated[int, Field(ge=0, lt=2**63)]
_U64 = Annotated[int, Field(ge=0, lt=2**64)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ChoicePart(_Read):
    logprob: float | None
    raw_logprob: float | None
    rank: int | None
    score: float
    margin: float
    runner_up: _TokenId | None


class _DrawPart(_Read):
    domain: int
    attempt: _U64
    lane: _TokenId
    word: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _FinalPart(_Read):
    token_ids: list[_TokenId]
    scores: list[float]
    floor: float | None

    def evidence(self) -> Evidence:
        if len(self.token_ids) != len(self.scores) or not self.token_ids:
            raise ValueError(f"{len(self.token_ids)} ids and {len(self.scores)} scores are no final support")
        if len(set(self.token_ids)) != len(self.token_ids):
            raise ValueError("the final support names a token twice")
        scores = np.array(self.scores, dtype=np.float64)
        if not np.isfinite(scores.max()) or np.isnan(scores).any():
            raise ValueError("the final scores hold NaN or +inf, or nothing finite")
        return Evidence(np.array(self.token_ids, dtype=np.int64), scores, self.floor)


class _RowPart(_Read):
    token_ids: list[_TokenId] | None
    dtype: Literal["float32", "float64"]
    scores: str

    def arrays(self) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
        try:
            data = base64.b64decode(self.scores, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the raw row is no base64: {error}") from error
        row = np.frombuffer(data, dtype=np.dtype(self.dtype).newbyteorder("<"))
        ids = None if self.token_ids is None else np.array(self.token_ids, dtype=np.int64)
        if ids is not None and len(ids) != len(row):
            raise ValueError(f"{len(ids)} ids and {len(row)} raw scores do not fit")
        return ids, row


class _Content(_Read):
    stream: _U64
    step: _U64
    token: _TokenId
    text: str
    raw: RawSummary
    entries: tuple[Entry, ...]
    choice: _ChoicePart
    draw: _DrawPart | None = None
    schedule: dict[str, int | str] | None = None
    final: _FinalPart | None = None
    row: _RowPart | None = None
    asked: tuple[tuple[str, Disclosure], ...] = ()
    abandoned: tuple[Abandoned, ...] = ()


class _Line(_Read):
    kind: Literal["step"]
    prev: str
    content: _Content
    timing: Timing


_LINE = TypeAdapter(_Line)

HEADER = TypeAdapter(Header)
FOOTER = TypeAdapter(Footer)
RESUMPTION = TypeAdapter(Resumption)
