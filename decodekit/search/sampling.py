"""`sample_valid`: draws from p(text | valid), for any notion of a valid text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import numpy as np

from decodekit.chain import Chain
from decodekit.draw.context import MOST_TOKENS, Context, TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.log import RunLog
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.admission import admit
from decodekit.model.asking import connect
from decodekit.model.loops import OutOfTime
from decodekit.search.particles import Particles
from decodekit.search.runs import Runs
from decodekit.search.valid_samples import Method, Reason, ValidSamples
from decodekit.search.validator import Checker, Predicate, Validator, validator_of
from decodekit.search.writing import Writer
from decodekit.session import AsyncSession, Prompt, Session
from decodekit.session.blocking import answered
from decodekit.session.law import require_pure
from decodekit.session.opening import check_options
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import as_prefix
from decodekit.session.settings import Settings

__all__ = ["sample_valid"]

_MOST_SAMPLES = 1_000_000


def sample_valid(
    model: Session | Adapter | AsyncAdapter,
    prompt: Prompt,
    valid: Validator | Predicate | Callable[..., Any] | Mapping[str, Any] | type,
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
) -> ValidSamples:
    """Draw texts from p(text | valid), where p is the law of the chain; a mask draws from another law.

    A text is valid if every beginning of it passes the validator and the whole is complete when it ends, within
    ``max_tokens``. It ends with an end-of-text token, or also where it is complete (``stop_when_complete``). The same
    seed gives the same samples, whatever else the adapter does.

    * 'rejection' draws whole texts, up to the first token with which they are invalid. Each sample is an independent
      draw from p(text | valid); it takes 1 / P(valid) runs on average.
    * 'cars' does the same and takes the invalid prefixes that it has met away from the next draws. The law is the same;
      fewer and fewer runs are needed.
    * 'awrs' writes n texts of valid tokens, with importance weights. For any function f, the mean of weight times f
      over the n particles is an unbiased estimate of P(valid) E[f | valid]; it checks a few tokens at each step.
    * 'smc' also resamples where few particles carry the weight. Exact weights where the validator has ``allowed``; else
      those of 'awrs'. The same expectations; the samples are not independent.

    Args:
        model: a session, whose settings hold where none is given here, or an adapter. Nothing is given up where tokens
            are undisclosed: ``on_undisclosed`` is 'error' here.
        prompt: as for `Session.generate`.
        valid: a function ``predicate(text, ended) -> bool``, where ``ended`` says whether the text ends there or only
            begins so; a constraint such as ``processor("regex", regex=...)``, a JSON Schema or a pydantic model; or a
            `Validator`.
        n: how many valid texts ('rejection', 'cars'), or how many particles ('smc', 'awrs').
        method: see above.
        max_tokens: at most this many; the session's when None. A text that is cut there is no sample; it is counted.
        seed: the session's when None; a random one where that is None, too.
        chain: the session's when None. Its sampler is multinomial, and no part of it draws random numbers.
        stop_ids: ids that end a text as end-of-text tokens do; the session's when None.
        stop_when_complete: end a text after the first token with which it is complete.
        max_runs: of 'rejection' and 'cars'; by default 100 n, and at least 1,000. With fewer than n valid texts the
            ``finish_reason`` is then 'max_runs'.
        max_checks: of 'awrs', and of 'smc' without ``allowed``: after so many invalid tokens at one step a particle is
            given up, and counted as cut.
        resample_below: 'smc' resamples where the effective sample size is below this times n; 0 is never.
        deadline: seconds from now; what was accepted until then is returned. The session's when None.
        metadata: for the chain's processors; the session's when None.
        priority: among callers that wait for the same model, a higher one goes first.

    Raises:
        ParameterError: a value that cannot be obeyed; it is named.
        EmptySupport: 'cars' found that all probability begins an invalid text.
        PluginError: the validator raised, or did not answer with true or false.
        Undisclosed: the adapter cannot disclose enough. 'cars' needs the whole law at each step, 'smc' with ``allowed``
            the allowed tokens; 'rejection' and 'awrs' need as much as decides their races.
        DecodekitError: as for `Session.generate`. The valid texts so far are in ``partial``, a `ValidSamples`, whatever
            the error or interrupt.
    """
    if isinstance(model, AsyncSession):
        raise ParameterError("model: sample_valid is blocking code; give it a Session or the adapter")
    if not isinstance(model, Session):
        with Session(model) as session:  # closes no adapter that it was given
            return sample_valid(
                session, prompt, valid, n=n, method=method, max_tokens=max_tokens, seed=seed, chain=chain,
                stop_ids=stop_ids, stop_when_complete=stop_when_complete, max_runs=max_runs, max_checks=max_checks,
                resample_below=resample_below, deadline=deadline, metadata=metadata, priority=priority,
            )  # fmt: skip
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
    connect(model.adapter, until)
    settings = model.settings_of(options)
    _check_law(settings, options)
    tokenizer = model.adapter.tokenizer
    ends = options.stop.ids | (tokenizer.eos_ids if tokenizer is not None else frozenset())
    if not ends and not stop_when_complete:
        raise ParameterError(
            "stop_ids: this adapter names no end-of-text token, so no text would end; give the ids, or "
            "stop_when_complete=True"
        )
    prefix = as_prefix(model.adapter, prompt)
    context = Context(TokenIds(prefix.since(0)), TokenIds(), tokenizer, settings.metadata or {})
    validator = validator_of(valid, context, model.adapter.info.vocab_size, ends)
    checker = Checker(validator, ends, stop_when_complete=bool(stop_when_complete), until=until)
    own_seed = options.seed if options.seed is not None else settings.seed
    writer = Writer(
        settings,
        Randomness(own_seed).seed,
        prefix,
        options.stop.max_tokens,
        checker,
        until,
    )
    search: Runs | Particles
    if method in ("rejection", "cars"):
        search = Runs(writer, n, max_runs, learns=method == "cars")
    else:
        search = Particles(
            writer,
            n,
            method=method,
            max_checks=max_checks,
            resample_below=resample_below if method == "smc" else 0.0,
            exact=method == "smc" and checker.knows_allowed,
        )
    admit(model.adapter, options.max_waiting)
    return _searched(model.adapter, search, options.priority, until)


def _searched(adapter: Adapter, search: Runs | Particles, priority: int, until: float | None) -> ValidSamples:
    """Drive a search to its end. An error or interrupt has what was found until then in ``partial``."""
    log = RunLog(adapter.info.name)
    reason: Reason
    log.debug("exact sampling started")
    try:
        with suppress(OutOfTime):
            reason = "deadline"
            answered(adapter, search.write(), log, priority=priority, until=until)
            reason = "stop"
        found = search.found(reason)
    except BaseException as error:
        with suppress(Exception):  # an error of the caller's own, which may take no attribute
            error.partial = search.found(  # type: ignore[attr-defined]
                "error" if isinstance(error, Exception) else "cancelled"
            )
        raise
    log.debug(
        "exact sampling finished",
        method=found.method,
        samples=len(found.samples),
        runs=found.runs,
        checks=found.checks,
        evaluated=found.evaluated,
        reason=found.finish_reason,
    )
    return found


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
