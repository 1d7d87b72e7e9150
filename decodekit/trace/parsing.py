"""Parsing the lines of a trace. The bytes are untrusted, so every field is checked.

A list is read up to the first item that does not fit: an error for each of a million items would fill the memory.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Annotated, Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, from_json

from decodekit.chain import Entry
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import MOST_TOKENS
from decodekit.plugin.wording import first_fault
from decodekit.text.tokenizer import TokenId
from decodekit.trace.evidence import Evidence
from decodekit.trace.header import Footer, Header, Resumption
from decodekit.trace.step import Abandoned, Level, Step, Timing
from decodekit.trace.summary import RawSummary
from decodekit.types import Ids

__all__ = ["check_recovered", "parse_footer", "parse_header", "parse_json", "parse_resumption", "parse_step"]

Parsed = TypeVar("Parsed")

_SHORT = 2**18
_FEW = 1024
_INFINITE = {"chosen", "kept_bounds", "kl", "margin", "max_logprob", "raw_logprob", "scores", "top"}
_ANY_INTEGER = {"schedule"}
_TOKENS = {"ids", "token_ids", "top"}
_U64 = Annotated[int, Field(ge=0, lt=2**64)]


def parse_step(line: bytes) -> Step:
    """A step from its line. Raises `ValueError` for anything that does not fit the format."""
    if len(line) < _SHORT:  # the parser that checks as it reads is faster, but takes up to 100 bytes for one of JSON
        try:
            read = _LINE.validate_json(line)
        except ValidationError as error:
            raise ValueError(first_fault(_errors(error), parse_json(line))) from error
    else:
        read = _checked(_LINE, parse_json(line))
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
        complete=content.complete,
        asked=content.asked,
        abandoned=content.abandoned,
    )


def parse_json(line: bytes) -> Any:
    """The data of a line, made without a copy. Raises `ValueError` for what is no JSON, or too deep."""
    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {re.sub(' at line 1 column', ' at column', str(error))}") from None


def _checked(kind: TypeAdapter[Parsed], data: Any) -> Parsed:
    """The data as what it has to be. Raises `ValueError`, which names the first field that does not fit."""
    try:
        return kind.validate_python(data)
    except ValidationError as error:
        raise ValueError(first_fault(_errors(error), data)) from error


def _errors(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False))


def parse_header(content: Any) -> Header:
    """A header from its content. Raises `ValueError` for anything that does not fit, down to the parts of the chain."""
    read = _checked(_HEADER_SCHEMA, content)
    streams = [stream for stream, _ in read.sequences]
    if len(set(streams)) != len(streams):
        raise ValueError("sequences: a stream is named twice")
    if any(prompt >= len(read.prompts) for _, prompt in read.sequences):
        raise ValueError("sequences: one has a prompt that is not in the list")
    del read
    return _checked(_HEADER, content)


def parse_footer(content: Any) -> Footer:
    """A footer from its content. Raises `ValueError` for anything that does not fit."""
    return _checked(_FOOTER, content)


def parse_resumption(content: Any) -> Resumption:
    """A resumption from its content. Raises `ValueError` for anything that does not fit."""
    resumption = _checked(_RESUMPTION, content)
    _checked(_RESUMED, content)
    return resumption


def check_recovered(content: Any) -> None:
    """Raise `ValueError` for a note of a recovery that does not fit."""
    _checked(_RECOVERED, content)


def _as_written(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema of a type, with the limits of the format.

    A list is read only up to the first item that does not fit. No integer is negative and no number is NaN; a number is
    infinite only in fields where a writer writes that.
    """
    schema = handler(source)
    parts, seen = [(cast("Any", schema), "")], set()
    while parts:
        part, field = parts.pop()
        if id(part) in seen:  # a recursive type, such as a JSON value
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            parts.extend((each, field) for each in part)
        elif isinstance(part, dict):
            if part.get("type") == "definition-ref":
                parts.append((handler.resolve_ref_schema(part), field))
            if part.get("type") == "dataclass-field":
                field = part["name"]
            parts.extend((each, name if _is_field(each) else field) for name, each in part.items())
            _limit(part, field)
    return schema


def _limit(part: dict[str, Any], field: str) -> None:
    match part.get("type"):
        case "list" | "tuple":
            part["fail_fast"] = True
        case "int" if field not in _ANY_INTEGER:
            part.setdefault("ge", 0)
            if field in _TOKENS:
                part.setdefault("lt", 2**63)
        case "float" if field not in _INFINITE:
            part["allow_inf_nan"] = False
        case "float":
            part["ge"] = -math.inf  # as every number is, but not NaN


def _is_field(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "model-field"


class _Untrusted(BaseModel):
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _as_written(source, handler)


class _ClosedSchema(_Untrusted):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ChoiceSchema(_ClosedSchema):
    logprob: FiniteFloat | None
    raw_logprob: float | None
    rank: int | None
    score: FiniteFloat
    margin: float
    runner_up: TokenId | None


class _DrawSchema(_ClosedSchema):
    domain: _U64
    attempt: _U64
    lane: TokenId
    word: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _FinalSchema(_ClosedSchema):
    token_ids: list[TokenId]
    scores: list[float]
    floor: FiniteFloat | None

    def evidence(self) -> Evidence:
        if len(self.token_ids) != len(self.scores) or not self.token_ids:
            raise ValueError(f"{len(self.token_ids)} ids and {len(self.scores)} scores are not a final support")
        ids = _distinct(self.token_ids, "the final support")
        scores = np.array(self.scores, dtype=np.float64)
        _require_scores(scores, "the final scores")
        return Evidence(ids, scores, self.floor)


class _RowSchema(_ClosedSchema):
    token_ids: list[TokenId] | None
    dtype: Literal["float32", "float64"]
    scores: str

    def arrays(self) -> tuple[Ids | None, NDArray[Any]]:
        dtype = np.dtype(self.dtype).newbyteorder("<")
        try:
            row = np.frombuffer(base64.b64decode(self.scores, validate=True), dtype=dtype)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"the raw row is not base64 of {self.dtype}: {error}") from error
        ids = None if self.token_ids is None else _distinct(self.token_ids, "the raw row")
        if len(row) == 0 or (ids is not None and len(ids) != len(row)):
            raise ValueError(f"{len(row) if ids is None else len(ids)} ids and {len(row)} raw scores are not a raw row")
        _require_scores(row, "the raw scores")
        return ids, row


def _distinct(token_ids: list[int], what: str) -> Ids:
    ids = np.array(token_ids, dtype=np.int64)
    if len(token_ids) <= _FEW:
        twice = len(set(token_ids)) < len(token_ids)
    else:  # a set would take as much memory again as the list
        ordered = np.sort(ids)
        twice = bool((ordered[1:] == ordered[:-1]).any())
    if twice:
        raise ValueError(f"{what} names a token twice")
    return ids


def _require_scores(scores: NDArray[Any], what: str) -> None:
    if not math.isfinite(np.maximum.reduce(scores)):  # NaN where one of them is
        raise ValueError(f"{what} hold NaN or +inf, or nothing finite")


class _ContentSchema(_ClosedSchema):
    stream: _U64
    step: _U64
    token: TokenId
    text: str
    raw: RawSummary
    entries: tuple[Entry, ...]
    choice: _ChoiceSchema
    draw: _DrawSchema | None = None
    schedule: dict[str, int | str] | None = None
    final: _FinalSchema | None = None
    row: _RowSchema | None = None
    complete: bool | None = None
    asked: tuple[tuple[str, Disclosure], ...] = ()
    abandoned: tuple[Abandoned, ...] = ()


class _LineSchema(_ClosedSchema):
    kind: Literal["step"]
    prev: str
    content: _ContentSchema
    timing: Timing


# -- the header: the keys of its dictionaries that this package reads; the others are kept, and are not copied ---------


class _OpenSchema(_Untrusted):
    model_config = ConfigDict(extra="ignore", strict=True)


class _PluginSchema(_OpenSchema):
    name: str
    distribution: str
    version: str
    params: dict[str, Any]


class _ChainSchema(_OpenSchema):
    processors: list[_PluginSchema]
    sampler: _PluginSchema


class _AdapterSchema(_OpenSchema):
    name: str
    model: str
    model_fingerprint: str = ""
    tokenizer_fingerprint: str = ""
    vocab_size: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    context_length: int | None = None
    deterministic: bool = False
    stochastic: bool = False


class _StopSchema(_OpenSchema):
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 0
    strings: list[Annotated[str, Field(min_length=1)]] = []
    ids: list[TokenId] = []
    ban: list[Annotated[str, Field(min_length=1)]] = []


class _HeaderSchema(_Untrusted):
    model_config = ConfigDict(strict=True)

    seed: _U64
    level: Level
    prompts: list[Annotated[list[TokenId], Field(min_length=1)]]
    sequences: list[Annotated[list[_U64], Field(min_length=2, max_length=2)]]
    chain: _ChainSchema
    adapter: _AdapterSchema
    on_undisclosed: Literal["error", "truncate"]
    stop: _StopSchema
    top_logprobs: Annotated[int, Field(ge=0, le=1000)]
    metadata: list[str]
    config: dict[str, Any] | None
    versions: dict[str, str]
    format: str
    rng: str


class _ResumedSchema(_OpenSchema):
    adapter: _AdapterSchema


class _RecoveredSchema(_OpenSchema):
    steps: Annotated[int, Field(ge=0)]
    cut: Annotated[int, Field(ge=0)]


_AS_WRITTEN = GetPydanticSchema(_as_written)
_LINE: TypeAdapter[_LineSchema] = TypeAdapter(_LineSchema)
_HEADER_SCHEMA: TypeAdapter[_HeaderSchema] = TypeAdapter(_HeaderSchema)
_HEADER: TypeAdapter[Header] = TypeAdapter(Annotated[Header, _AS_WRITTEN])
_FOOTER: TypeAdapter[Footer] = TypeAdapter(Annotated[Footer, _AS_WRITTEN])
_RESUMED: TypeAdapter[_ResumedSchema] = TypeAdapter(_ResumedSchema)
_RECOVERED: TypeAdapter[_RecoveredSchema] = TypeAdapter(_RecoveredSchema)
_RESUMPTION: TypeAdapter[Resumption] = TypeAdapter(Annotated[Resumption, _AS_WRITTEN])
