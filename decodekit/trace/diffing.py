"""Comparing two traces: the first step where they part, and the first cause of it in the order of the computation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decodekit.errors import DecodekitError, TraceError
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.difference import Difference
from decodekit.trace.difference_parts import Cause, FieldDifference, Parting, SequenceDifference, Side
from decodekit.trace.drifting import drift_before
from decodekit.trace.ended import reasons_to_end
from decodekit.trace.header_diff import header_fields
from decodekit.trace.pairing import Pair, Run, ids_mean_the_same, pairs_of
from decodekit.trace.reader import read_trace
from decodekit.trace.reasons import Meeting, Reason, other_vocabulary, reasons_of
from decodekit.trace.stage_diff import Stages
from decodekit.trace.stage_values import final_values
from decodekit.trace.step import Step
from decodekit.trace.swapping import is_sound
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["diff"]


def diff(a: Trace | PathLike, b: Trace | PathLike, *, tokenizer: Tokenizer | None = None) -> Difference:
    """Lay two traces beside each other, and find the first step where they part and why. No model is asked.

    Sequences are paired by stream and by prompt. Of several causes the first in the order of the computation is named:
    configuration, tokenisation, distribution, processors, draw, choice, end. A setting that differs is a cause only if
    it acts at that step: if the first trace keeps its token with the second one's seed, sampler or scores, that is
    none. A drift of the final log-probabilities explains another token if twice the drift reaches the margin, as in
    `decodekit.replay`.

    Args:
        a, b: traces, or the paths of their files.
        tokenizer: of both runs, for the texts of prompts.

    Raises:
        TraceError: a file cannot be read, is damaged, or holds two runs; a trace has no steps because of its level or
            because they were streamed into a file.
    """
    first, second = (_run(given, name) for given, name in ((a, "the first"), (b, "the second")))
    fields = header_fields(first.header, second.header)
    ids_agree = ids_mean_the_same(first, second)
    pairs, only_a, only_b = pairs_of(first, second)
    compare = _Comparison(first, second, fields, ids_agree, tokenizer)
    sequences = tuple(compare.sequence(pair) for pair in pairs)
    notes = tuple(_notes(first, second, ids_agree))
    return _named(sequences, fields, tuple(only_a), tuple(only_b), notes)


def _named(
    sequences: tuple[SequenceDifference, ...],
    fields: Sequence[FieldDifference],
    only_a: tuple[int, ...],
    only_b: tuple[int, ...],
    notes: tuple[str, ...],
) -> Difference:
    """The difference: the sequence that parts at the lowest step is named, of several the first."""
    parted = [each for each in sequences if each.cause != "none"]
    first = min(parted, key=lambda each: each.step or 0, default=None)
    found: tuple[Cause, str, int | None, str]
    if first is not None:
        found = first.cause, first.where, first.step, first.why
    elif only_a or only_b:
        why = f"{len(only_a)} sequences are only in the first trace, and {len(only_b)} only in the second"
        found = "configuration", "sequences", None, why
    else:
        found = "none", "", None, ""
    cause, where, step, why = found
    made = Difference(
        equal=cause == "none", cause=cause, where=where, step=step, why=why,
        stream_a=None if first is None else first.stream_a, stream_b=None if first is None else first.stream_b,
        fields=tuple(replace(each, mattered=each.field == where) for each in fields),
        sequences=sequences, only_a=only_a, only_b=only_b, notes=notes,
    )  # fmt: skip
    return made if why else replace(made, why=made.unimportant)


class _Comparison:
    """Compares pairs of sequences of two runs."""

    def __init__(
        self, a: Run, b: Run, fields: Sequence[FieldDifference], ids_agree: bool, tokenizer: Tokenizer | None
    ) -> None:
        self._a, self._b, self._fields, self._ids_agree, self._tokenizer = a, b, fields, ids_agree, tokenizer
        self._stages = Stages(a.trace, b.trace, ids_agree=ids_agree)

    def sequence(self, pair: Pair) -> SequenceDifference:
        """One pair."""
        a, b = self._a.steps[pair.a], self._b.steps[pair.b]
        at = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if not self._equal(one, other)), None)
        if at is None and len(a) != len(b):
            at = min(len(a), len(b))
        before = drift_before(self._stages, a[:at], b[:at])
        parting, reasons = None, list[Reason]()
        if at is not None:
            parting, reasons = self._parting(pair, at)
        elif not self._ids_agree:
            at, reasons = self._other_ids(a, b)
        named = next((reason for reason in reasons if reason.matters), None)
        return SequenceDifference(
            stream_a=pair.a, stream_b=pair.b, paired_by=pair.by,
            aligned_by="ids" if self._ids_agree else "texts",
            tokens_a=len(a), tokens_b=len(b), equal=named is None,
            same_text="".join(step.text for step in a) == "".join(step.text for step in b),
            cause="none" if named is None else named.cause,
            where="" if named is None else named.where,
            step=None if named is None else at,
            why="" if named is None else named.why,
            also=tuple(reason.why for reason in reasons if reason is not named),
            before=before, parting=parting,
        )  # fmt: skip

    def _equal(self, a: Step, b: Step) -> bool:
        return a.token_id == b.token_id if self._ids_agree else a.text == b.text

    def _other_ids(self, a: Sequence[Step], b: Sequence[Step]) -> tuple[int | None, list[Reason]]:
        """Where tokens of another vocabulary begin, in sequences that no text tells apart."""
        pairs = list(zip(a, b, strict=True))
        at = next((i for i, (one, other) in enumerate(pairs) if one.token_id != other.token_id), None)
        if pairs and not any(step.text for step in (*a, *b)):
            return 0, [other_vocabulary(self._fields, "no texts are recorded, and the vocabularies differ")]
        text = "the texts are equal, and their tokens have other ids: another vocabulary"
        return at, [] if at is None else [other_vocabulary(self._fields, text)]

    def _parting(self, pair: Pair, at: int) -> tuple[Parting, list[Reason]]:
        a, b = self._a.steps[pair.a], self._b.steps[pair.b]
        sides = _side(self._a, pair.a, at), _side(self._b, pair.b, at)
        if at >= len(a) or at >= len(b):
            ended, stream, other = (self._a, pair.a, self._b) if at >= len(a) else (self._b, pair.b, self._a)
            return Parting(*sides, (), None, None, None), reasons_to_end(ended, stream, other, self._fields)
        stages = self._stages.of(a[at], b[at])
        drift = stages[-1].drift if stages else None
        margins = [side.margin for side in sides if side.margin is not None]
        parting = Parting(*sides, stages, drift, min(margins, default=None), _explained(a[at], b[at], drift, margins))
        meeting = Meeting(
            self._a.trace, self._b.trace, a[at], b[at], self._fields, parting, self._ids_agree, self._prompts(pair)
        )
        return parting, reasons_of(meeting)

    def _prompts(self, pair: Pair) -> str:
        """How the prompts differ, in a sentence; '' if they do not."""
        a, b = self._a.trace.prompt_of(pair.a), self._b.trace.prompt_of(pair.b)
        if a == b:
            return ""
        given = _given(self._a, pair.a), _given(self._b, pair.b)
        same = given[0] is not None and given[0] == given[1]
        if self._tokenizer is not None and not same:
            try:
                same = self._tokenizer.decode(a) == self._tokenizer.decode(b)
            except DecodekitError:  # an id that this tokenizer does not have
                same = False
        if same:
            return f"the same prompt has other ids: {len(a)} and {len(b)} tokens"
        at = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
        return f"the prompts differ from token {at} on; they have {len(a)} and {len(b)} tokens"


def _run(given: Trace | PathLike, name: str) -> Run:
    trace = given if isinstance(given, Trace) else read_trace(given)
    if trace.header.level == "none":
        raise TraceError(f"{name} run was made with level 'none': nothing was recorded")
    wrong = None if trace.footer is None else trace.wrong_ends()
    if wrong is not None:
        raise TraceError(f"{name} trace: {wrong}")
    return Run(trace, name)


def _side(run: Run, stream: int, at: int) -> Side:
    steps = run.steps[stream]
    if at >= len(steps):
        return Side(
            index=at, token_id=None, text="", score=None, margin=None, runner_up=None, logprob=None, raw_logprob=None,
            rank=None, seed=run.header.seed, stream=stream, attempt=None, word=None,
            finish_reason=run.finish_reason(stream), sound=None,
        )  # fmt: skip
    step = steps[at]
    choice, draw, here = step.choice, step.draw, not run.trace.by_provider
    return Side(
        index=at, token_id=step.token_id, text=step.text,
        score=choice.score if here else None, margin=choice.margin if here else None, runner_up=choice.runner_up,
        logprob=choice.logprob, raw_logprob=choice.raw_logprob, rank=choice.rank,
        seed=run.header.seed, stream=stream,
        attempt=None if draw is None else draw.attempt, word=None if draw is None else f"{draw.word:016x}",
        finish_reason=None, sound=is_sound(run.trace, step),
    )  # fmt: skip


def _explained(a: Step, b: Step, drift: float | None, margins: Sequence[float]) -> bool | None:
    """Whether twice the drift reaches both margins; None where a final score of one of the two tokens is not known."""
    tokens = {a.token_id, b.token_id}
    known = all(tokens <= set(final_values(step).ids.tolist()) for step in (a, b))
    if drift is None or not known or len(margins) < 2:
        return None
    return 2 * drift >= max(margins)


def _given(run: Run, stream: int) -> object:
    place = dict(run.header.sequences)[stream]
    given = run.header.given or []
    return given[place] if place < len(given) else None


def _notes(a: Run, b: Run, ids_agree: bool) -> list[str]:
    """What was not recorded, or cannot be compared."""
    notes = []
    for run in (a, b):
        if run.header.level == "choice":
            notes.append(f"{run.name} is of level 'choice': its final scores are not recorded")
        if run.trace.by_provider:
            notes.append(f"the tokens of {run.name} were drawn by a provider: its noise is not known")
        if run.trace.footer is None:
            notes.append(f"{run.name} has no recorded end")
        for resumption in run.trace.resumed:
            other = "" if resumption.adapter == run.header.adapter else " with another adapter"
            notes.append(f"{run.name} was resumed after {resumption.steps} steps{other}")
    if (a.header.level == "full") != (b.header.level == "full"):
        notes.append("only one of them is of level 'full': the model's answers are compared by their leading tokens")
    if not ids_agree:
        notes.append("the same ids are other tokens in the two traces: texts are compared, and no scores")
    return notes
