"""Traces: the record of a run, token by token, in a form that can be checked without the model."""

from decodekit.trace.differences.difference import Difference
from decodekit.trace.differences.diffing import diff
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.reader import TraceReader, open_trace, read_trace, recover
from decodekit.trace.replaying import ReplayReport, ReplayStep, replay
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Verdict
from decodekit.trace.verifying import verify
from decodekit.trace.writer import TraceWriter

__all__ = [
    "Difference",
    "Footer",
    "Header",
    "ReplayReport",
    "ReplayStep",
    "Resumption",
    "SequenceEnd",
    "Trace",
    "TraceReader",
    "TraceWriter",
    "Verdict",
    "diff",
    "open_trace",
    "read_trace",
    "recover",
    "replay",
    "verify",
]
