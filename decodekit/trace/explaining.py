"""The explanation of a step within its trace: with the text before it, and whether its draw is proved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explanation import Explanation, explain_step
from decodekit.trace.trace import Trace
from decodekit.trace.verifying import verify

__all__ = ["end_of", "explain_in", "read_ids", "text_before"]

_CONTEXT = 40  # characters of the text before


def explain_in(trace: Trace, at: int, tokenizer: Tokenizer | None, verified: str | None = None) -> Explanation:
    """The explanation of a step within its trace: with the text before it, and whether its draw is proved.

    Args:
        trace: one sequence.
        at: the index of the step in ``trace.steps``.
        tokenizer: for the texts of tokens.
        verified: the word of `decodekit.verify` for the step, where it is known, or '' to leave it out; None to verify
            the trace.
    """
    before, word = text_before(trace, at, tokenizer), str(verify(trace).words[at]) if verified is None else verified
    return explain_step(trace.steps[at], trace.header.chain, tokenizer, before=before, verified=word)


def text_before(trace: Trace, at: int, tokenizer: Tokenizer | None) -> str:
    """The end of what the model had read, safe to show: the prompt and the tokens so far. '' where it is not known."""
    stream = trace.steps[at].stream
    own = (trace.steps[place].token_id for place in range(at - 1, -1, -1) if trace.steps[place].stream == stream)
    try:
        prompt = trace.prompt_of(stream)
    except DecodekitError:  # a damaged record
        return ""
    return end_of(read_ids(prompt, list(islice(own, _CONTEXT + 1))[::-1]), tokenizer)


def read_ids(prompt: Sequence[int], written: Sequence[int]) -> list[int]:
    """The last ids that the model had read: as many as `end_of` shows, and one more."""
    return [*prompt[-_CONTEXT - 1 :], *written[-_CONTEXT - 1 :]][-_CONTEXT - 1 :]


def end_of(ids: Sequence[int], tokenizer: Tokenizer | None) -> str:
    """The end of the text of these ids, safe to show. '' where it is not known."""
    if tokenizer is None:
        return ""
    try:
        read = tokenizer.decode(ids[-_CONTEXT:]).decode("utf-8", "ignore")
    except DecodekitError:  # a server that is not there any more
        return ""
    shown = safe_text(read[-_CONTEXT:])
    return f"...{shown}" if len(ids) > _CONTEXT or len(read) > _CONTEXT else shown
