"""A run as a story: its facts, its sequences, and its tokens as columns, compact enough for runs of many tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explanation import labels_for, margin_unit
from decodekit.trace.facts import facts_of, sampler_of
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Verdict, Word
from decodekit.trace.verifying import verify
from decodekit.view.plain import PlainData

__all__ = ["RunStory", "SequenceStory", "Tokens", "run_story"]


@dataclass(frozen=True, slots=True)
class Tokens(PlainData):
    """The tokens of a run, each field a column of equal length, in the order in which they were made.

    Args:
        stream: which sequence each belongs to.
        step: the number of tokens generated before it.
        token_id: the tokens.
        text: what each added to the output, with newlines; '' while a character is incomplete.
        label: their own texts in quotes.
        surprisal: under the model, in nats; None where it is not known.
        drawn_surprisal: under the distribution that they were drawn from, in nats; None where it is not known.
        entropy: of the model's distribution, in nats; None where it is not known.
        rank: how many tokens the model found more likely; None where it is not known.
        margin: the distance to another outcome; None where nothing else was possible, or the provider drew.
        branches: how often text was taken back before it.
        verdict: the word of `decodekit.verify`.
    """

    stream: tuple[int, ...]
    step: tuple[int, ...]
    token_id: tuple[int, ...]
    text: tuple[str, ...]
    label: tuple[str, ...]
    surprisal: tuple[float | None, ...]
    drawn_surprisal: tuple[float | None, ...]
    entropy: tuple[float | None, ...]
    rank: tuple[int | None, ...]
    margin: tuple[float | None, ...]
    branches: tuple[int, ...]
    verdict: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class SequenceStory(PlainData):
    """One sequence.

    Args:
        stream: its stream.
        prompt: the text of its prompt; None where it is not known.
        prompt_tokens: how many tokens that is.
        tokens: how many tokens were recorded of it.
        finish_reason: why it ended; None if the run has no recorded end.
        error: the message of the error that it ended in, or None.
        tool_calls: the calls of tools in it, a line each.
    """

    stream: int
    prompt: str | None
    prompt_tokens: int
    tokens: int
    finish_reason: str | None
    error: str | None
    tool_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStory(PlainData):
    """A run. Every text in it is safe to show: no control, bidi or invisible character is in it.

    Args:
        facts: (name, sentence) of the model, the chain, the seed and the versions.
        sequences: in the order of the header.
        tokens: of all sequences.
        margin_unit: 'nats', 'mass' or ''.
        verdict: the word of `decodekit.verify` for the run.
        why: its reason, in a sentence.
    """

    facts: tuple[tuple[str, str], ...]
    sequences: tuple[SequenceStory, ...]
    tokens: Tokens
    margin_unit: str
    verdict: Word
    why: str


def run_story(trace: Trace, tokenizer: Tokenizer | None = None, *, verdict: Verdict | None = None) -> RunStory:
    """The story of a run.

    Args:
        trace: the run.
        tokenizer: for the texts of tokens and prompts; without it, their ids, and the steps' own texts.
        verdict: that of the trace, if the caller has it.

    Raises:
        TraceError: nothing was recorded, or the random numbers are of an algorithm that this version does not know.
    """
    found = verdict if verdict is not None else verify(trace)
    return RunStory(
        facts=tuple((name, safe_text(fact)) for name, fact in facts_of(trace.header)),
        sequences=tuple(_sequences(trace, tokenizer)),
        tokens=_tokens(trace, tokenizer, found.words),
        margin_unit=margin_unit(sampler_of(trace.header)),
        verdict=found.word,
        why=safe_text(found.why),
    )


def _tokens(trace: Trace, tokenizer: Tokenizer | None, words: tuple[Word, ...]) -> Tokens:
    steps = trace.steps
    drawn = not trace.by_provider
    return Tokens(
        stream=tuple(step.stream for step in steps),
        step=tuple(step.index for step in steps),
        token_id=tuple(step.token_id for step in steps),
        text=tuple(safe_text(step.text, newlines=True) for step in steps),
        label=tuple(labels_for(step, tokenizer)(step.token_id) for step in steps),
        surprisal=_less(step.choice.raw_logprob for step in steps),
        drawn_surprisal=_less(step.choice.logprob for step in steps),
        entropy=tuple(step.raw.entropy for step in steps),
        rank=tuple(step.choice.rank for step in steps),
        margin=tuple(step.choice.margin if drawn and step.choice.margin < math.inf else None for step in steps),
        branches=tuple(len(step.abandoned) for step in steps),
        verdict=words,
    )


def _less(logprobs: Iterable[float | None]) -> tuple[float | None, ...]:
    """The surprisals; 0.0 and not -0.0 for a certain token."""
    return tuple(None if logprob is None else 0.0 - logprob for logprob in logprobs)


def _sequences(trace: Trace, tokenizer: Tokenizer | None) -> Iterable[SequenceStory]:
    ends = {} if trace.footer is None else {end.stream: end for end in trace.footer.ends}
    counts: dict[int, int] = {}
    for step in trace.steps:
        counts[step.stream] = counts.get(step.stream, 0) + 1
    for stream, at in trace.header.sequences:
        ids = trace.header.prompts[at] if 0 <= at < len(trace.header.prompts) else []
        end = ends.get(stream)
        yield SequenceStory(
            stream=stream,
            prompt=_prompt(ids, tokenizer),
            prompt_tokens=len(ids),
            tokens=counts.get(stream, 0),
            finish_reason=None if end is None else end.finish_reason,
            error=None if end is None or end.error is None else safe_text(end.error),
            tool_calls=() if end is None else tuple(call.line for call in end.tool_calls),
        )


def _prompt(ids: list[int], tokenizer: Tokenizer | None) -> str | None:
    if tokenizer is None:
        return None
    try:
        return safe_text(tokenizer.decode(ids).decode("utf-8", "backslashreplace"), newlines=True)
    except DecodekitError:  # a server that is not there any more, or a damaged record
        return None
