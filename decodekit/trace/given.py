"""Ids of a trace that the tokenizer of the run made itself: a new tokenizer must learn them from the trace."""

from __future__ import annotations

from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter
from decodekit.trace.trace import Trace

__all__ = ["relearn"]


def relearn(adapter: Adapter, trace: Trace) -> None:
    """Give the ids and texts of a trace to the adapter's tokenizer, if it has a method ``relearn``.

    Such a tokenizer makes its own ids, because the server takes texts or messages and no ids.

    Args:
        adapter: the adapter.
        trace: has the prompts as they were given, and the texts of tokens in each step's schedule.

    Raises:
        ParameterError: a prompt has other ids now than in the trace.
    """
    tokenizer = adapter.tokenizer
    learn = getattr(tokenizer, "relearn", None)
    if tokenizer is None or learn is None:
        return
    learn([step.schedule for step in trace.steps if step.schedule is not None])
    for index, (given, ids) in enumerate(zip(trace.header.given or (), trace.header.prompts, strict=False)):
        if given is None:
            continue
        made = tokenizer.encode(given) if isinstance(given, str) else tokenizer.encode_messages(given)
        if ids[len(ids) - len(made) :] != made:
            raise ParameterError(f"prompt {index} has other ids than in the trace: another model, or another tokenizer")
