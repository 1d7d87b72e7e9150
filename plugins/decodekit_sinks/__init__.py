"""Sinks: where the steps of a run go besides files and memory. One idea a file."""

from decodekit_sinks.events import Events
from decodekit_sinks.spans import Spans

__all__ = ["Events", "Spans"]
