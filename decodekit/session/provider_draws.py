"""A run in which the provider draws: who draws is decided here, and what is asked of the provider."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakSet

from decodekit.chain import Chain
from decodekit.draw.samplers import greedy, multinomial, provider
from decodekit.errors import ParameterError
from decodekit.log import get_logger
from decodekit.model.asking import BlockingAdapter
from decodekit.model.drawn import Drawing
from decodekit.plugin import registry
from decodekit.session.options import GenerationOptions
from decodekit.session.settings import Settings
from decodekit.text.tools import Tools

__all__ = ["PROVIDER_DRAWS", "DrawingAdapter", "Terms", "drawn_by_provider"]

PROVIDER_DRAWS = "the provider draws the tokens"
"""The event of the log."""

_NO_TOOLS = (
    "tools go to a provider that draws, and here decodekit draws. Where the model is behind a chat API, end the "
    "chain with the sampler 'provider' (chain='temperature=0.7 provider'); a server needs dialect='openai_chat' or "
    "another of conversations for it. For other models constrain the text: write the tools into a message, and give "
    "schema=decodekit.processor('tools', tools=...)"
)
_warned: WeakSet[Any] = WeakSet()  # adapters


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider is asked to do in one run.

    Args:
        chain: the law, to be translated; its sampler is `provider`.
        max_tokens: at most this many tokens for each sequence.
        stop: texts that end a sequence.
        seed: of the run. It is passed on where the provider takes one.
        stream: of the run's first sequence.
        top: how many leading tokens the record keeps.
        conversation: all prompts are conversations.
        tools: that its model may call. An adapter that cannot pass them on raises `ParameterError`.
    """

    chain: Chain
    max_tokens: int
    stop: tuple[str, ...]
    seed: int
    stream: int
    top: int
    conversation: bool = False
    tools: Tools | None = None


class DrawingAdapter(Protocol):
    """An adapter whose provider can draw; it is an `AsyncAdapter` too."""

    def must_draw(self, tokens: int, conversation: bool = False) -> str:
        """Why the provider has to draw so many tokens, after a conversation or not; '' where it has not."""
        ...

    def drawing(self, terms: Terms) -> Drawing:
        """The answers of one run. Nothing is sent before they are asked for.

        Raises:
            ParameterError: the provider has no parameters with the law of this chain, or cannot draw.
        """
        ...


def drawn_by_provider(
    settings: Settings, options: GenerationOptions, seed: int, *, conversation: bool = False
) -> tuple[Settings, Drawing | None]:
    """The settings of a run, and the answers that the provider draws; None where decodekit draws.

    With the sampler `provider` it draws. It also draws, and a warning says so once for each adapter, where the adapter
    says that it must, and the sampler is `multinomial`, the default, or `greedy`.

    Args:
        settings, options, seed: of the run.
        conversation: all its prompts are conversations.

    Raises:
        ParameterError: it cannot draw, or not with this chain or these options.
    """
    if settings.chain.sampler is provider:
        return settings, _drawing(settings, options, seed, conversation)
    adapter, chain = _behind(settings), settings.chain
    must = getattr(adapter, "must_draw", None)
    drawable = must is not None and chain.sampler in (multinomial, greedy)
    why = must(options.stop.max_tokens, conversation) if drawable and must is not None else ""
    if not why:
        if options.tools is not None:
            raise ParameterError(_NO_TOOLS)
        return settings, None
    processors = list(chain.processors)
    if chain.sampler is greedy:
        processors.append(registry.processor("temperature", temperature=0.0))
    drawn = Chain(processors, provider)
    drawn.notes = chain.notes
    settings = replace(settings, chain=drawn)
    try:
        drawing = _drawing(settings, options, seed, conversation)
    except ParameterError as error:
        raise ParameterError(f"{why}. Otherwise the provider has to draw: {error}") from error
    if adapter not in _warned:
        _warned.add(adapter)
        get_logger().warning(
            PROVIDER_DRAWS,
            model=settings.adapter.info.model,
            why=why,
            consequence="its random numbers are not known: steps can be consistent, never proved",
            remedy="a chain that ends with the sampler 'provider' says that this is wanted",
        )
    return settings, drawing


def _drawing(settings: Settings, options: GenerationOptions, seed: int, conversation: bool) -> Drawing:
    make = getattr(_behind(settings), "drawing", None)
    if make is None:
        raise ParameterError(
            f"sampler 'provider': the adapter {settings.adapter.info.name!r} gives distributions and draws nothing "
            "itself; use another sampler, such as multinomial"
        )
    if options.ban:
        raise ParameterError("ban goes back and draws again, which a provider that draws cannot do; use stop")
    if settings.guesser is not None:
        raise ParameterError("guesser: where the provider draws there is nothing to guess; leave it out, or use 'none'")
    stop = options.stop
    drawing: Drawing = make(
        Terms(
            settings.chain, stop.max_tokens, stop.strings, seed, options.stream, settings.top_logprobs, conversation,
            options.tools,
        )
    )  # fmt: skip
    return drawing


def _behind(settings: Settings) -> Any:
    adapter = settings.adapter
    return adapter.adapter if isinstance(adapter, BlockingAdapter) else adapter
