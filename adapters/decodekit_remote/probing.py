"""The first contact with a server: its dialect, its model, and what it can really do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decodekit.distribution import Stage
from decodekit.errors import (
    AdapterError,
    ConfigError,
    ModelNotFound,
    ParameterError,
    ProviderError,
    message_of,
)
from decodekit.plugin.registry import define_group
from decodekit_remote.dialect import Capabilities, Dialect, Position, Request, ServerInfo
from decodekit_remote.dialects.completions import NoLogprobs
from decodekit_remote.reading import SHAPE
from decodekit_remote.refusals import Refused
from decodekit_remote.server import put
from decodekit_remote.standing import standing_of
from decodekit_remote.transport import Transport

__all__ = ["CHAT", "Found", "assumed", "contact", "dialect_named"]

_DIALECTS = define_group("dialects", "dialect")

CHAT = "openai_chat"
"""The dialect for conversations, which many servers of texts have too."""

_LAST = ("openai_completions", CHAT)  # they match any server with /v1/models, so they are tried last
_PROBES = ("The capital of France is", "1, 2, 3, 4,", "Is water wet? Answer with yes or no.")
_MORE = 8  # tokens, where single ones came without lists
_TRIES = 3  # for a second list, of a server that gave a first
_MOVED = 0.05  # nats; schedules change values by less, a temperature of 2 by more


@dataclass(frozen=True, slots=True)
class Found:
    """The result of the first contact.

    Args:
        dialect: the dialect of the server.
        info: what it reports about itself.
        capabilities: what it can do, as declared and, after a probe, as seen.
        probed: whether there was a probe.
        temperature: None for greedy questions; 1.0 where the temperature affects the server's values.
        standing: what its operator has it do to every answer that no request can switch off; '' where nothing is known.
    """

    dialect: Dialect
    info: ServerInfo
    capabilities: Capabilities
    probed: bool = False
    temperature: float | None = None
    standing: str = ""


def dialect_named(name: str) -> Dialect:
    """The dialect of this name. Raises `UnknownPlugin` or `ConfigError`."""
    target, info = _DIALECTS.load(name)
    try:
        made: Dialect = target()
    except (Exception, SystemExit) as error:  # a third-party class may raise anything
        error_text = f"{type(error).__name__}: {message_of(error)}"
        raise ConfigError(
            f"dialect {name!r} of {info.distribution or 'this process'} cannot be made: {error_text}"
        ) from error
    return made


def assumed(dialect: Dialect, model: str | None) -> Found:
    """What is assumed without contact."""
    capabilities = dialect.capabilities
    if capabilities.whole_vocabulary is None:
        capabilities = replace(capabilities, whole_vocabulary=False)
    return Found(dialect, ServerInfo(model=model or ""), capabilities)


async def contact(transport: Transport, dialect: Dialect | None, model: str | None, *, probe: bool) -> Found:
    """Contact the server, and request one token twice.

    Args:
        transport: how to reach it.
        dialect: its dialect; None to find out.
        model: the model to ask for.
        probe: whether to ask for tokens, which a hosted server charges for.

    Raises:
        ProviderError: there is no server, its dialect is unknown, or it gives no logprobs.
    """
    if dialect is not None:
        info = await _server_info(transport, dialect, model, "warning") or ServerInfo()
        info = replace(info, model=model or info.model)
        found = Found(dialect, info, dialect.capabilities, standing=await standing_of(transport.ask, info))
        return await _probed(transport, found) if probe and not found.capabilities.draws_only else found
    tried, drawing = [], None
    for name in _order():
        try:
            candidate = dialect_named(name)
            if candidate.capabilities.draws_only:
                continue  # it is chosen by name only
        except ConfigError as error:  # a broken third-party dialect does not block the others
            transport.redaction.log("warning", "dialect skipped", dialect=name, reason=str(error))
            continue
        reported = await _server_info(transport, candidate, model, "debug")
        if reported is None:
            tried.append(name)
            continue
        reported = replace(reported, model=model or reported.model)
        standing = await standing_of(transport.ask, reported)
        found = Found(candidate, reported, candidate.capabilities, standing=standing)
        try:
            found = await _probed(transport, found)
        except ProviderError as error:
            absent = isinstance(error, Refused) and error.status in (404, 405, 501)
            if drawing is not None and absent:
                found = drawing  # no chat there, but completions that the server draws
            elif name != _LAST[0]:
                raise
            else:
                continue  # no completions there, or none with logprobs: perhaps a chat
        if found.capabilities.draws_only and name == _LAST[0]:
            drawing = found
            continue  # no completions with logprobs: perhaps a chat that has them
        transport.redaction.log(
            "info", "dialect found", server=transport.base_url, dialect=found.dialect.name, model=found.info.model
        )
        return found
    raise ProviderError(
        f"{transport.base_url} matches none of the dialects {', '.join(tried)}; is base_url right? "
        "Name the dialect if you know it, such as dialect='openai_chat', and the model with model=: a hosted API need "
        "not list its models"
    )


async def _server_info(transport: Transport, dialect: Dialect, model: str | None, level: str) -> ServerInfo | None:
    try:
        return await dialect.greet(transport.ask, model)
    except ParameterError:
        raise
    except SHAPE as error:
        message = f"{type(error).__name__}: {error}"
        transport.redaction.log(level, "the server's information about itself is not understood", why=message[:200])
        return None
    except Refused as error:
        if error.status in (400, 404, 405, 422, 501) or (error.status == 0 and "not JSON" in str(error)):
            return None
        raise
    except ModelNotFound:  # a 404 for a route, with a message about a model
        return None


async def _probed(transport: Transport, found: Found) -> Found:
    """What the server is seen to do; of one without logprobs, that it can only draw, if its dialect reads that."""
    try:
        return await _seen(transport, found)
    except ProviderError as error:
        if not found.capabilities.draws or not (isinstance(error, NoLogprobs) or _refuses_logprobs(error)):
            raise
        why = "gives no logprobs, so it shows no distribution"
        return replace(found, capabilities=replace(found.capabilities, most_top=0, draws_only=why), probed=True)


def _refuses_logprobs(error: ProviderError) -> bool:
    return isinstance(error, Refused) and error.status in (400, 422) and "logprobs" in str(error)


async def _seen(transport: Transport, found: Found) -> Found:
    capabilities = found.capabilities
    top = min(capabilities.usual_top, capabilities.most_top)
    question, one = None, None
    for tried in dict.fromkeys((top, min(top, 20), min(top, 5), 1)):
        try:
            question, one = await _listed(transport, found, tried)
        except Refused as error:
            if error.status not in (400, 422) or tried == 1:
                raise
            continue
        if tried < top:
            capabilities = replace(capabilities, most_top=tried, usual_top=tried)
        break
    assert question is not None and one is not None
    two = await _hotter(transport, found, replace(question, top=min(top, 20)))
    stage, temperature = _stage(capabilities.stage, _values(one), {} if two is None else _values(two))
    shown = len(one.tokens)
    if shown < min(top, capabilities.most_top) and not capabilities.distinct_keys:
        capabilities = replace(capabilities, most_top=shown, usual_top=min(shown, capabilities.usual_top))
    info = found.info
    if capabilities.whole_vocabulary is None:
        try:
            whole_list = await _one_list(transport, found, Request(_PROBES[:1], top=1, everything=True))
        except AdapterError:
            capabilities = replace(capabilities, whole_vocabulary=False)
        else:
            every = _values(whole_list)
            whole = info.vocab_size in (None, len(every)) and set(every) == set(range(len(every))) and len(every) > top
            capabilities = replace(capabilities, whole_vocabulary=whole, most_top=len(every) if whole else top)
            info = replace(info, vocab_size=len(every)) if whole else info
    capabilities = replace(capabilities, stage=stage)
    return replace(found, info=info, capabilities=capabilities, probed=True, temperature=temperature)


class _NoList(ProviderError):
    """An answer had no list, though it may have needed none: its text ended, or its token is part of a character."""


async def _listed(transport: Transport, found: Found, top: int) -> tuple[Request, Position]:
    """A question that was answered with a list, and the list.

    An answer without one says little of a server: the token that was drawn may be part of a character, for which
    llama-server has no list, or end the text. So other prompts follow, and then a few tokens, one of which may have it.

    Raises:
        NoLogprobs: none of the answers has a list.
    """
    for prompt in _PROBES:
        question = Request((prompt,), top=top, temperature=1.0)
        with suppress(NoLogprobs, _NoList):
            return question, await _one_list(transport, found, question)
    question = Request(_PROBES[:1], top=top, tokens=_MORE)
    return question, await _one_list(transport, found, question)


async def _hotter(transport: Transport, found: Found, question: Request) -> Position | None:
    """The list at twice the temperature; None where there is none to compare."""
    if question.temperature is None:
        return None
    for _ in range(_TRIES):
        with suppress(NoLogprobs, _NoList):
            return await _one_list(transport, found, replace(question, temperature=2 * question.temperature))
    return None


async def _one_list(transport: Transport, found: Found, question: Request) -> Position:
    # A random token may end inside a character, where a server that can force tokens gives no list.
    force = found.info.filler if found.capabilities.forces and question.tokens == 1 else None
    question = replace(question, model=found.info.model or None, force=force)
    (reply,) = await put(transport, found.dialect, question, found.info.vocab_size)
    if not reply.positions:
        raise _NoList(f"{transport.base_url} answered the probe without a list of logprobs")
    return reply.positions[0]


def _values(position: Position) -> dict[Any, float]:
    return dict(zip(position.tokens, position.logprobs, strict=True))


def _stage(declared: Stage, one: Mapping[Any, float], two: Mapping[Any, float]) -> tuple[Stage, float | None]:
    """Raw values are the same at any temperature."""
    both = [token for token in one if token in two]
    if len(both) < 2:
        return "unknown" if declared == "raw" else declared, None
    moved = float(np.median([abs(one[token] - two[token]) for token in both]))
    if moved > _MOVED:
        return "processed", 1.0
    return ("raw" if declared != "processed" else "processed"), None


def _order() -> list[str]:
    names = sorted(_DIALECTS.names())
    return [name for name in names if name not in _LAST] + [name for name in _LAST if name in names]
