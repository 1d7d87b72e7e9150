"""Verifying a trace without the model: does each choice follow from what was recorded?

Only the samplers of the core run here, and no plugin unless ``chain=True`` asks for the processors too. Nothing here
proves that the raw row came from the model; a live replay compares that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from decodekit.distribution import AMBIGUITY
from decodekit.draw.context import TokenIds
from decodekit.errors import ConfigError, DecodekitError
from decodekit.trace.header import Trace
from decodekit.trace.reader import inspect_trace
from decodekit.trace.rebuild import chain_of, require_noise
from decodekit.trace.redraw import check_word, compare, is_close, redraw
from decodekit.trace.reproducing import Rerun, TokenizerAsked, reproduce
from decodekit.trace.step import Step
from decodekit.trace.verdict import STRENGTH, Finding, Verdict, Word

__all__ = ["verify"]


def verify(trace: Trace | str | os.PathLike[str], *, chain: bool = False) -> Verdict:
    """Check every step of a trace.

    Args:
        trace: a trace, or the path of one. What precedes a fault in the file is verified too.
        chain: run the recorded chain again on raw rows (level 'full'), stateful parts and samplers that are not of the
            core included; this loads the plugins the header names. Where one is missing or of another version, the
            steps are 'consistent'.

    Raises:
        TraceError: the file has no usable header, or its noise is of an unknown kind.
    """
    fault = None
    if not isinstance(trace, Trace):
        trace, fault = inspect_trace(trace)
    if fault is None:
        require_noise(trace)
    rerun, missing = None, ""
    if chain:
        try:
            rerun = Rerun(chain_of(trace))
        except ConfigError as error:
            missing = str(error)
    outputs: dict[int, TokenIds] = {}
    findings = [_verify_step(trace, step, outputs, rerun, missing) for step in trace.steps]
    words = tuple(word for word, _ in findings)
    counts: dict[Word, int] = dict(Counter(words))
    worst = min(range(len(words)), key=lambda i: STRENGTH.index(words[i]), default=None)
    if fault is not None and not fault.torn:
        return Verdict("failed", fault.step, str(fault), {**counts, "failed": counts.get("failed", 0) + 1}, words)
    if worst is not None and words[worst] == "failed":
        return Verdict("failed", trace.steps[worst].index, findings[worst][1], counts, words)
    if trace.footer is None:
        reason = str(fault) if fault else "there is no footer: the run did not end in order"
        return Verdict("incomplete", len(trace.steps), f"{reason}; {_summary(counts)}", counts, words)
    if worst is None:
        return Verdict("proved", None, "there are no steps to prove")
    word, why = findings[worst]
    sound = word in ("proved", "reproduced")
    return Verdict(word, None if sound else trace.steps[worst].index, why or _summary(counts), counts, words)


def _verify_step(
    trace: Trace, step: Step, outputs: dict[int, TokenIds], rerun: Rerun | None, missing: str
) -> tuple[Word, str]:
    so_far = outputs.setdefault(step.stream, TokenIds())
    outputs[step.stream] = so_far.append(step.token_id)
    try:
        if step.index != len(so_far):
            raise Finding("failed", f"stream {step.stream} goes from step {len(so_far) - 1} to step {step.index}")
        word, why = _drawn_again(trace, step)
        if rerun is not None:
            reproduce(trace, step, so_far, rerun)
            return (word, why) if word == "ambiguous" else ("reproduced", "")
        return ("consistent", missing) if missing and word == "proved" else (word, why)
    except Finding as finding:
        return finding.word, finding.why
    except DecodekitError as error:
        if isinstance(error.__cause__, TokenizerAsked):
            return "consistent", "a part of the chain needs the tokenizer, which no trace holds; replay it instead"
        return "failed", f"step {step.index} cannot be drawn again: {error}"


def _drawn_again(trace: Trace, step: Step) -> tuple[Word, str]:
    """'proved', 'ambiguous' or 'consistent', from the recorded final scores alone; raises what failed."""
    try:
        again = redraw(trace, step)
    except Finding as finding:
        check_word(trace, step)  # nothing to draw from, but the word itself can be checked
        if finding.word == "failed":
            raise
        return finding.word, finding.why
    if is_close(step, again):
        return "ambiguous", f"the margin of step {step.index} is {step.choice.margin:.3g}, below {AMBIGUITY}"
    compare(step, again)
    return "proved", ""


def _summary(counts: Mapping[Word, int]) -> str:
    return ", ".join(f"{count} steps {word}" for word, count in counts.items()) or "no steps"
