"""Decoding the texts of a trace again, with the tokenizer of the run."""

from __future__ import annotations

from collections import Counter

from decodekit.text.token_text import TokenText
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.branches import check_spelling
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["RecordedTexts"]


class RecordedTexts:
    """Follows the steps of a trace, in order.

    Args:
        trace: has the stop strings and the ids that end a text.
        tokenizer: the run's.
        counts: how many steps each stream has.
    """

    def __init__(self, trace: Trace, tokenizer: Tokenizer, counts: Counter[int]) -> None:
        stop = trace.header.stop
        self._tokenizer = tokenizer
        strings, ends = tuple(stop.get("strings") or ()), tokenizer.eos_ids | frozenset(stop.get("ids") or ())
        self._streams = {stream: TokenText(tokenizer, strings, ends) for stream, _ in trace.header.sequences}
        self._left = counts.copy()

    def check(self, step: Step) -> None:
        """Compare a step's text. If the run ended with this step, text that was held back is in it too.

        Raises:
            Finding: the text differs, or an abandoned branch does not spell its phrase.
        """
        check_spelling(step, self._tokenizer)
        stream = self._streams[step.stream]
        self._left[step.stream] -= 1
        possible = [stream.take(step.token_id)]
        if self._left[step.stream] == 0:
            possible.append(possible[0] + stream.finish())
        if step.text not in possible:
            raise Finding("failed", f"the text of step {step.index} is {possible[-1]!r}, the record says {step.text!r}")
