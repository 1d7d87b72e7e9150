"""The answers of one run that the server draws. It implements `decodekit.model.drawn.Drawing`."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.drawn import CallsBegun, Drawn, DrawnToken
from decodekit.model.prefix import Prefix
from decodekit.plugin import registry
from decodekit.session.provider_draws import Terms
from decodekit_remote.connection import Connection
from decodekit_remote.dialect import Request
from decodekit_remote.drawn_answer import DrawnAnswer
from decodekit_remote.drawn_stream import drawn_tokens
from decodekit_remote.engines import ENGINES, EngineName, engine_of
from decodekit_remote.refusals import Refused
from decodekit_remote.server import Server
from decodekit_remote.vocabulary import HashedVocabulary

__all__ = ["ServerDrawn"]

Value = TypeVar("Value")
Guard = Callable[[Awaitable[Any]], Awaitable[Any]]

_MOST_STOPS = 4  # that OpenAI's API takes; a run looks for all of them itself
_OPTIONAL = ("seed", "stream_options", "stop", "stop_sequences")  # no law depends on them
_LOGPROBS = ("logprobs", "top_logprobs", "include")  # a record only
_SEEDS = 2**31 - 1
_APART = 0x9E3779B1  # so that the samples of one prompt have different seeds


def _require_switches(server: Server, program: EngineName | None) -> None:
    """Raises `ParameterError` where the server does more to an answer than a request can switch off.

    ``program`` is the one behind an API that takes few parameters: its own defaults, such as llama.cpp's top_k, apply.
    """
    if server.standing:
        raise ParameterError(
            f"sampler 'provider': this server was started with {server.standing}, which is not in the chain, and "
            "no request can switch it off. Start it without, or use dialect 'llama_server', where decodekit draws"
        )
    if program is not None:
        raise ParameterError(
            f"sampler 'provider': {server.dialect.name} takes {' and '.join(server.capabilities.takes)} only, and this "
            f"server is {program}, which may have a top_k, a min_p or a penalty of its own that they leave on. Use "
            "dialect 'openai_chat', or say engine='openai' if it has none"
        )


class ServerDrawn:
    """One stream for each sequence.

    Sequences with equal prefixes are exchangeable until an answer calls tools; they are asked for in the same order, so
    each keeps its answer.

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
        self._neutral: tuple[str, ...] = ()  # parameters with the values that change nothing
        self._described = self._translated(engine)
        self._settings: dict[str, Any] = dict(self._described["settings"])
        if terms.stop:
            self._settings["stop"] = list(terms.stop[:_MOST_STOPS])
        self._begun: Counter[bytes] = Counter()
        self._waiting: dict[bytes, list[DrawnAnswer]] = {}

    @property
    def described(self) -> Mapping[str, Any]:
        """The engine, how it is known, the parameters that are sent, and notes."""
        return self._described

    def _translated(self, engine: Any) -> dict[str, Any]:
        """The chain in the server's terms, for the record. Raises `ParameterError`."""
        server, terms = self._server, self._terms
        name: EngineName
        name, how = engine_of(engine, server.info.engine)
        takes = server.capabilities.takes
        _require_switches(server, name if takes and how == "named by the server" else None)
        try:
            settings, notes = ENGINES[name].settings(terms.chain, server.dialect.name if takes else "")
            self._neutral = ENGINES[name].neutral(settings)
            if settings.get("logit_bias") and isinstance(server.vocabulary, HashedVocabulary):
                raise ParameterError(
                    "sampler 'provider': logit_bias names token ids, and without a tokenizer those of this server are "
                    "not known; name its tokenizer with tokenizer="
                )
            if terms.tools is not None and not server.capabilities.tools:
                raise ParameterError(_no_tools(server.dialect.name))
            question = Request(("a prompt",), top=1, tokens=terms.max_tokens, tools=terms.tools)
            _, body = server.dialect.drawing(question, settings)  # what it cannot do is said now
        except ParameterError as error:
            parts = [registry.describe(part)["name"] for part in terms.chain.processors]
            foreign = next((part for part in parts if part not in takes), None) if takes else None
            if foreign is None:
                raise
            raise ParameterError(
                f"sampler 'provider': the provider cannot apply {foreign!r} of this chain: with "
                f"{server.dialect.name} it takes {' and '.join(takes)} only. Change the chain"
            ) from error
        fewest = body.get("max_output_tokens", 0)
        if fewest > terms.max_tokens:
            notes = (*notes, f"the API writes {fewest} tokens at least; more than max_tokens are left out if counted")
        if takes:
            name, how = server.dialect.name, "the dialect's own"  # type: ignore[assignment]  # no engine is assumed
        return {"engine": name, "known": how, "settings": settings, "notes": list(notes)}

    async def adraw(self, prefixes: Sequence[Prefix]) -> list[Drawn | DecodekitError]:
        """See `decodekit.model.drawn.Drawing`."""
        waiting, self._waiting = self._waiting, {}
        taken: list[DrawnAnswer] = []
        for prefix in prefixes:
            begun = waiting.get(prefix.digest)
            taken.append(begun.pop(0) if begun else self._begin(prefix))
        for left in [answers for some in waiting.values() for answers in some]:
            await left.aclose()
        try:
            drawn = await asyncio.gather(*map(self._next, taken))
        except BaseException:
            for answers in taken:
                await answers.aclose()
            raise
        for prefix, answers, piece in zip(prefixes, taken, drawn, strict=True):  # in order: each keeps its own calls
            if _goes_on(piece):
                after = prefix.extend((piece.token_id,)) if isinstance(piece, DrawnToken) else prefix
                self._waiting.setdefault(after.digest, []).append(answers)
        return drawn

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

    async def _answers(self, prefix: Prefix, settings: dict[str, Any]) -> AsyncGenerator[Drawn, None]:
        fault = self._server.fault(prefix)
        if fault is not None:
            raise fault
        await self._connection.check_before(prefix)
        top = max(self._terms.top, self._connection.list_length.top)
        question = self._server.question(
            [prefix], max(0, min(top, self._server.capabilities.most_top)), tokens=self._terms.max_tokens
        )
        question = replace(question, tools=self._terms.tools)
        # llama-server streams no logprobs beside tools, so what is refused with tools may be taken without
        refused = self._connection.refused_fields if question.tools is None else self._connection.refused_with_tools
        removable = {**{name: (name,) for name in (*_OPTIONAL, *self._neutral)}, "logprobs": _LOGPROBS}
        while True:
            begun = False
            noted = {"not_sent": ", ".join(sorted(refused))} if refused else {}
            try:
                async for token in drawn_tokens(self._server, prefix, question, settings, noted, without=refused):
                    if not begun:
                        self._note_model(token, question.model)
                    begun = True
                    yield token
                return
            except Refused as error:
                if begun or error.status not in (400, 422):
                    raise
                named = [name for name in removable if re.search(rf"(?:\b|_){name}\b", str(error))]
                field = next((name for name in named if not refused.issuperset(removable[name])), None)
                if field is None:
                    raise self._with_way_out(error) from None
                refused.update(removable[field])
                self._server.transport.redaction.log(
                    "warning", "asking again without a parameter that is refused", parameter=field, error=str(error)
                )

    def _with_way_out(self, error: Refused) -> Refused:
        """The refusal of a parameter that the law needs."""
        law = [name for name in self._described["settings"] if name not in self._neutral]
        needed = next((name for name in law if re.search(rf"\b{name}\b", str(error))), None)
        if needed is None:
            return error
        message = f"{error}; the chain needs {needed}, so change the chain, or ask another model"
        return Refused(message, status=error.status, again=error.again, wait=error.wait)

    def _note_model(self, token: Drawn, asked: str | None) -> None:
        """A warning where an answer is that of another model than the answers before; each step names its own."""
        schedule = token.schedule if isinstance(token, DrawnToken) else None
        model = str((schedule or {}).get("model", asked or ""))
        was, self._connection.drawn_model = self._connection.drawn_model, model
        if was not in (None, model):
            self._server.transport.redaction.log("warning", "another model answers", was=was, now=model)

    async def _next(self, answers: DrawnAnswer) -> Drawn | DecodekitError:
        try:
            piece: Drawn = await self._guarded(answers.next())
        except DecodekitError as error:
            await answers.aclose()
            return self._server.transport.redaction.error(error)
        if not _goes_on(piece):
            await answers.aclose()
        return piece


def _no_tools(dialect: str) -> str:
    return (
        f"tools: {dialect} asks for the continuation of a text, which has no tools; give a conversation to a chat API "
        "(dialect='openai_chat', 'openai_responses' or 'anthropic_messages')"
    )


def _goes_on(piece: Drawn | DecodekitError) -> bool:
    """Whether more of the answer follows."""
    return isinstance(piece, CallsBegun) or (isinstance(piece, DrawnToken) and piece.ends is None)
