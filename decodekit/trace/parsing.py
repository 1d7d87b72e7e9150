"""Reading the lines of a trace: untrusted bytes, so every field has a type and every array a length."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from decodekit.chain import Entry
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.choice import Choice, Draw
from decodekit.trace.evidence import Evidence
from decodekit.trace.header import Footer, Header, Resumption
from decodekit.trace.step import Abandoned, RawSummary, Step, Timing

__all__ = ["FOOTER", "HEADER", "RESUMPTION", "parse_step"]


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
