"""What a report is made of: traces, from files or from memory, each with the verdict of the verification."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from decodekit.errors import DecodekitError, ParameterError, TraceError, brief
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.reader import inspect_trace
from decodekit.trace.rebuild import require_noise
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Verdict
from decodekit.trace.verifying import same_tokenizer, verify
from decodekit.types import PathLike

__all__ = ["Source", "read_sources"]


@dataclass(frozen=True)
class Source:
    """One trace of a report.

    Args:
        name: the file's, or 'run 1'.
        trace: the steps that could be read.
        verdict: of the verification without the model.
        fault: what was wrong with the file behind these steps; '' for nothing.
        tokenizer: that of the run, or None.
        foreign: whether a tokenizer was given that is not the run's.
    """

    name: str
    trace: Trace
    verdict: Verdict
    fault: str
    tokenizer: Tokenizer | None
    foreign: bool


def read_sources(traces: Any, tokenizer: Tokenizer | None) -> list[Source]:
    """Read and verify what was given.

    Args:
        traces: a `Trace`, a `Result`, the path of a trace, or a sequence of them.
        tokenizer: for the texts of tokens. A trace of a run with another tokenizer gets none, which its page says.

    Raises:
        TraceError: a file has no usable header.
        ParameterError: there is no trace, or something else was given; the tokenizer is that of none of the runs.
    """
    alone = isinstance(traces, Trace | str | os.PathLike) or hasattr(traces, "trace")
    if not alone and not isinstance(traces, Sequence):
        raise ParameterError(f"a report is made of traces, results and paths of traces, not of {brief(traces)}")
    given: Sequence[Any] = [traces] if alone else traces
    if not given:
        raise ParameterError("a report needs one trace at least")
    sources = _named_apart([_source(each, number, tokenizer) for number, each in enumerate(given, 1)])
    if tokenizer is not None and all(source.tokenizer is None for source in sources):
        same_tokenizer(sources[0].trace, tokenizer)
    return sources


def _named_apart(sources: list[Source]) -> list[Source]:
    """The same, with a number behind a name that stood before."""
    seen: Counter[str] = Counter()
    named = []
    for source in sources:
        seen[source.name] += 1
        again = seen[source.name]
        named.append(source if again == 1 else replace(source, name=f"{source.name} ({again})"))
    return named


def _source(given: Any, number: int, tokenizer: Tokenizer | None) -> Source:
    held = getattr(given, "trace", given)
    if isinstance(held, Trace):
        trace, fault, name = held, None, f"run {number}"
    elif isinstance(held, str | os.PathLike):
        trace, fault = inspect_trace(held)
        name = Path(held).name
    else:
        raise ParameterError(f"a report is made of traces, results and paths of traces, not of {brief(given)}")
    verdict = _verdict(held if fault is not None else trace)
    own = tokenizer if tokenizer is not None and _fits(trace, tokenizer) else None
    return Source(name, trace, verdict, "" if fault is None else str(fault), own, foreign=own is not tokenizer)


def _verdict(trace: Trace | PathLike) -> Verdict:
    """That of `verify`; 'failed' where a damaged record cannot be verified at all."""
    if isinstance(trace, Trace):
        require_noise(trace)
    try:
        return verify(trace)
    except TraceError:
        raise
    except DecodekitError as error:
        return Verdict("failed", None, str(error))


def _fits(trace: Trace, tokenizer: Tokenizer) -> bool:
    recorded = trace.header.adapter.get("tokenizer_fingerprint")
    return not recorded or recorded == tokenizer.fingerprint
