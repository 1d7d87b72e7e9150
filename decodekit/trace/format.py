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
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from decodekit.chain import Entry
from decodekit.disclosure import Disclosure, Tail
from decodekit.errors import TraceError
from decodekit.evidence import Evidence
from decodekit.randomness import ALGORITHM
from decodekit.samplers import Choice, Draw
from decodekit.step import Abandoned, FinishReason, Level, RawSummary, Step, Timing

__all__ = [
    "FORMAT",
    "Footer",
    "Header",
    "Resumption",
    "SequenceEnd",
    "Trace",
    "digest",
    "encode_step",
    "parse_step",
    "to_line",
]

FORMAT = "decodekit-trace/1"


@dataclass(frozen=True, slots=True)
class Header:
    """What a run started from.

    Args:
        seed: the seed all its noise comes from.
        level: 'choice', 'proof' or 'full'.
        prompts: the token ids of each prompt.
        sequences: (stream, index of its prompt) of each sequence.
        chain: processors and sampler, with the distribution and version each came from.
        adapter: the adapter's `AdapterInfo` as data.
        on_undisclosed: the policy.
        stop: max_tokens, strings, ids.
        top_logprobs: how many leading tokens each step keeps.
        metadata: the names of what processors were told beside; their values are not recorded.
        config: the resolved configuration, when the session came from one.
        versions: decodekit, numpy and Python.
        chat_template: BLAKE2b of the model's chat template; '' without one.
        format: the format's name and version.
        rng: the random number algorithm's name and version.
        given: the prompts as they were given, text or messages, where their ids alone do not tell what the model saw: a
            server that takes messages makes the ids itself. None, and left out of the file, elsewhere.
    """

    seed: int
    level: Level
    prompts: list[list[int]]
    sequences: list[tuple[int, int]]
    chain: dict[str, Any]
    adapter: dict[str, Any]
    on_undisclosed: str = "error"
    stop: dict[str, Any] = field(default_factory=dict)
    top_logprobs: int = 5
    metadata: list[str] = field(default_factory=list)
    config: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=lambda: versions())
    chat_template: str = ""
    format: str = FORMAT
    rng: str = ALGORITHM
    given: list[str | list[dict[str, str]] | None] | None = None

    def content(self) -> dict[str, Any]:
        """As data, for the first line of a file."""
        data = asdict(self)
        if self.given is None:
            del data["given"]
        return data


@dataclass(frozen=True, slots=True)
class SequenceEnd:
    """How one sequence ended.

    Args:
        stream: which.
        tokens: how many tokens it has.
        finish_reason: why it ended.
        error: the message of the error it ended in, or None.
    """

    stream: int
    tokens: int
    finish_reason: FinishReason
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Footer:
    """What a run came to.

    Args:
        ends: how each sequence ended.
        contents: one digest over the contents of the header and all steps; equal runs have equal ones.
    """

    ends: list[SequenceEnd]
    contents: str


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a run that had ended was taken up again. Not a part of the contents: they are those of one unbroken run.

    Args:
        steps: how many steps there were.
        cut: how many bytes of a last line that was torn were left out.
        adapter: the `AdapterInfo`, as data, of the adapter from there on.
        versions: as in the header, from there on.
    """

    steps: int
    cut: int
    adapter: dict[str, Any]
    versions: dict[str, str] = field(default_factory=lambda: versions())


@dataclass(slots=True)
class Trace:
    """A run: its header, its steps in the order they were made, and its footer.

    Args:
        header: what it started from.
        steps: one per token; `Step.stream` tells which sequence.
        footer: None when the run did not end in order: the trace is incomplete.
        resumed: where it was taken up again, if it was.
    """

    header: Header
    steps: list[Step]
    footer: Footer | None
    resumed: list[Resumption] = field(default_factory=list)

    def token_ids(self, stream: int = 0) -> list[int]:
        """The tokens of one sequence."""
        return [step.token_id for step in self.steps if step.stream == stream]

    def prompt_of(self, stream: int) -> list[int]:
        """The prompt of one sequence. Raises `TraceError` for a stream the header does not name."""
        for known, prompt in self.header.sequences:
            if known == stream and 0 <= prompt < len(self.header.prompts):
                return self.header.prompts[prompt]
        raise TraceError(f"the header names no sequence with stream {stream}")


def versions() -> dict[str, str]:
    """The versions that shape a run: decodekit, numpy, Python and the machine."""
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:3]))
    return {"decodekit": version("decodekit"), "numpy": np.__version__, "python": python, "machine": platform.machine()}


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
            content.token,
            choice.logprob,
            choice.raw_logprob,
            choice.rank,
            choice.score,
            choice.margin,
            choice.runner_up,
            drawn,
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
