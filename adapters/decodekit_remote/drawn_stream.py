"""One answer that the server draws, token by token."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from decodekit.distribution import Distribution
from decodekit.errors import ParameterError, ProviderError
from decodekit.model.drawn import DrawnEnd, DrawnToken
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Drawn, Entry, Position, Request, Token
from decodekit_remote.list_distribution import distribution
from decodekit_remote.reading import reading
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary

__all__ = ["drawn_tokens"]

_CUT = (
    "ended its answer without saying why, so it may be cut. llama-cpp-python's server does that when another question "
    "comes: set concurrency = 1, or start it with --interrupt_requests false"
)


async def drawn_tokens(
    server: Server, prefix: Prefix, question: Request, settings: Mapping[str, Any]
) -> AsyncGenerator[DrawnToken | DrawnEnd, None]:
    """The tokens of an answer. Each comes when the next one is known, so the last one says why the answer ends.

    Args:
        server: the server.
        prefix: the prompt.
        question: for this prompt.
        settings: the sampling parameters.

    Raises:
        DecodekitError: the server refused, broke off, or gave what cannot be understood.
    """
    held: DrawnToken | None = None
    number = 0
    path, body = server.dialect.drawing(replace(question, stream=True), settings)
    where = f"{server.transport.base_url}{path}"
    async with aclosing(_events(server, path, body)) as events:
        async for data in events:
            with reading(server.dialect.name, where, server.transport.redaction.text):
                event = server.dialect.drawn(data)
                made = [token for entry in event.entries for token in _tokens(server, entry, question, event)]
            for token in made:
                if held is not None:
                    yield held
                held = replace(token, schedule={**(token.schedule or {}), "position": number})
                number += 1
            if event.ends is not None:
                yield DrawnEnd(event.ends) if held is None else replace(held, ends=event.ends)
                return
    if held is not None:
        yield held
    raise server.transport.error(path, _CUT)


async def _events(server: Server, path: str, body: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """The events of a stream. It is asked for again only before the first: another answer would be another draw."""

    async def begin() -> tuple[AsyncGenerator[Any, None], Any]:
        events = server.transport.events(
            path, body, spare=False
        )  # some servers cut an answer short for another question
        try:
            return events, await anext(events, None)
        except BaseException:
            await events.aclose()
            raise

    events, first = await server.transport.patiently(path, begin)
    async with aclosing(events):
        if first is not None:
            yield first
            async for data in events:
                yield data


def _tokens(server: Server, entry: Entry, question: Request, event: Drawn) -> list[DrawnToken]:
    """The token of an entry, or those of a piece of text."""
    schedule: dict[str, int | str] = {"drawn_by": server.dialect.name}
    if event.build:
        schedule["server"] = server.transport.redaction.text(event.build)
    shown = _shown(server, entry, question)
    ids = _ids(server, entry.token)
    known = ids if shown is None or shown.token_ids is None else [*ids, *shown.token_ids.tolist()]
    if isinstance(server.vocabulary, HashedVocabulary):
        schedule["tokens"] = server.vocabulary.table(list(dict.fromkeys(known)))
    if shown is None or len(ids) != 1:
        return [DrawnToken(token, None, schedule={**schedule, "logprobs": "none"}) for token in ids]
    return [DrawnToken(ids[0], shown, schedule=schedule)]


def _ids(server: Server, token: Token) -> list[int]:
    """The id of a token. A text that is none, or that several tokens have, is encoded; an empty one gives nothing."""
    vocabulary = server.vocabulary
    if isinstance(token, int) or vocabulary is None:
        return [int(token)]
    (found,) = vocabulary.identify([token])
    if found is not None:
        return [found]
    try:
        text = token if isinstance(token, str) else token.decode("utf-8")
        return vocabulary.tokenizer.encode(text)
    except (ParameterError, UnicodeDecodeError):
        drawn = server.transport.redaction.text(repr(token))
        raise ProviderError(
            f"{server.transport.base_url} drew {drawn}, which is no token of the tokenizer that was given; "
            "leave tokenizer= out, or give that of the server's model"
        ) from None


def _shown(server: Server, entry: Entry, question: Request) -> Distribution | None:
    if entry.logprob is None:
        return None
    top, tokens, values = entry.top, [entry.token], [entry.logprob]
    if top is not None:
        tokens, values = list(top.tokens), list(top.logprobs)
        if entry.token not in tokens:
            tokens, values = [*tokens, entry.token], [*values, entry.logprob]
    position = Position(entry.token, tokens, values, {} if top is None else top.pieces)
    dist = distribution(
        position,
        question,
        replace(server.capabilities, distinct_keys=False),
        vocabulary=server.vocabulary,
        vocab_size=server.vocab_size,
        stage=server.capabilities.stage,
    )
    if top is not None or dist.token_ids is None:
        return dist
    return Distribution.head(dist.token_ids, dist.scores, server.vocab_size, stage=dist.stage, max_hidden=0.0)
