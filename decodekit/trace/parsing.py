"""Reading the lines of a trace: untrusted bytes, so every field has a type and every list an end.

A list ends at its first item that does not fit: an error for each of a million items would fill the memory.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, TypeAdapter

from decodekit.chain import Entry
from decodekit.distribution import Origin, Stage
from decodekit.distribution.disclosure import Disclosure, Tail
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import MOST_TOKENS
from decodekit.text.tokenizer import TokenId
from decodekit.trace.evidence import Evidence
from decodekit.trace.header import Footer, Header, Resumption
from decodekit.trace.step import Abandoned, Level, RawSummary, Step, Timing

__all__ = ["FOOTER", "RESUMPTION", "parse_header", "parse_step"]

T = TypeVar("T")
_List = Annotated[list[T], Field(fail_fast=True)]
_U64 = Annotated[int, Field(ge=0, lt=2**64)]
_Pairs = _List[tuple[TokenId, FiniteFloat]]


def parse_step(line: bytes) -> Step:
    """A step from its line. Raises `ValueError` for anything that does not fit the format."""
    read = _LINE.validate_json(line)
    content = read.content
    choice, draw = content.choice, content.draw
    drawn = None
    if draw is not None:
        drawn = Draw(
            domain=draw.domain, stream=content.stream, step=content.step,
            attempt=draw.attempt, lane=draw.lane, word=int(draw.word, 16),
        )  # fmt: skip
    return Step(
        index=content.step,
        token_id=content.token,
        text=content.text,
        raw=content.raw.summary(),
        entries=tuple(entry.entry() for entry in content.entries),
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
        asked=tuple((question, need.disclosure()) for question, need in content.asked),
        abandoned=tuple(branch.branch() for branch in content.abandoned),
    )


def parse_header(content: Any) -> Header:
    """A header from its content. Raises `ValueError` for anything that does not fit, down to the parts of the chain."""
    shape = _HEADER_SHAPE.validate_python(content)
    streams = [stream for stream, _ in shape.sequences]
    if len(set(streams)) != len(streams):
        raise ValueError("sequences: a stream is named twice")
    if any(prompt >= len(shape.prompts) for _, prompt in shape.sequences):
        raise ValueError("sequences: one has a prompt that is not in the list")
    return _HEADER.validate_python(content)


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _DisclosurePart(_Read):
    top: Annotated[int, Field(ge=1)] | None
    ids: _List[TokenId]
    kind: Literal["named", "all", "cheap"]

    def disclosure(self) -> Disclosure:
        return Disclosure(self.top, tuple(self.ids), self.kind)


class _RawPart(_Read):
    disclosed: int
    support: int | None
    entropy: FiniteFloat | None
    log_normalizer: FiniteFloat | None
    origin: Origin
    stage: Stage
    temperature: FiniteFloat
    tail: Tail | None
    top: _Pairs

    def summary(self) -> RawSummary:
        return RawSummary(**{**self.__dict__, "top": tuple(self.top)})


class _EntryPart(_Read):
    name: str
    support: int | None
    entropy: FiniteFloat | None
    kl: float | None
    mass_removed: FiniteFloat | None
    chosen: float | None
    top: _Pairs
    ambiguous: bool = False
    tail: Tail | None = None
    gave_up: Tail | None = None
    tosses: _List[tuple[_U64, _U64]] = []

    def entry(self) -> Entry:
        return Entry(**{**self.__dict__, "top": tuple(self.top), "tosses": tuple(self.tosses)})


class _ChoicePart(_Read):
    logprob: FiniteFloat | None
    raw_logprob: float | None
    rank: int | None
    score: FiniteFloat
    margin: float
    runner_up: TokenId | None


class _DrawPart(_Read):
    domain: _U64
    attempt: _U64
    lane: TokenId
    word: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _FinalPart(_Read):
    token_ids: _List[TokenId]
    scores: _List[float]
    floor: FiniteFloat | None

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
    token_ids: _List[TokenId] | None
    dtype: Literal["float32", "float64"]
    scores: str

    def arrays(self) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
        dtype = np.dtype(self.dtype).newbyteorder("<")
        try:
            row = np.frombuffer(base64.b64decode(self.scores, validate=True), dtype=dtype)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"the raw row is no base64 of {self.dtype}: {error}") from error
        ids = None if self.token_ids is None else np.array(self.token_ids, dtype=np.int64)
        if ids is not None and len(ids) != len(row):
            raise ValueError(f"{len(ids)} ids and {len(row)} raw scores do not fit")
        return ids, row


class _AbandonedPart(_Read):
    why: str
    attempt: _U64
    token_ids: _List[TokenId]

    def branch(self) -> Abandoned:
        return Abandoned(why=self.why, attempt=self.attempt, token_ids=tuple(self.token_ids))


class _Content(_Read):
    stream: _U64
    step: _U64
    token: TokenId
    text: str
    raw: _RawPart
    entries: _List[_EntryPart]
    choice: _ChoicePart
    draw: _DrawPart | None = None
    schedule: dict[str, int | str] | None = None
    final: _FinalPart | None = None
    row: _RowPart | None = None
    asked: _List[tuple[str, _DisclosurePart]] = []
    abandoned: _List[_AbandonedPart] = []


class _Line(_Read):
    kind: Literal["step"]
    prev: str
    content: _Content
    timing: Timing


# -- the header: what its dictionaries hold, as far as this package reads them ----------------------------------------


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, JsonValue]


class _PluginShape(_Shape):
    name: str
    distribution: str
    version: str
    params: dict[str, JsonValue]


class _ChainShape(_Shape):
    processors: _List[_PluginShape]
    sampler: _PluginShape


class _AdapterShape(_Shape):
    name: str
    model: str
    model_fingerprint: str = ""
    tokenizer_fingerprint: str = ""
    vocab_size: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    context_length: int | None = None


class _StopShape(_Shape):
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    strings: _List[Annotated[str, Field(min_length=1)]] = []
    ids: _List[TokenId] = []
    ban: _List[Annotated[str, Field(min_length=1)]] = []


class _HeaderShape(BaseModel):
    model_config = ConfigDict(strict=True)

    seed: _U64
    level: Level
    prompts: _List[Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]]
    sequences: _List[Annotated[list[_U64], Field(min_length=2, max_length=2)]]
    chain: _ChainShape
    adapter: _AdapterShape
    on_undisclosed: Literal["error", "truncate"]
    stop: _StopShape
    top_logprobs: Annotated[int, Field(ge=0, le=1000)]
    metadata: _List[str]
    config: dict[str, JsonValue] | None
    versions: dict[str, str]


_LINE = TypeAdapter(_Line)
_HEADER_SHAPE = TypeAdapter(_HeaderShape)
_HEADER = TypeAdapter(Header)

FOOTER = TypeAdapter(Footer)
RESUMPTION = TypeAdapter(Resumption)
