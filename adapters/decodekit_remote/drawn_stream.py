"""One answer that the server draws, token by token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence, Set
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from decodekit.distribution import Distribution
from decodekit.errors import DecodekitError, ParameterError, ProviderError
from decodekit.model.drawn import CallsBegun, Drawn, DrawnEnd, DrawnToken
from decodekit.model.prefix import Prefix
from decodekit_remote.body import mended
from decodekit_remote.dialect import Counts, Entry, Position, Request, Token
from decodekit_remote.dialect import Drawn as Event
from decodekit_remote.drawn_calls import DrawnCalls
from decodekit_remote.drawn_text import ListedText
from decodekit_remote.list_distribution import distribution
from decodekit_remote.reading import reading
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary

__all__ = ["drawn_tokens"]

_CUT = "ended its answer without saying why, so it may be cut"
_INTERRUPTED = (
    "; llama-cpp-python's server does that when another question comes: set concurrency = 1, or start it with "
    "--interrupt_requests false"
)
_NO_CALL = "the answer was cut before it called a tool, which tool_choice asks for"
_LONGEST_WHY = 200  # characters of the reason why a list was left out
_AFTERWARDS = 2.0  # seconds for the numbers of tokens, which come after the end


async def drawn_tokens(
    server: Server,
    prefix: Prefix,
    question: Request,
    settings: Mapping[str, Any],
    noted: Mapping[str, str],
    *,
    without: Set[str],
) -> AsyncGenerator[Drawn, None]:
    """The tokens of an answer as they come, and its end. Text that an error finds unfinished comes before the error.

    Args:
        server: the server.
        prefix: the prompt.
        question: for this prompt.
        settings: the sampling parameters.
        noted: for the record of each token.
        without: fields that are not sent.

    Raises:
        DecodekitError: the server refused, broke off, or gave what cannot be understood.
    """
    path, body = server.dialect.drawing(replace(question, stream=True), settings)
    body = {name: value for name, value in body.items() if name not in without}
    listed, calls = ListedText(), DrawnCalls(question.tools, server.dialect.name)
    schedule: dict[str, int | str] = {"drawn_by": server.dialect.name, **noted}
    number, counts = 0, Counts()

    def tokens(entries: Sequence[Entry], *, is_text: bool = True) -> Iterator[DrawnToken]:
        nonlocal number
        for entry in entries:
            for token in _tokens(server, entry, question, schedule, is_text=is_text):
                noted_here = {**(token.schedule or {}), "position": number}
                yield replace(token, schedule=noted_here, prompt_tokens=counts.prompt, cached_tokens=counts.cached)
                number += 1

    part: tuple[int, ...] = ()
    try:
        async with aclosing(_events(server, path, body)) as events:
            async for event in events:
                if event.model and event.model != question.model:
                    schedule["model"] = server.transport.redaction.text(event.model)
                if event.build:
                    schedule["server"] = server.transport.redaction.text(event.build)
                if event.text and event.part < part:
                    raise server.transport.error(path, "sent the parts of its answer in another order than theirs")
                part = max(part, event.part)
                counts = Counts(
                    *(new if new is not None else old for new, old in zip(event.counts, counts, strict=True))
                )
                if event.calls and not event.text:
                    entries: list[Entry] = []  # those of the calls, which are no text
                elif event.text is None:
                    entries = list(event.entries)
                else:
                    entries = listed.take(event.text, event.entries)
                for token in tokens(entries, is_text=event.text is not None):
                    yield token
                if event.calls:
                    begun = bool(calls)
                    calls.take(event.calls)
                    if not begun:
                        yield CallsBegun(calls.so_far)
                if event.fault is not None:
                    raise event.fault
                if event.ends is not None:
                    end, made = calls.at(event.ends)
                    if end != "tool_calls" and question.tools is not None and question.tools.must_call and not made:
                        server.transport.redaction.log("warning", _NO_CALL, tool_choice=str(question.tools.chosen()))
                    for token in tokens(listed.end()):
                        yield token
                    counts = await _counts_after(events, counts)
                    yield DrawnEnd(end, counts.prompt, counts.completion, counts.cached, made)
                    return
    except DecodekitError:
        for token in tokens(listed.end()):
            yield token
        raise
    for token in tokens(listed.end()):
        yield token
    hint = _INTERRUPTED if server.info.engine in ("", "me") and not server.capabilities.draws_only else ""
    raise server.transport.error(path, _CUT + hint)


async def _counts_after(events: AsyncGenerator[Event, None], counts: Counts) -> Counts:
    """The numbers of tokens that come after the end, if the server sends them soon."""
    with suppress(DecodekitError, TimeoutError):
        async with asyncio.timeout(_AFTERWARDS):
            async for event in events:
                counts = Counts(
                    *(new if new is not None else old for new, old in zip(event.counts, counts, strict=True))
                )
    return counts


async def _events(server: Server, path: str, body: dict[str, Any]) -> AsyncGenerator[Event, None]:
    """The events of a stream. It is asked for again only before the first: another answer would be another draw.

    Each must come within the deadline of a question; one that says only that the connection is alive is none.
    """

    async def begin() -> tuple[AsyncGenerator[Any, None], Any]:
        events = server.transport.events(
            path, body, spare=False, drawn=True
        )  # some servers cut an answer short for another question
        try:
            return events, await anext(events, None)
        except BaseException:
            await events.aclose()
            raise

    deadline, now = server.transport.deadline, asyncio.get_running_loop().time
    events, data = await server.transport.patiently(path, begin)
    until = now() + deadline
    async with aclosing(events):
        while data is not None:
            event = _read(server, path, data)
            if not event.idle:
                until = now() + deadline
            yield event
            try:
                async with asyncio.timeout_at(until):
                    data = await anext(events, None)
            except TimeoutError:
                raise server.transport.error(path, f"sent nothing for {deadline:g} s") from None


def _read(server: Server, path: str, data: Any) -> Event:
    """The dialect's reading of an event. Half of a surrogate pair stays in its text only, to meet the other half."""
    whole = mended(data)
    with reading(server.dialect.name, f"{server.transport.base_url}{path}", server.transport.redaction.text):
        event = server.dialect.drawn(whole)
        return event if whole == data else event._replace(text=server.dialect.drawn(data).text)


def _tokens(
    server: Server, entry: Entry, question: Request, noted: Mapping[str, int | str], *, is_text: bool
) -> list[DrawnToken]:
    """The token of an entry, or those of a piece of text."""
    schedule = dict(noted)
    shown, why = _shown(server, entry, question)
    ids = _ids(server, entry.token, is_text=is_text)
    known = ids if shown is None or shown.token_ids is None else [*ids, *shown.token_ids.tolist()]
    if isinstance(server.vocabulary, HashedVocabulary):
        schedule["tokens"] = server.vocabulary.table(list(dict.fromkeys(known)))
    if shown is None or len(ids) != 1:
        schedule["logprobs"] = why or "none"
        return [DrawnToken(token, None, schedule=schedule, counted=entry.logprob is not None) for token in ids]
    return [DrawnToken(ids[0], shown, schedule=schedule)]


def _ids(server: Server, token: Token, *, is_text: bool) -> list[int]:
    """The id of a token, or those of a text, whose bytes they have: markup in a text is no control token.

    A text that is no token, or that several tokens have, is encoded; an empty one gives nothing.
    """
    vocabulary = server.vocabulary
    if isinstance(token, int) or vocabulary is None:
        return [int(token)]
    written = token.encode() if isinstance(token, str) else token
    (found,) = vocabulary.identify([token])
    if found is not None and (not is_text or vocabulary.tokenizer.token_bytes(found) == written):
        return [found]
    with suppress(ParameterError, UnicodeDecodeError):
        ids = vocabulary.tokenizer.encode(written.decode("utf-8"))
        if vocabulary.tokenizer.decode(ids) == written:
            return ids
    drawn = server.transport.redaction.text(repr(token))
    raise ProviderError(
        f"{server.transport.base_url} drew {drawn}, which is no token of the tokenizer that was given; "
        "leave tokenizer= out, or give that of the server's model"
    )


def _shown(server: Server, entry: Entry, question: Request) -> tuple[Distribution | None, str]:
    """The list of a token; None and the reason where it identifies none: it is only a record here."""
    if entry.logprob is None:
        return None, "none"
    top, tokens, values = entry.top, [entry.token], [entry.logprob]
    if top is not None:
        tokens, values = list(top.tokens), list(top.logprobs)
        if entry.token not in tokens:
            tokens, values = [*tokens, entry.token], [*values, entry.logprob]
    position = Position(entry.token, tokens, values, {} if top is None else top.pieces)
    try:
        dist = distribution(
            position,
            question,
            replace(server.capabilities, distinct_keys=False),
            vocabulary=server.vocabulary,
            vocab_size=server.vocab_size,
            stage=server.capabilities.stage,
        )
    except DecodekitError as error:
        return None, server.transport.redaction.text(f"not understood: {error}")[:_LONGEST_WHY]
    if top is not None or dist.token_ids is None:
        return dist, ""
    return Distribution.head(dist.token_ids, dist.scores, server.vocab_size, stage=dist.stage, max_hidden=0.0), ""
