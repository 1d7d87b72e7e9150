"""The optional attributes by which a processor or sampler declares its properties, with their defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from decodekit.distribution.disclosure import CHEAP, Disclosure

__all__ = ["DECLARED", "Kind", "Traits"]

Kind = Literal["truncation", "penalty", "bias", "mask", "temperature", "reshaping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The optional attributes of a processor or sampler. Each is an attribute, or a property, of the same name.

    Args:
        needs: what to ask the adapter for at first, or a function from the context to that.
        truncates: its result has no tail, so nothing more is asked for the processors after it.
        needs_logits: the formula depends on the backend's own offset of the scores; it refuses logprobs.
        revives: it may give probability to a token that had none.
        pure: False for a wrapped third-party callable with hidden state; it never runs twice for one step.
        random: it may use ``ctx.rng``; where it is False, ``ctx.rng`` is None and no noise is prepared.
        argmax_invariant: it never changes which token is most likely.
        looks_back: its ``advance`` also gets the distribution that the plugin was called with.
        kind: what kind of operation it is: 'truncation' removes unlikely tokens, 'penalty' lowers the scores of tokens
            that were written before, 'bias' adds to the scores of given tokens, 'mask' allows or forbids tokens,
            'temperature' divides all scores, 'reshaping' is any other function of the scores; None if not declared.
        measures: what a truncation measures of the whole distribution, and where that is defined, for example
            ``("entropy", "arXiv 2202.00666")``; None where it looks at single tokens only.
        leaves_one: with these parameters it leaves one token.
        after_heat: for a truncation by probability: a function from a temperature to a text that says what the
            truncation does after that temperature.
        needs_state: ``needs`` is a function of the context and the state.
        stateful: it has ``initial`` and ``advance``; this is detected, not declared.
    """

    needs: Disclosure | Callable[..., Disclosure] = CHEAP
    truncates: bool = False
    needs_logits: bool = False
    revives: bool = False
    pure: bool = True
    random: bool = True
    argmax_invariant: bool = False
    looks_back: bool = False
    kind: Kind | None = None
    measures: tuple[str, str] | None = None
    leaves_one: bool = False
    after_heat: Callable[[float], str] | None = None
    needs_state: bool = False
    stateful: bool = False

    @classmethod
    def of(cls, plugin: Any) -> Self:
        """The traits of a built processor or sampler."""
        read = {name: getattr(plugin, name, _MISSING) for name in DECLARED}
        declared: dict[str, Any] = {name: value for name, value in read.items() if value is not _MISSING}
        return cls(**declared, stateful=hasattr(plugin, "initial") and hasattr(plugin, "advance"))


_MISSING = object()
DECLARED = tuple(field.name for field in fields(Traits) if field.name != "stateful")
