"""`sample_valid` and `asample_valid`: draws from p(text | valid), for any notion of a valid text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Unpack

from decodekit.chain import Chain
from decodekit.errors import ParameterError
from decodekit.log import RunLog
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import connect
from decodekit.model.asking_from_task import connect_from_task
from decodekit.model.loops import OutOfTime, running
from decodekit.search.planning import Search, Valid, ValidKeywords, planned
from decodekit.search.valid_samples import Method, Reason, ValidSamples
from decodekit.session import AsyncSession, Prompt, Session
from decodekit.session.awaiting import answered_in_task
from decodekit.session.blocking import answered

__all__ = ["asample_valid", "sample_valid"]


def sample_valid(
    model: Session | Adapter | AsyncAdapter,
    prompt: Prompt,
    valid: Valid,
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
        raise ParameterError(
            "model: sample_valid is blocking code; await decodekit.asample_valid, or give it a Session or the adapter"
        )
    if not isinstance(model, Session):
        with Session(model) as session:  # closes no adapter that it was given
            return sample_valid(
                session, prompt, valid, n=n, method=method, max_tokens=max_tokens, seed=seed, chain=chain,
                stop_ids=stop_ids, stop_when_complete=stop_when_complete, max_runs=max_runs, max_checks=max_checks,
                resample_below=resample_below, deadline=deadline, metadata=metadata, priority=priority,
            )  # fmt: skip
    plan = planned(
        model, n=n, method=method, max_tokens=max_tokens, seed=seed, chain=chain, stop_ids=stop_ids,
        stop_when_complete=stop_when_complete, max_runs=max_runs, max_checks=max_checks,
        resample_below=resample_below, deadline=deadline, metadata=metadata, priority=priority,
    )  # fmt: skip
    connect(model.adapter, plan.until)
    call = _Call(model.adapter, plan.search(prompt, valid))
    with call.reporting():
        answered(model.adapter, call.search.write(), call.log, priority=plan.options.priority, until=plan.until)
    return call.found


async def asample_valid(
    model: AsyncSession | Adapter | AsyncAdapter, prompt: Prompt, valid: Valid, **options: Unpack[ValidKeywords]
) -> ValidSamples:
    """As `sample_valid`, in a task of an event loop; with the same seed the samples are the same.

    The validator is asked in worker threads, one call at a time, so that a slow one keeps no other task waiting. A task
    that is cancelled waits for the answer that the validator is about to give; what was found is then in ``partial`` of
    the cancellation.

    Args:
        model: a session of that kind, whose settings hold where none is given here, or an adapter.
        prompt, valid, options: as for `sample_valid`.

    Raises:
        TypeError: an option that does not exist. Otherwise as `sample_valid`.
    """
    if isinstance(model, Session):
        raise ParameterError("model: asample_valid runs in tasks; call sample_valid, or give it an AsyncSession")
    if not isinstance(model, AsyncSession):
        async with AsyncSession(model) as session:  # closes no adapter that it was given
            return await asample_valid(session, prompt, valid, **options)
    plan, adapter = planned(model, **options), model.adapter
    await connect_from_task(adapter, plan.until)
    call = _Call(adapter, await running().in_thread(lambda: plan.search(prompt, valid)))
    with call.reporting():
        await answered_in_task(
            adapter,
            call.search.write(),
            call.log,
            priority=plan.options.priority,
            until=plan.until,
            in_thread=True,
        )
    return call.found


class _Call:
    """A search that is driven to its end.

    Args:
        adapter: whom it asks.
        search: not begun.

    Attributes:
        found: what it found, after `reporting`.
    """

    found: ValidSamples

    def __init__(self, adapter: Adapter | AsyncAdapter, search: Search) -> None:
        self.search, self.log = search, RunLog(adapter.info.name)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Around its questions. An error or interrupt has what was found until then in ``partial``."""
        reason: Reason = "deadline"
        self.log.debug("exact sampling started")
        try:
            with suppress(OutOfTime):
                yield
                reason = "stop"
            self.found = self.search.found(reason)
        except BaseException as error:
            with suppress(Exception):  # an error of the caller's own, which may take no attribute
                error.partial = self.search.found(  # type: ignore[attr-defined]
                    "error" if isinstance(error, Exception) else "cancelled"
                )
            raise
        self.log.debug(
            "exact sampling finished",
            method=self.found.method,
            samples=len(self.found.samples),
            runs=self.found.runs,
            checks=self.found.checks,
            evaluated=self.found.evaluated,
            reason=self.found.finish_reason,
        )
