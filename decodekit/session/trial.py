"""A few tokens with this chain on this adapter, to say what works and at what price."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.samplers import greedy, multinomial, provider
from decodekit.errors import DecodekitError
from decodekit.model.asking import BlockingAdapter
from decodekit.model.fitness import Fitness
from decodekit.session.prompts import Prompt
from decodekit.session.result import Result
from decodekit.session.session import Session
from decodekit.text.counted import counted

__all__ = ["CHAIN", "tried"]

CHAIN = "this chain"
"""What the verdict on the chain is about: if it is 'cannot', nothing can be generated."""

_TOKENS = 8
_PROMPT = "Once upon a time"
_DEADLINE = 60.0
_CHEAP = 1.25  # requests for a token: one for each, and a few to begin with


def tried(session: Session) -> list[Fitness]:
    """The verdicts on a session: what its adapter says of itself, and what eight tokens show.

    The server of a remote adapter may charge for them.
    """
    adapter: Any = session.adapter.adapter if isinstance(session.adapter, BlockingAdapter) else session.adapter
    verdicts: list[Fitness] = []
    before = _requests(adapter)
    drawn = _is_drawn(session, adapter)
    try:
        result = session.generate(_prompt(session, adapter), max_tokens=_TOKENS, seed=0, deadline=_DEADLINE)
    except Undisclosed as error:
        verdicts.append(Fitness(CHAIN, "cannot", f"it needs longer lists than the server has: {error}"))
    except DecodekitError as error:
        verdicts.append(Fitness(CHAIN, "cannot", str(error)))
    else:
        drawn = "drawing" in result.trace.header.adapter
        verdicts += [*_who_drew(result), _price(result, _requests(adapter) - before)]
    own = getattr(adapter, "fitness", None)
    if callable(own):
        with suppress(DecodekitError):  # it cannot be connected, and that is said already
            verdicts += own(drawn=drawn)
    return verdicts


def _prompt(session: Session, adapter: Any) -> Prompt:
    if session.adapter.tokenizer is None:
        return [1]
    talks = getattr(adapter, "capabilities", {}).get("conversations", False)
    return [{"role": "user", "content": _PROMPT}] if talks else _PROMPT


def _is_drawn(session: Session, adapter: Any) -> bool:
    """Whether the provider is to draw, even if it then cannot."""
    sampler, must = session.settings.chain.sampler, getattr(adapter, "must_draw", None)
    with suppress(DecodekitError):
        return sampler is provider or (must is not None and sampler in (multinomial, greedy) and bool(must(_TOKENS)))
    return False


def _requests(adapter: Any) -> int:
    """How many requests were sent so far; 0 of an adapter that sends none, or was not connected yet."""
    try:
        return int(getattr(adapter, "measured", {}).get("requests", 0))
    except DecodekitError:
        return 0


def _who_drew(result: Result) -> list[Fitness]:
    drawing = result.trace.header.adapter.get("drawing")
    if drawing is None:
        return [Fitness("the draw", "works", "decodekit draws, and a trace proves it")]
    verdicts = [
        Fitness(
            "the draw",
            "works but",
            "the provider draws: a trace is consistent, never proved, and a seed promises nothing",
            "a server that continues a prefix",
        )
    ]
    if drawing.get("known") == "assumed":
        why = (
            f"its parameters are assumed to be {drawing['engine']}'s: another program may have more, such as a top_k "
            "of its own, and they stay on"
        )
        verdicts.append(Fitness("the law", "works but", why, "name the program with engine="))
    verdicts += [Fitness("the law", "works but", note) for note in drawing.get("notes", ())]
    return verdicts


def _price(result: Result, requests: int) -> Fitness:
    """How many tokens came, and how many requests and further questions they took."""
    count = len(result.token_ids)
    more = sum(bool(step.asked) for step in result.trace.steps)
    gave_up = any(entry.gave_up is not None for step in result.trace.steps for entry in step.entries)
    parts = [counted(count, "token")]
    if requests:
        parts.append(f"{requests / max(1, count):.1f} requests a token")
    if more:
        parts.append(f"{more} of them asked for a longer list")
    if gave_up:
        parts.append("the tail was given up, as on_undisclosed says")
    dear = requests > _CHEAP * max(1, count) or more or gave_up or count == 0
    remedy = "a chain that needs shorter lists, such as one that begins with top_k" if more or gave_up else ""
    return Fitness(CHAIN, "works but" if dear else "works", ", ".join(parts), remedy)
