"""What the ids of a trace stand for, where that was made up by the tokenizer of the run and has to be learnt anew."""

from __future__ import annotations

from decodekit.errors import ParameterError
from decodekit.model.adapter import Adapter
from decodekit.trace.header import Trace

__all__ = ["relearn"]


def relearn(adapter: Adapter, trace: Trace) -> None:
    """Tell the adapter's tokenizer what the trace knows, if it is one that has to be told: it has a ``relearn``.

    Such a tokenizer makes its ids up, for a server that takes texts or messages and no ids.

    Args:
        adapter: whose tokenizer it is.
        trace: the prompts as they were given, and what each step's schedule says of its tokens.

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
