"""The explanation of a step within its trace: with the text before it, and whether its draw is proved."""

from __future__ import annotations

from itertools import islice

from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explanation import Explanation, explain_step
from decodekit.trace.trace import Trace
from decodekit.trace.verifying import verify

__all__ = ["explain_in", "text_before"]

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
    if tokenizer is None:
        return ""
    stream = trace.steps[at].stream
    own = (trace.steps[place].token_id for place in range(at - 1, -1, -1) if trace.steps[place].stream == stream)
    written = list(islice(own, _CONTEXT + 1))[::-1]
    try:
        ids = [*trace.prompt_of(stream)[-_CONTEXT - 1 :], *written]
        read = tokenizer.decode(ids[-_CONTEXT:]).decode("utf-8", "ignore")
    except DecodekitError:  # a server that is not there any more, or a damaged record
        return ""
    shown = safe_text(read[-_CONTEXT:])
    return f"...{shown}" if len(ids) > _CONTEXT or len(read) > _CONTEXT else shown
