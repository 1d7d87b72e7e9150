"""The first words with a server: which dialect it speaks, who it is, and what it can really do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from decodekit.distribution import Stage
from decodekit.errors import AdapterError, ConfigError, ProviderError, UnknownPlugin, did_you_mean
from decodekit.log import get_logger
from decodekit_remote.dialect import Asking, Capabilities, Dialect, Facts, Question, Reply
from decodekit_remote.refusals import Refused
from decodekit_remote.transport import Transport

__all__ = ["Found", "dialect_named", "meet", "read_reply"]

GROUP = "decodekit.dialects"

_LAST = ("openai_completions", "openai_chat")  # they fit whatever has /v1/models, so they are tried last
_PROBE = "The capital of France is"
_MOVED = 0.05  # nats; schedules move values by less, a temperature of 2 by more
_SHAPE = (KeyError, TypeError, ValueError, IndexError, AttributeError)


@dataclass(frozen=True, slots=True)
class Found:
    """What the first words came to.

    Args:
        dialect: what the server speaks.
        facts: what it says of itself.
        capabilities: what it can do, as declared and, after a probe, as seen.
        probed: whether that was seen.
        temperature: None for greedy questions; 1.0 where the server's values feel the temperature.
    """

    dialect: Dialect
    facts: Facts
    capabilities: Capabilities
    probed: bool = False
    temperature: float | None = None


def dialect_named(name: str) -> Dialect:
    """The dialect of this name. Raises `UnknownPlugin` or `ConfigError`."""
    points = _installed()
    if name not in points:
        raise UnknownPlugin(f"no dialect is named {name!r}{did_you_mean(name, points)}")
    try:
        made: Dialect = points[name].load()()
    except Exception as error:  # whatever a stranger's module does on import
        raise ConfigError(f"dialect {name!r} cannot be loaded: {error}") from error
    return made


async def meet(transport: Transport, dialect: Dialect | None, model: str | None, *, probe: bool) -> Found:
    """Greet the server, and ask it one token twice.

    Args:
        transport: how to reach it.
        dialect: what it speaks; None to find out.
        model: the model to ask for.
        probe: whether to ask for tokens, which a hosted server charges for.

    Raises:
        ProviderError: there is no server, none that is understood, or one that gives no logprobs.
    """
    ask = partial(transport.ask, last=True)
    if dialect is not None:
        facts = await _greeted(dialect, ask, model) or Facts()
        found = Found(dialect, replace(facts, model=model or facts.model), _declared(dialect))
        return await _probed(transport, found) if probe else found
    tried = []
    for name in _order():
        candidate = dialect_named(name)
        greeting = await _greeted(candidate, ask, model)
        if greeting is None:
            tried.append(name)
            continue
        found = Found(candidate, replace(greeting, model=model or greeting.model), _declared(candidate))
        try:
            found = await _probed(transport, found)
        except ProviderError:
            if name != _LAST[0]:
                raise
            continue  # no completions there, or none with logprobs: perhaps a chat
        get_logger().info("dialect found", server=transport.base_url, dialect=name, model=found.facts.model)
        return found
    raise ProviderError(
        f"{transport.base_url} speaks none of the dialects {', '.join(tried)}; is base_url right? "
        "Name the dialect if you know it"
    )


def read_reply(dialect: Dialect, where: str, data: Any, question: Question) -> list[Reply]:
    """The dialect's reading of an answer; another shape than it knows is a `ProviderError`."""
    try:
        replies = dialect.reply(data, question)
    except _SHAPE as error:
        raise _misread(dialect, where, error) from None
    if len(replies) != len(question.prompts):
        raise ProviderError(f"{where} answered {len(question.prompts)} prompts with {len(replies)} replies")
    return replies


def read_event(dialect: Dialect, where: str, data: Any, seen: int) -> Reply:
    """The dialect's reading of one event of a stream."""
    try:
        return dialect.event(data, seen)
    except _SHAPE as error:
        raise _misread(dialect, where, error) from None


def _misread(dialect: Dialect, where: str, error: Exception) -> ProviderError:
    return ProviderError(
        f"{where} answered in a shape that dialect {dialect.name!r} does not know ({type(error).__name__}: {error})"
    )


def _declared(dialect: Dialect) -> Capabilities:
    return dialect.capabilities


async def _greeted(dialect: Dialect, ask: Asking, model: str | None) -> Facts | None:
    try:
        return await dialect.greet(ask, model)
    except _SHAPE:
        return None
    except Refused as error:
        if error.status in (400, 404, 405, 422, 501) or (error.status == 0 and "not JSON" in str(error)):
            return None
        raise
    except AdapterError as error:
        if "404" in str(error):
            return None
        raise


async def _probed(transport: Transport, found: Found) -> Found:
    capabilities, dialect = found.capabilities, found.dialect
    top = min(capabilities.usual_top, capabilities.most_top)
    one = None
    for tried in dict.fromkeys((top, min(top, 20), min(top, 5), 1)):
        try:
            one = await _one_token(transport, found, Question((_PROBE,), top=tried, temperature=1.0))
        except Refused as error:
            if error.status not in (400, 422) or tried == 1:
                raise
            continue
        if tried < top:
            capabilities = replace(capabilities, most_top=tried, usual_top=tried)
        break
    assert one is not None
    two = await _one_token(transport, found, Question((_PROBE,), top=min(top, 20), temperature=2.0))
    shown = one.values()
    stage, temperature = _stage(capabilities.stage, one, two)
    if len(shown) < min(top, capabilities.most_top) and not capabilities.distinct_keys:
        capabilities = replace(capabilities, most_top=len(shown), usual_top=min(len(shown), capabilities.usual_top))
    facts = found.facts
    if capabilities.whole_vocabulary is None:
        try:
            every = await _one_token(transport, found, Question((_PROBE,), top=1, everything=True))
        except AdapterError:
            capabilities = replace(capabilities, whole_vocabulary=False)
        else:
            whole = facts.vocab_size in (None, len(every)) and set(every) == set(range(len(every))) and len(every) > top
            capabilities = replace(capabilities, whole_vocabulary=whole, most_top=len(every) if whole else top)
            facts = replace(facts, vocab_size=len(every)) if whole else facts
    capabilities = replace(capabilities, stage=stage)
    return Found(dialect, facts, capabilities, probed=True, temperature=temperature)


async def _one_token(transport: Transport, found: Found, question: Question) -> Mapping[Any, float]:
    # What is drawn at random may end inside a character, where a server that can be forced gives no list.
    force = found.facts.filler if found.capabilities.forces else None
    question = replace(question, model=found.facts.model or None, force=force)
    path, body = found.dialect.request(question)
    where = f"{transport.base_url}{path}"
    (reply,) = read_reply(found.dialect, where, await transport.ask(path, body, last=True), question)
    if not reply.positions:
        raise ProviderError(f"{where} answered the probe without a list of logprobs")
    return dict(zip(reply.positions[0].tokens, reply.positions[0].logprobs, strict=True))


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
    names = [name for name in sorted(_installed()) if name not in _LAST]
    return names + [name for name in _LAST if name in _installed()]


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
