"""What is checked before a run starts, and what its record begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from decodekit.errors import ParameterError
from decodekit.model.drawn import Drawing
from decodekit.model.prefix import Prefix
from decodekit.session.bans import Ban
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import Given
from decodekit.session.settings import Settings
from decodekit.text.tools import Tools
from decodekit.trace.header import Header, plain, template_digest

__all__ = ["ban_of", "check_options", "header_of"]


def check_options(settings: Settings, options: GenerationOptions, *, listed: bool) -> None:
    """Refuse options that this model or this kind of prompts cannot have.

    Args:
        settings, options: of the run.
        listed: whether all prompts are known before the run.

    Raises:
        ParameterError: a stop id outside the vocabulary, or a trace for prompts that are read one by one.
    """
    if options.trace and not listed:
        raise ParameterError(
            "trace: a trace begins with its prompts, and those of an iterator are not known then; give a list, or "
            "write the trace of each result"
        )
    if options.stop.ids and getattr(settings.adapter.tokenizer, "whole_texts", False):
        unseen = [each for each in options.stop.ids if not _is_known(settings.adapter.tokenizer, each)]
        if unseen:
            raise ParameterError(
                f"stop_ids: token id {unseen[0]} is the hash of no text seen here, so it cannot be drawn; this server "
                "takes texts, so give the text with stop="
            )
    size, largest = settings.adapter.info.vocab_size, max(options.stop.ids, default=0)
    if size is not None and largest >= size:
        raise ParameterError(f"stop_ids: token id {largest} lies outside the vocabulary of {size} tokens")


def _is_known(tokenizer: Any, token: int) -> bool:
    try:
        tokenizer.token_bytes(token)
    except ParameterError:
        return False
    return True


def ban_of(settings: Settings, options: GenerationOptions) -> Ban | None:
    """The banned phrases of a run.

    Raises:
        ParameterError: as `Ban`; or steps cannot be run again, because a part of the chain must run only once.
    """
    if not options.ban:
        return None
    ban = Ban(options.ban, settings.adapter.tokenizer)
    if not settings.chain.pure:
        raise ParameterError("ban goes back and runs steps again, but a part of this chain must run only once per step")
    return ban


def _recorded_tools(tools: Tools | None) -> dict[str, Any]:
    """The tools and the choice as they were given, for the header."""
    return {} if tools is None else {"tools": tools.definitions(), "tool_choice": tools.chosen()}


def header_of(
    settings: Settings,
    options: GenerationOptions,
    seed: int,
    prefixes: Sequence[Prefix],
    places: list[tuple[int, int]],
    given: list[Given] | None,
    drawing: Drawing | None = None,
) -> Header:
    """What a run starts from, for its record. The arguments are those of the run, and of `listed`.

    Where the provider draws, the adapter's data has ``drawing``: what is asked of the provider.
    """
    stop = options.stop
    drawn = {} if drawing is None else {"drawing": dict(drawing.described)}
    return Header(
        seed=seed,
        level=options.level,
        prompts=[list(prefix.token_ids) for prefix in prefixes],
        sequences=places,
        chain=settings.chain.describe(),
        adapter=plain(settings.adapter.info) | drawn,
        on_undisclosed=settings.on_undisclosed,
        stop={
            "max_tokens": stop.max_tokens,
            "strings": list(stop.strings),
            "ids": sorted(stop.ids),
            **({"ban": list(options.ban)} if options.ban else {}),
        },
        top_logprobs=settings.top_logprobs,
        metadata=sorted(map(str, settings.metadata or ())),
        config=settings.config,
        chat_template=template_digest(settings.adapter),
        given=given,
        **_recorded_tools(options.tools),
    )
