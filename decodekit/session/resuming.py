"""Resuming a run from its trace: a run that was interrupted, or that ended at ``max_tokens``.

The trace has everything that determines the run: prompts, chain, seed, streams and stop conditions. The states of
stateful parts are advanced with the recorded choices. The model is asked for new steps only. With a deterministic
adapter the tokens are those of an uninterrupted run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Unpack

from decodekit.errors import ConfigError, ParameterError, TraceError, did_you_mean
from decodekit.log import get_logger
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.plugin import registry
from decodekit.session.blocking import begun, finish, stream
from decodekit.session.driving import only_result
from decodekit.session.options import GenerationOptions, ResumeKeywords
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.schema import Schema
from decodekit.session.session import Session
from decodekit.session.stop import Stop
from decodekit.trace.codec import to_line
from decodekit.trace.given import relearn
from decodekit.trace.header import Header, Resumption, plain
from decodekit.trace.reader import inspect_trace
from decodekit.trace.rebuild import chain_of, differences, require_noise
from decodekit.trace.sinks import sinks_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["resume", "resume_stream"]


def resume(
    source: Trace | PathLike, adapter: Adapter | AsyncAdapter, **options: Unpack[ResumeKeywords]
) -> list[Result]:
    """Continue every sequence of a run that has not ended.

    A sequence has ended when it stopped, or has ``max_tokens`` tokens; all others are continued, whatever the reason
    for the interruption. An incomplete last line is left out, logged, and counted in `Trace.resumed`. An adapter with
    other fingerprints than the recorded ones is allowed and logged, as in `replay`.

    Args:
        source: a trace, such as that of an error's ``partial``, or the path of one. It is only read.
        adapter: the model. You give it and you close it: a trace never builds an adapter.
        max_tokens: at most this many tokens in total, the recorded ones included; the recorded limit when None.
        deadline: seconds from now after which no new token is started.
        until: as for `Session.generate`; it sees the recorded steps first.
        trace: a new file for the whole run, a sink, or a list of them: it begins with the recorded steps, and a file
            verifies as one.
        chain: the chain, newly built, if parts of it are not registered by name, or have a key that is not recorded.
        metadata: as given to the `Session` that started the run; a trace has the names only.
        schema: as given to the call, for `Result.parsed`; the constraint itself is a part of the recorded chain.
        guesser: as for `Session`; it changes nothing, so it is not recorded.

    Returns:
        One result per sequence, in the order of the header, for the whole run, with the recorded steps.

    Raises:
        TraceError: the trace is damaged before its end, contradicts its footer, or does not have what the state of a
            part of the chain needs (level 'full' has everything).
        ParameterError: the trace has more than ``max_tokens`` tokens already.
        ConfigError: a part of the chain is not installed, or in another version; the chain, the schema or the names of
            the metadata are not the recorded ones.
        DecodekitError: as for `Session.generate`, in a run of one sequence. In a run of several, a failing sequence
            does not end the others.
    """
    past, cut = _read(source)
    with _session(past, adapter, options) as session:
        return _raising(finish(_run(past, cut, session, options)))


def resume_stream(
    source: Trace | PathLike, adapter: Adapter | AsyncAdapter, **options: Unpack[ResumeKeywords]
) -> Generator[Step, None, list[Result]]:
    """As `resume`, one `Step` at a time, the recorded ones first, as an uninterrupted run would stream them."""
    past, cut = _read(source)
    with _session(past, adapter, options) as session:
        return _raising((yield from stream(_run(past, cut, session, options), keep=True)))


def _session(past: Trace, adapter: Adapter | AsyncAdapter, options: ResumeKeywords) -> Session:
    unknown = sorted(set(options) - set(ResumeKeywords.__annotations__))
    if unknown:
        raise TypeError(
            f"there is no resume option {unknown[0]!r}{did_you_mean(unknown[0], ResumeKeywords.__annotations__)}"
        )
    header, metadata = past.header, options.get("metadata")
    names = sorted(map(str, metadata or ()))
    if names != header.metadata:
        raise ParameterError(f"the run had metadata with the names {header.metadata}, not {names}")
    return Session(
        adapter,
        chain_of(past, options.get("chain")),
        on_undisclosed=header.on_undisclosed,  # type: ignore[arg-type]  # checked there
        metadata=metadata,
        top_logprobs=header.top_logprobs,
        guesser=options.get("guesser"),
    )


def _run(past: Trace, cut: int, session: Session, options: ResumeKeywords) -> Run:
    header, info = past.header, session.adapter.info
    _require_room(past, options.get("max_tokens"))
    relearn(session.adapter, past)
    given = GenerationOptions(
        stop=_stop(header, options.get("max_tokens"), options.get("until")),
        seed=header.seed,
        deadline=options.get("deadline"),
        trace=sinks_of(options.get("trace")),
        level=header.level,
        ban=header.stop.get("ban", ()),
        schema=_schema(past, options.get("schema")),
    )
    resumed = [*past.resumed, Resumption(len(past.steps), cut, plain(info))]
    streams = [stream for stream, _ in header.sequences]
    run = begun(session.settings, header.prompts, streams, given, replace(past, resumed=resumed))
    for difference in differences(header.adapter, info):
        run.log.warning("resuming with another model", difference=difference)
    return run


def _schema(past: Trace, given: Any) -> Schema | None:
    if given is None:
        return None
    schema, recorded = Schema.of(given), past.header.chain["processors"]
    if not recorded or to_line(registry.describe(schema.constraint)) != to_line(recorded[0]):
        first = recorded[0]["name"] if recorded else "nothing"
        raise ConfigError(f"schema is not that of the run, whose chain begins with {first}; leave it out for the text")
    return schema


def _raising(results: list[Result]) -> list[Result]:
    """The results. If a run of one sequence ended with an error, raises that error."""
    return results if len(results) != 1 else [only_result(results)]


def _read(source: Trace | PathLike) -> tuple[Trace, int]:
    """The trace, and how many bytes of an incomplete last line were left out."""
    cut = 0
    if isinstance(source, Trace):
        past = source
    else:
        past, fault = inspect_trace(source)
        if fault is not None:
            if not fault.torn:
                raise fault
            cut = fault.torn
            get_logger().warning("incomplete last line of the trace left out", path=str(source), bytes=cut)
    require_noise(past)
    if past.by_provider:
        raise TraceError("the provider drew these tokens, and goes on with none of its answers: generate anew")
    header = past.header
    samples = len(header.sequences) // max(len(header.prompts), 1)
    prompts = [at for at in range(len(header.prompts)) for _ in range(samples)]
    if [at for _, at in header.sequences] != prompts or len(dict(header.sequences)) != len(prompts):
        raise TraceError("the header's sequences are not in the order of a run")
    counts = Counter(step.stream for step in past.steps)
    for end in past.footer.ends if past.footer else ():
        if counts[end.stream] != end.tokens:
            raise TraceError(
                f"stream {end.stream} had {end.tokens} tokens, but this trace has {counts[end.stream]} steps; "
                "the steps of a streamed run are only in its trace file",
                step=counts[end.stream],
            )
    return past, cut


def _require_room(past: Trace, max_tokens: int | None) -> None:
    """Raises `ParameterError` if the trace has more tokens than the new limit allows."""
    longest = max(Counter(step.stream for step in past.steps).values(), default=0)
    if max_tokens is not None and longest > max_tokens >= 0:
        raise ParameterError(
            f"max_tokens={max_tokens} counts the recorded tokens too, and the trace already has {longest} tokens"
        )


def _stop(header: Header, max_tokens: int | None, until: Callable[[Step], bool] | None) -> Stop:
    try:
        recorded = header.stop["max_tokens"]
        strings, ids = tuple(header.stop["strings"]), frozenset(header.stop["ids"])
    except (KeyError, TypeError) as error:
        raise TraceError(f"the header's stop conditions are not readable: {error!r}") from error
    return Stop(recorded if max_tokens is None else max_tokens, strings, ids, until)
