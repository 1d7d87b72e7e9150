"""Going on with a run that broke off, or that ended at its last allowed token, from its trace.

The record gives back all that shaped the run: prompts, chain, seed, streams, stop conditions, and the memories of
stateful parts, which are led over the recorded choices. The model is asked for what is new only. So a deterministic
adapter gives the tokens, step for step, that the unbroken run would have had.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from decodekit.chain import Chain
from decodekit.errors import ConfigError, ParameterError, TraceError
from decodekit.log import get_logger
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.session import Session
from decodekit.session.stop import Stop
from decodekit.trace.codec import to_line
from decodekit.trace.header import Header, Resumption, Trace, plain
from decodekit.trace.reader import inspect_trace
from decodekit.trace.rebuild import chain_of, differences, require_noise
from decodekit.trace.step import Step

__all__ = ["resume", "resume_stream"]

Path = str | os.PathLike[str]


def resume(
    source: Trace | Path,
    adapter: Adapter | AsyncAdapter,
    *,
    max_tokens: int | None = None,
    deadline: float | None = None,
    until: Callable[[Step], bool] | None = None,
    trace: Path | None = None,
    chain: Chain | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Go on with every sequence of a run that has not come to its end.

    A sequence is at its end when it stopped, or has ``max_tokens`` tokens; all others go on, whatever broke them off. A
    torn last line is left out, logged, and counted in `Trace.resumed`. An adapter with other fingerprints than the
    recorded one is allowed and logged, as in `replay`.

    Args:
        source: a trace, such as that of an error's ``partial``, or the path of one. It is only read.
        adapter: the model. It comes from you, and stays yours to close: a trace never builds one.
        max_tokens: at most this many tokens in all, the recorded ones included; the recorded limit when None.
        deadline: seconds from now after which no further token is begun.
        until: as for `Session.generate`; it sees the recorded steps first.
        trace: a new file for the whole run: it begins with the recorded steps and verifies as one.
        chain: the chain, newly built, where parts of it are not registered by name.
        metadata: as given to the `Session` that began the run; a trace holds the names only.

    Returns:
        One result per sequence, in the order of the header, of the whole run: what came before is in it.

    Raises:
        TraceError: the trace is damaged before its end, is at odds with its own end, or a part of the chain remembers
            more than it holds (level 'full' holds everything).
        ConfigError: a part of the chain is not installed, or in another version; the chain or the names of the metadata
            are not the recorded ones.
        DecodekitError: as `Session.generate`, for a run of one sequence; of several, a failing one ends alone.
    """
    steps = resume_stream(
        source, adapter,
        max_tokens=max_tokens, deadline=deadline, until=until, trace=trace, chain=chain, metadata=metadata,
    )  # fmt: skip
    while True:
        try:
            next(steps)
        except StopIteration as end:
            results: list[Result] = end.value
            return results


def resume_stream(
    source: Trace | Path,
    adapter: Adapter | AsyncAdapter,
    *,
    max_tokens: int | None = None,
    deadline: float | None = None,
    until: Callable[[Step], bool] | None = None,
    trace: Path | None = None,
    chain: Chain | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Generator[Step, None, list[Result]]:
    """As `resume`, one `Step` at a time, the recorded ones first: what the unbroken run would have streamed."""
    past, cut = _read(source)
    header = past.header
    names = sorted(map(str, metadata or ()))
    if names != header.metadata:
        raise ParameterError(f"the run had metadata of the names {header.metadata}, not {names}")
    with Session(
        adapter,
        _chain(past, chain),
        on_undisclosed=header.on_undisclosed,  # type: ignore[arg-type]  # checked there
        metadata=metadata,
        top_logprobs=header.top_logprobs,
    ) as session:
        info = session.adapter.info
        for difference in differences(header.adapter, info):
            get_logger().warning("resuming over another model", difference=difference)
        resumed = [*past.resumed, Resumption(len(past.steps), cut, plain(info))]
        run = Run(
            session.settings,
            header.prompts,
            [stream for stream, _ in header.sequences],
            header.seed,
            _stop(header, max_tokens, until),
            header.level,
            trace,
            deadline,
            kept=[],
            ban=header.stop.get("ban", ()),
            past=replace(past, resumed=resumed),
        )
        with run:
            yield from run.steps()
        results = run.results()
        return results if len(results) != 1 else [run.only_result()]


def _read(source: Trace | Path) -> tuple[Trace, int]:
    """The trace, and how many bytes of a torn last line were left out."""
    cut = 0
    if isinstance(source, Trace):
        past = source
    else:
        past, fault = inspect_trace(source)
        if fault is not None:
            if not fault.torn:
                raise fault
            cut = fault.torn
            get_logger().warning("the last line of the trace is torn; it is left out", path=str(source), bytes=cut)
    require_noise(past)
    header = past.header
    samples = len(header.sequences) // max(len(header.prompts), 1)
    prompts = [at for at in range(len(header.prompts)) for _ in range(samples)]
    if [at for _, at in header.sequences] != prompts or len(dict(header.sequences)) != len(prompts):
        raise TraceError("the header's sequences are in an order that no run has")
    counts = Counter(step.stream for step in past.steps)
    for end in past.footer.ends if past.footer else ():
        if counts[end.stream] != end.tokens:
            raise TraceError(
                f"stream {end.stream} had {end.tokens} tokens, and here are {counts[end.stream]}; "
                "a streamed run has its steps in its file",
                step=counts[end.stream],
            )
    return past, cut


def _stop(header: Header, max_tokens: int | None, until: Callable[[Step], bool] | None) -> Stop:
    try:
        recorded = header.stop["max_tokens"]
        strings, ids = tuple(header.stop["strings"]), frozenset(header.stop["ids"])
    except (KeyError, TypeError) as error:
        raise TraceError(f"the header's stop conditions are not readable: {error!r}") from error
    return Stop(recorded if max_tokens is None else max_tokens, strings, ids, until)


def _chain(past: Trace, given: Chain | None) -> Chain:
    if given is None:
        return chain_of(past)
    if to_line(given.describe()) != to_line(past.header.chain):
        raise ConfigError(f"the chain is {given.describe()}, the recorded one {past.header.chain}")
    return given
