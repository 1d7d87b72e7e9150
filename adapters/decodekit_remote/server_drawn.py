"""The answers of one run that the server draws. It implements `decodekit.model.drawn.Drawing`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.drawn import DrawnEnd, DrawnToken
from decodekit.model.prefix import Prefix
from decodekit.session.provider_draws import Terms
from decodekit_remote.connection import Connection
from decodekit_remote.dialect import Request
from decodekit_remote.drawn_answer import DrawnAnswer
from decodekit_remote.drawn_stream import drawn_tokens
from decodekit_remote.engines import ENGINES, EngineName, engine_of
from decodekit_remote.vocabulary import HashedVocabulary

__all__ = ["ServerDrawn"]

Value = TypeVar("Value")
Guard = Callable[[Awaitable[Any]], Awaitable[Any]]

_MOST_STOPS = 4  # that OpenAI's API takes; a run looks for all of them itself
_SEEDS = 2**31 - 1
_APART = 0x9E3779B1  # so that the samples of one prompt have different seeds


class ServerDrawn:
    """One stream for each sequence.

    Sequences with equal prefixes are exchangeable, so it does not matter which of them gets which answer.

    Args:
        connection: to the server.
        terms: what is asked for.
        engine: the user's setting.
        guarded: awaits, and lets no error out that has the key.

    Raises:
        ParameterError: the server has no parameters with the law of this chain, or the dialect does not draw.
    """

    def __init__(self, connection: Connection, terms: Terms, engine: Any, guarded: Guard) -> None:
        self._connection, self._server, self._terms, self._guarded = connection, connection.server, terms, guarded
        name: EngineName
        name, how = engine_of(engine, self._server.info.engine)
        self._settings, notes = ENGINES[name].settings(terms.chain)
        if "logit_bias" in self._settings and isinstance(self._server.vocabulary, HashedVocabulary):
            raise ParameterError(
                "sampler 'provider': logit_bias names token ids, and without a tokenizer those of this server are not "
                "known; name its tokenizer with tokenizer="
            )
        self._server.dialect.drawing(Request(("a prompt",), top=1), self._settings)  # what it cannot do is said now
        if terms.stop:
            self._settings["stop"] = list(terms.stop[:_MOST_STOPS])
        self._described = {"engine": name, "known": how, "settings": dict(self._settings), "notes": list(notes)}
        self._begun: Counter[bytes] = Counter()
        self._waiting: dict[bytes, list[DrawnAnswer]] = {}

    @property
    def described(self) -> Mapping[str, Any]:
        """The engine, how it is known, the parameters that are sent, and notes."""
        return self._described

    async def adraw(self, prefixes: Sequence[Prefix]) -> list[DrawnToken | DrawnEnd | DecodekitError]:
        """See `decodekit.model.drawn.Drawing`."""
        waiting, self._waiting = self._waiting, {}
        taken: list[DrawnAnswer] = []
        for prefix in prefixes:
            begun = waiting.get(prefix.digest)
            taken.append(begun.pop() if begun else self._begin(prefix))
        for left in [answers for some in waiting.values() for answers in some]:
            await left.aclose()
        try:
            return await asyncio.gather(
                *(self._next(prefix, answers) for prefix, answers in zip(prefixes, taken, strict=True))
            )
        except BaseException:
            for answers in taken:
                await answers.aclose()
            raise

    async def aclose(self) -> None:
        """Close the streams."""
        waiting, self._waiting = self._waiting, {}
        for answers in [each for some in waiting.values() for each in some]:
            await answers.aclose()

    def _begin(self, prefix: Prefix) -> DrawnAnswer:
        number = self._begun[prefix.digest]
        self._begun[prefix.digest] += 1
        seed = (self._terms.seed + (self._terms.stream + number) * _APART) % _SEEDS
        return DrawnAnswer(self._answers(prefix, self._settings | {"seed": seed}))

    async def _answers(self, prefix: Prefix, settings: dict[str, Any]) -> AsyncGenerator[DrawnToken | DrawnEnd, None]:
        fault = self._server.fault(prefix)
        if fault is not None:
            raise fault
        await self._connection.check_before(prefix)
        top = max(self._terms.top, self._connection.list_length.top)
        question = self._server.question(
            [prefix], max(0, min(top, self._server.capabilities.most_top)), tokens=self._terms.max_tokens
        )
        async for token in drawn_tokens(self._server, prefix, question, settings):
            yield token

    async def _next(self, prefix: Prefix, answers: DrawnAnswer) -> DrawnToken | DrawnEnd | DecodekitError:
        try:
            token: DrawnToken | DrawnEnd = await self._guarded(answers.next())
        except DecodekitError as error:
            await answers.aclose()
            return self._server.transport.redaction.error(error)
        if isinstance(token, DrawnToken) and token.ends is None:
            after = prefix.extend((token.token_id,))
            self._waiting.setdefault(after.digest, []).append(answers)
        else:
            await answers.aclose()
        return token
