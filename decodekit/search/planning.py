"""A call of `sample_valid`: what it asks for, checked before a model is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, get_args

import numpy as np

from decodekit.chain import Chain
from decodekit.draw.context import MOST_TOKENS, Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.model.admission import admit
from decodekit.search.particles import Particles
from decodekit.search.runs import Runs
from decodekit.search.valid_samples import Method
from decodekit.search.validator import Checker, Predicate, Validator, validator_of
from decodekit.search.writing import Writer
from decodekit.session import Prompt
from decodekit.session.base import BaseSession
from decodekit.session.law import require_pure
from decodekit.session.opening import check_options
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import as_prefix
from decodekit.session.settings import Settings

__all__ = ["Plan", "Search", "Valid", "ValidKeywords", "planned"]

Search = Runs | Particles
Valid = Validator | Predicate | Callable[..., Any] | Mapping[str, Any] | type

_MOST_SAMPLES = 1_000_000


class ValidKeywords(TypedDict, total=False):
    """The options of `sample_valid`, which says what each means."""

    n: int
    method: Method
    max_tokens: int | None
    seed: int | None
    chain: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None
    stop_ids: Sequence[int] | None
    stop_when_complete: bool
    max_runs: int | None
    max_checks: int
    resample_below: float
    deadline: float | None
    metadata: Mapping[str, Any] | None
    priority: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call asks for.

    Args:
        options: those of a session, with the session's where none is given.
        settings: of the session, with the call's chain and metadata.
        until: the deadline, on the clock of ``time.monotonic``.
        n, method, stop_when_complete, max_runs, max_checks, resample_below: as for `sample_valid`.
    """

    options: GenerationOptions
    settings: Settings
    until: float | None
    n: int
    method: Method
    stop_when_complete: bool
    max_runs: int
    max_checks: int
    resample_below: float

    def search(self, prompt: Prompt, valid: Valid) -> Search:
        """The search that has not begun, for a model that is connected. The prompt is tokenised here.

        Raises:
            ParameterError: the prompt or the validator cannot be used, or no text would end.
        """
        settings, options, adapter = self.settings, self.options, self.settings.adapter
        tokenizer = adapter.tokenizer
        ends = options.stop.ids | (tokenizer.eos_ids if tokenizer is not None else frozenset())
        if not ends and not self.stop_when_complete:
            raise ParameterError(
                "stop_ids: this adapter names no end-of-text token, so no text would end; give the ids, or "
                "stop_when_complete=True"
            )
        prefix = as_prefix(adapter, prompt)
        context = Context(TokenIds(prefix.since(0)), TokenIds(), tokenizer, settings.metadata or {})
        validator = validator_of(valid, context, adapter.info.vocab_size, ends)
        checker = Checker(validator, ends, stop_when_complete=self.stop_when_complete, until=self.until)
        seed = Randomness(options.seed if options.seed is not None else settings.seed).seed
        writer = Writer(settings, seed, prefix, options.stop.max_tokens, checker, self.until)
        admit(adapter, options.max_waiting)
        if self.method in ("rejection", "cars"):
            return Runs(writer, self.n, self.max_runs, learns=self.method == "cars")
        return Particles(
            writer,
            self.n,
            method=self.method,
            max_checks=self.max_checks,
            resample_below=self.resample_below if self.method == "smc" else 0.0,
            exact=self.method == "smc" and checker.knows_allowed,
        )


def planned(
    model: BaseSession,
    *,
    n: int = 1,
    method: Method = "cars",
    max_tokens: int | None = None,
    seed: int | None = None,
    chain: Chain | Iterable[Callable[..., Any]] | Callable[..., Any] | str | None = None,
    stop_ids: Sequence[int] | None = None,
    stop_when_complete: bool = False,
    max_runs: int | None = None,
    max_checks: int = 10_000,
    resample_below: float = 0.5,
    deadline: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> Plan:
    """What a call with these options asks for; its deadline counts from now.

    Raises:
        ParameterError: a value that cannot be obeyed; it is named.
    """
    options = model.options_of({
        "max_tokens": max_tokens, "seed": seed, "chain": chain, "deadline": deadline, "metadata": metadata,
        "priority": priority, "stop_ids": model.stop_ids if stop_ids is None else stop_ids,
    })  # fmt: skip
    _check_method(method)
    n = whole(n, "n", 1, _MOST_SAMPLES)
    max_runs = max(1000, 100 * n) if max_runs is None else whole(max_runs, "max_runs", n, MOST_TOKENS)
    max_checks = whole(max_checks, "max_checks", 1, 2**31 - 1)
    resample_below = _share(resample_below, "resample_below")
    until = None if options.deadline is None else time.monotonic() + options.deadline
    settings = model.settings_of(options)
    _check_law(settings, options)
    return Plan(options, settings, until, n, method, bool(stop_when_complete), max_runs, max_checks, resample_below)


def _check_method(method: Any) -> None:
    if method not in get_args(Method):
        raise ParameterError(f"method is one of {', '.join(map(repr, get_args(Method)))}, not {method!r}")


def _check_law(settings: Settings, options: GenerationOptions) -> None:
    """Refuse what would make another law than that of the chain and the validator, or one that cannot be computed."""
    require_pure(settings.chain)
    if settings.chain.sampler is not multinomial:
        raise ParameterError(
            f"chain: its sampler is {settings.chain.links[-1].name!r}, and only multinomial draws from the law of the "
            "processors; a temperature or truncation is a processor"
        )
    if options.stop.max_tokens < 1:
        raise ParameterError("max_tokens must be at least 1: a text needs a token to end")
    if options.stop.strings:
        raise ParameterError(
            "stop: the session has stop strings, which are not part of p(text | valid) here; let the validator say "
            "where a text is complete (stop_when_complete=True)"
        )
    if options.ban:
        raise ParameterError(
            "ban: the session has banned texts, which are not part of p(text | valid) here; let the validator refuse "
            "them"
        )
    check_options(settings, options, listed=True)


def _share(value: Any, name: str) -> float:
    number = value.item() if isinstance(value, np.number) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1 or math.isnan(number):
        raise ParameterError(f"{name} is a number from 0 to 1, not {value!r}")
    return float(number)
