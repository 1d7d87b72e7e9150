"""Where a step comes from: what its explanation shows besides its own record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explaining import end_of, read_ids
from decodekit.trace.explanation import Explanation, explain_step
from decodekit.trace.header import Header
from decodekit.trace.step import Step
from decodekit.trace.verifying import word_alone

__all__ = ["StepOrigin"]


class StepOrigin:
    """The run of a step. A copy of a step has none, and neither has a step that was read from a file.

    Args:
        header: of the run.
        tokenizer: the model's.
        prompt: the token ids of the prompt.
        output: the tokens before the step.
    """

    __slots__ = ("_header", "_output", "_prompt", "_tokenizer")

    def __init__(
        self, header: Header, tokenizer: Tokenizer | None, prompt: Sequence[int], output: Sequence[int]
    ) -> None:
        self._header, self._tokenizer, self._prompt, self._output = header, tokenizer, prompt, output

    def explain(self, step: Step, tokenizer: Tokenizer | None) -> Explanation:
        """The explanation of the step; its texts by the given tokenizer, or by that of the run."""
        known = tokenizer or self._tokenizer
        before = end_of(read_ids(self._prompt, self._output), known)
        word = word_alone(self._header, step)
        return explain_step(step, self._header.chain, known, before=before, verified=word)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()
