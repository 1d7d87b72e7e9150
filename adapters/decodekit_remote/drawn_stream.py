"""One answer that the server draws, token by token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence, Set
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from decodekit.distribution import Distribution
from decodekit.errors import DecodekitError, ParameterError, ProviderError
from decodekit.model.drawn import CallsBegun, Drawn, DrawnEnd, DrawnToken, Ending
from decodekit.model.prefix import Prefix
from decodekit_remote.body import mended
from decodekit_remote.dialect import Counts, Entry, Position, Request, Token, Whole
from decodekit_remote.dialect import Drawn as Event
from decodekit_remote.drawn_calls import DrawnCalls
from decodekit_remote.drawn_text import ListedText
from decodekit_remote.drawn_whole import WholeText
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
_NO_CHOICE = (
    "; llama-cpp-python's server does that for a tool_choice that it does not know: leave it out, or name one tool"
)
_EMPTY = "the answer has no text, though the server counts tokens of it"
_NO_CALL = "the answer was cut before it called a tool, which tool_choice asks for"
_ANOTHER_TEXT = "not understood: the list is of another text than the answer"
_LONGEST_WHY = 200  # characters of the reason why a list was left out
_AFTERWARDS = 2.0  # seconds for what comes after the end


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
    if server.info.engine == "me" and "messages" in body:  # llama-cpp-python's server refuses a message without a text
        body["messages"] = [{**each, "content": each.get("content") or ""} for each in body["messages"]]
    # llama-server's responses are completed in any case
    limit = body.get("max_output_tokens") if server.info.engine == "llamacpp" else None
    answer = _Answer(server, question, path, noted, limit)
    try:
        async with aclosing(_events(server, path, body)) as events:
            async for event in events:
                for piece in answer.take(event):
                    yield piece
                if event.ends is None:
                    continue
                late, fault = await _late(events)
                for after in late:
                    for piece in answer.take(after):
                        yield piece
                if fault is not None:
                    raise fault
                for piece in answer.end(event.ends):
                    yield piece
                return
    except DecodekitError:
        for piece in answer.left():
            yield piece
        raise
    for piece in answer.left():
        yield piece
    hint = _INTERRUPTED if server.info.engine in ("", "me") and not server.capabilities.draws_only else ""
    if hint and question.tools is not None and question.tools.choice in ("required", "none") and answer.is_empty:
        hint = _NO_CHOICE
    raise server.transport.error(path, _CUT + hint)


class _Answer:
    """What has come of an answer.

    Args:
        server: the server.
        question: what it was asked.
        path: where, for errors.
        noted: for the record of each token.
        limit: an answer of so many tokens was cut, though the server says that it has ended.
    """

    def __init__(
        self, server: Server, question: Request, path: str, noted: Mapping[str, str], limit: int | None = None
    ) -> None:
        self._limit = limit
        self._server, self._question = server, question
        self._listed = ListedText()
        self._calls = DrawnCalls(question.tools, server.dialect.name, server.transport.redaction.text)
        self._text = WholeText(lambda what: server.transport.error(path, what))
        self._held: list[Whole] = []
        self._schedule: dict[str, int | str] = {"drawn_by": server.dialect.name, **noted}
        self._number, self._counts = 0, Counts()

    @property
    def is_empty(self) -> bool:
        """Whether no text and no call has come."""
        return not self._number and not self._calls

    def take(self, event: Event) -> Iterator[Drawn]:
        """What an event adds. Raises `ProviderError` for its fault, or where it contradicts what came."""
        redaction = self._server.transport.redaction
        if event.model and event.model != self._question.model:
            self._schedule["model"] = redaction.text(event.model)
        if event.build:
            self._schedule["server"] = redaction.text(event.build)
        counts = zip(event.counts, self._counts, strict=True)
        self._counts = Counts(*(new if new is not None else old for new, old in counts))
        if event.text:
            text, part, held = event.text, event.part, self._held
            starts = [whole for whole in held if self._text.continues(text, part, whole)]
            self._held = [whole for whole in held if whole not in starts]
            yield from self._wholes(starts)
            self._text.add(text, part)
        if event.calls and not event.text:
            entries: list[Entry] = []  # those of the calls, which are no text
        elif event.text is None:
            entries = list(event.entries)
        else:
            entries = self._listed.take(event.text, event.entries)
        yield from self._tokens(entries, is_text=event.text is not None)
        self._held += [whole for whole in event.wholes if whole.early]
        try:
            yield from self._wholes([whole for whole in event.wholes if not whole.early])
        except ProviderError as error:
            raise event.fault or error from None
        begun = bool(self._calls)
        try:
            self._calls.take(event.calls)
        finally:
            if self._calls and not begun:
                yield CallsBegun(self._calls.so_far)
        if event.fault is not None:
            raise event.fault

    def end(self, ends: Ending) -> Iterator[Drawn]:
        """The end of the answer. Raises `ProviderError` where it has no calls that it should have."""
        yield from self._wholes(self._held)
        self._held = []
        if ends == "stop" and self._limit is not None and (self._counts.completion or 0) >= self._limit:
            ends = "length"
        tools, log = self._question.tools, self._server.transport.redaction.log
        end, made = self._calls.at(ends)
        if end != "tool_calls" and tools is not None and tools.must_call and not made:
            log("warning", _NO_CALL, tool_choice=str(tools.chosen()))
        yield from self.left()
        if end == "stop" and self.is_empty and (self._counts.completion or 0) > 1:
            log("warning", _EMPTY, completion_tokens=self._counts.completion, dialect=self._server.dialect.name)
        yield DrawnEnd(end, self._counts.prompt, self._counts.completion, self._counts.cached, made)

    def left(self) -> Iterator[DrawnToken]:
        """The text that waits for its list, for the rest of a character, or for pieces that never came."""
        with suppress(ProviderError):
            yield from self._wholes(self._held)
        self._held = []
        yield from self._tokens(self._listed.end())

    def _wholes(self, wholes: Sequence[Whole]) -> Iterator[DrawnToken]:
        for whole in wholes:
            yield from self._tokens(self._listed.take(*self._text.rest(whole)))

    def _tokens(self, entries: Sequence[Entry], *, is_text: bool = True) -> Iterator[DrawnToken]:
        for entry in entries:
            schedule = self._schedule | ({"logprobs": _ANOTHER_TEXT} if self._listed.dropped else {})
            for token in _tokens(self._server, entry, self._question, schedule, is_text=is_text):
                noted = {**(token.schedule or {}), "position": self._number}
                counts = self._counts
                yield replace(token, schedule=noted, prompt_tokens=counts.prompt, cached_tokens=counts.cached)
                self._number += 1


async def _late(events: AsyncGenerator[Event, None]) -> tuple[list[Event], DecodekitError | None]:
    """What comes after the end, such as the numbers of tokens, if the server sends it soon; an error behind a text."""
    late: list[Event] = []
    texts, loop = False, asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_AFTERWARDS) as limit:
            async for event in events:
                late += [event]
                if event.text or event.calls:  # some proxies say in each event that it is the last
                    texts = True
                    limit.reschedule(loop.time() + _AFTERWARDS)
    except TimeoutError:
        pass
    except DecodekitError as error:
        return late, error if texts else None
    return late, None


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
    """The dialect's reading of an event. Halves of surrogate pairs stay in texts and calls only, to meet."""
    whole = mended(data)
    with reading(server.dialect.name, f"{server.transport.base_url}{path}", server.transport.redaction.text):
        event = server.dialect.drawn(whole)
        if whole == data:
            return event
        halved = server.dialect.drawn(data)
        return event._replace(text=halved.text, wholes=halved.wholes, calls=halved.calls)


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
        schedule["logprobs"] = why or str(noted.get("logprobs", "none"))
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
        return None, ""
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
