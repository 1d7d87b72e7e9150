"""The result of a generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from decodekit.errors import DecodekitError, ParameterError, brief, pickles
from decodekit.session.schema import Schema
from decodekit.text.counted import counted
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tool_call import ToolCall
from decodekit.trace.by_value import ByValue
from decodekit.trace.explaining import explain_in
from decodekit.trace.explanation import Explanation
from decodekit.trace.facts import sampler_of
from decodekit.trace.notebook import MOST_TOKENS, as_html
from decodekit.trace.step import FinishReason, Step
from decodekit.trace.token_list import Token, tokens_of
from decodekit.trace.trace import Trace
from decodekit.trace.verifying import verify

__all__ = ["Result", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sequence used.

    Args:
        prompt_tokens: of the prompt; None where they are not known: on a server of texts, without ``tokenizer=``.
        completion_tokens: that were generated. Where the provider draws, as it reports; where it does not, the recorded
            ones, which may be pieces of text, without those of calls of tools.
        cached_tokens: those of the prompt that needed no evaluation when it was first asked for: the adapter's cache
            held them, or the server reported so. None where the adapter does not say.
    """

    prompt_tokens: int | None
    completion_tokens: int
    cached_tokens: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Result(ByValue):
    """The result of one sequence of a generation. It can be pickled; the copy is equal, and has no tokenizer.

    Args:
        text: the text, without the end-of-text token and without a matched stop string.
        token_ids: all ids, the end-of-text token and those of a stop string included.
        finish_reason: 'stop', 'tool_calls' (a provider's model calls tools), 'length' (``max_tokens`` is reached),
            'context' (the model's context is full), 'deadline', 'cancelled' or 'error'.
        seed: the seed of the run; a random one if none was given.
        trace: every step of the run; in a batch, of all its sequences.
        stream: which sequence of the run this is.
        error: what ended it, when the reason is 'error'.
        usage: the numbers of tokens.
        complete: whether the text is a whole one by the constraints of the chain; False for one that was cut, None
            without constraints.
        schema: of the call.
        parts: of a complete text, those that the schema constrains: what follows the thinking, or each call of a tool;
            None where there is no schema, or it constrains the whole text.
        tool_calls: of the ``tools`` of the call. A call that was cut has ``complete`` False.
        tokenizer: the model's, for the texts in `tokens` and `explain`.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    seed: int
    trace: Trace
    stream: int = 0
    error: DecodekitError | None = None
    usage: Usage = Usage(None, 0, None)
    complete: bool | None = None
    schema: Schema | None = field(default=None, compare=False)
    parts: tuple[str, ...] | None = field(default=None, compare=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tokenizer: Tokenizer | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        more = f", stream={self.stream}" if self.stream else ""
        more += f", calls {', '.join(call.name for call in self.tool_calls)}"[:80] if self.tool_calls else ""
        more += "" if self.error is None else f", error={type(self.error).__name__}"
        more += ", drawn by the provider" if self.trace.by_provider else ""
        return (
            f"Result({text!r}, {counted(len(self.token_ids), 'token')}, {self.finish_reason!r}, seed={self.seed}{more})"
        )

    @property
    def parsed(self) -> Any:
        """The value of the text by the ``schema`` of the call; None without a schema, and for a text that was cut.

        Raises:
            ParameterError: a check that a pydantic model makes in code refuses the value, or Python cannot hold it.
        """
        if self.schema is None or not self.complete:
            return None
        return self.schema.value(self.text, self.parts)

    @property
    def log_weight(self) -> float | None:
        """log p - log q, in nats: the importance weight of a text drawn from q, for the model's own law p.

        Where a constraint is the whole chain it is the sum of log Z over the steps. The mean of ``exp(log_weight)``
        over finished texts, the others counted as 0, is an unbiased estimate of the probability that the model itself
        writes a text of the constraint, if the chain removes nothing else. None where a probability is not known, the
        sampler does not draw from q, branches were taken back, or the steps were not kept.
        """
        own = [step for step in self.trace.steps if step.stream == self.stream]
        if sampler_of(self.trace.header) not in ("multinomial", "inverse_cdf") or len(own) < len(self.token_ids):
            return None
        total = 0.0
        for step in own:
            raw, final = step.choice.raw_logprob, step.choice.logprob
            if raw is None or final is None or step.abandoned:
                return None
            total += raw - final
        return total

    @property
    def tokens(self) -> list[Token]:
        """The tokens one by one, with the log-probabilities that the model gave. Their texts, joined, are `text`.

        Where the steps were not kept (``level="none"``, or a streamed run), there are texts and ids alone.
        """
        return tokens_of(self.trace, self.stream, self.token_ids, self.tokenizer)

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the assistant, with its calls: to go on with the conversation."""
        calls = [call.as_message_part() for call in self.tool_calls]
        said: dict[str, Any] = {"role": "assistant", "content": self.text}
        return {**said, "content": self.text or None, "tool_calls": calls} if calls else said

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON types, without the trace; ``error`` is its message, or None."""
        return {
            "text": self.text,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "tool_calls": [call.to_dict() for call in self.tool_calls],
            "complete": self.complete,
            "error": None if self.error is None else str(self.error),
            "seed": self.seed,
            "stream": self.stream,
            "usage": asdict(self.usage),
        }

    def explain(self, step: int | Step = -1) -> Explanation:
        """Why a token was chosen: a table of text with ``str``, of HTML in a notebook.

        Args:
            step: its index in this sequence, or the step; a negative number counts from the end.

        Raises:
            ParameterError: there is no such step, or the steps were not kept.
        """
        trace = self._own_trace()
        own = trace.steps
        at: object = step.index if isinstance(step, Step) else step
        if not isinstance(at, int) or isinstance(at, bool):
            raise ParameterError(f"explain takes a step, or the number of one, not {brief(at)}")
        if not -len(own) <= at < len(own):
            why = "none was made" if not self.token_ids else "none was kept (level='none', or a streamed run)"
            there = f"there are steps 0 to {len(own) - 1}" if own else why
            raise ParameterError(f"explain: there is no step {at}; {there}")
        if isinstance(step, Step) and not _same(step, own[at]):
            raise ParameterError(
                f"explain: this is step {at} of another sequence or run; ask its own result, or use step.explain()"
            )
        return explain_in(trace, at % len(own), self.tokenizer)

    def to_html(self) -> str:
        """Its text with coloured tokens and its closest decisions, as static HTML; every text is escaped.

        At most 2,000 tokens are shown; what is left out is said.
        """
        trace, check = self._own_trace(), "no steps were kept"
        words: Sequence[str] = ()
        if len(trace.steps) > MOST_TOKENS:
            check = f"not done here for more than {MOST_TOKENS} steps; decodekit.verify(result.trace) does it"
        elif trace.steps:
            verdict = verify(trace)
            words = verdict.words
            check = ", ".join(f"{count} {word}" for word, count in verdict.counts.items())
        footer = trace.footer
        own = [] if footer is None else [end for end in footer.ends if end.stream == self.stream]
        return as_html(
            trace.header,
            trace.steps,
            None if footer is None else replace(footer, ends=own),
            check=check,
            explain=lambda at: explain_in(trace, at, self.tokenizer, words[at] if words else ""),
            text=self.text,
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def _own_trace(self) -> Trace:
        """The trace with the steps of this sequence alone."""
        own = [step for step in self.trace.steps if step.stream == self.stream]
        return Trace(self.trace.header, own, self.trace.footer)

    def __reduce__(self) -> tuple[Any, ...]:
        left_out = ["tokenizer"] if pickles(self.schema) else ["schema", "tokenizer"]
        return _copied, ({each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out},)


def _copied(values: dict[str, Any]) -> Result:
    return Result(**values)


def _same(step: Step, own: Step) -> bool:
    """Whether it is this step or a copy of it, such as the one that was streamed."""
    return step is own or (step.stream, step.token_id, step.choice) == (own.stream, own.token_id, own.choice)
