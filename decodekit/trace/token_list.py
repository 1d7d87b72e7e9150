"""The tokens of a sequence as a list: text, id and log-probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decodekit.errors import DecodekitError
from decodekit.text.token_text import TokenText
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.named_texts import named_texts
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["Token", "tokens_of"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Args:
        text: what it added to the text; for one of `top`, its own bytes, with escapes for those that are no UTF-8.
        id: the token's id.
        logprob: as the model gave it, in nats, before the chain, as providers report it; None where that is not
            recorded. It is `raw_logprob` in `Trace.to_rows` and in `Step.choice`, whose ``logprob`` is another number:
            that after the chain.
        top: the most likely tokens in its place, as the model gave them, with an empty ``top`` each.
    """

    text: str
    id: int
    logprob: float | None
    top: tuple[Token, ...] = ()

    @property
    def raw_logprob(self) -> float | None:
        """The same as ``logprob``, by the name that it has in rows and in choices."""
        return self.logprob


def tokens_of(trace: Trace, stream: int, token_ids: Sequence[int], tokenizer: Tokenizer | None) -> list[Token]:
    """The tokens of one sequence.

    Args:
        trace: has its steps, or none.
        stream: the sequence's.
        token_ids: its tokens.
        tokenizer: for the texts of other tokens, and of all where there are no steps; without one they are ''.
    """
    steps = [step for step in trace.steps if step.stream == stream]
    if len(steps) == len(token_ids):
        return [_of(step, tokenizer) for step in steps]
    texts = _texts(trace, token_ids, tokenizer)
    return [Token(text, token_id, None) for text, token_id in zip(texts, token_ids, strict=True)]


def _of(step: Step, tokenizer: Tokenizer | None) -> Token:
    named = named_texts(step.schedule)
    texts = [(named[each] if each in named else _own_text(tokenizer, each), each) for each, _ in step.raw.top]
    top = tuple(Token(*each, logprob) for each, (_, logprob) in zip(texts, step.raw.top, strict=True))
    return Token(step.text, step.token_id, step.choice.raw_logprob, top)


def _own_text(tokenizer: Tokenizer | None, token_id: int) -> str:
    try:
        piece = tokenizer.token_bytes(token_id) if tokenizer is not None else None
    except DecodekitError:  # a server that is not there any more
        piece = None
    return (piece or b"").decode("utf-8", "backslashreplace")


def _texts(trace: Trace, token_ids: Sequence[int], tokenizer: Tokenizer | None) -> list[str]:
    """What each token added to the text, found again."""
    stop = trace.header.stop
    eos = frozenset[int]() if tokenizer is None else tokenizer.eos_ids
    stream = TokenText(tokenizer, tuple(stop.get("strings") or ()), eos | frozenset(stop.get("ids") or ()))
    texts = [stream.take(token_id) for token_id in token_ids]
    held = stream.finish()
    return [*texts[:-1], texts[-1] + held] if texts else []
