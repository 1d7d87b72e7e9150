"""Comparing two traces: the first step where they part, and the first cause of it in the order of the computation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decodekit.errors import DecodekitError, brief
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.differences.alongside import Lane, read_alongside
from decodekit.trace.differences.difference import Difference
from decodekit.trace.differences.ended import reasons_to_end
from decodekit.trace.differences.headers import header_fields
from decodekit.trace.differences.pairing import Pair, ids_mean_the_same, pairs_of
from decodekit.trace.differences.parts import Cause, FieldDifference, Parting, SequenceDifference, Side
from decodekit.trace.differences.reasons import Meeting, Reason, other_vocabulary, reasons_of
from decodekit.trace.differences.stages import Stages
from decodekit.trace.differences.swapping import is_sound
from decodekit.trace.differences.values import final_values
from decodekit.trace.opened import Opened
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.types import PathLike

__all__ = ["diff"]


def diff(a: Trace | PathLike, b: Trace | PathLike, *, tokenizer: Tokenizer | None = None) -> Difference:
    """Lay two traces beside each other, and find the first step where they part and why. No model is asked.

    Sequences are paired by stream and by prompt. Of several causes the first in the order of the computation is
    named: configuration, tokenisation, distribution, processors, draw, choice, end. A setting that differs is a
    cause only if it acts at that step: if each trace keeps its token with the other one's seed, sampler or scores,
    that is none. A drift of the final log-probabilities explains another token if twice the drift reaches the
    margin, as in `decodekit.replay`.

    Files are read in bounded memory if both have their sequences in one order; once, and twice where the fingerprints
    of their tokenizers differ.

    Args:
        a, b: traces, or the paths of their files.
        tokenizer: of both runs, for the texts of prompts.

    Raises:
        TraceError: a file cannot be read, is damaged, or holds two runs; a trace has no steps because of its level or
            because they were streamed into a file.
    """
    first, second = Opened(a, "the first"), Opened(b, "the second")
    fields = header_fields(first.header, second.header)
    ids_agree = ids_mean_the_same(first, second)
    pairs, only_a, only_b = pairs_of(first, second)
    stages = Stages(first.bare, second.bare, ids_agree=ids_agree)
    lanes = [Lane(pair, stages, ids_agree=ids_agree) for pair in pairs]
    read_alongside(first, second, lanes)
    compare = _Comparison(first, second, fields, stages, ids_agree, tokenizer)
    sequences = tuple(compare.sequence(lane) for lane in lanes)
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
    """Names the causes for pairs of sequences of two runs that were read."""

    def __init__(
        self, a: Opened, b: Opened, fields: Sequence[FieldDifference], stages: Stages, ids_agree: bool,
        tokenizer: Tokenizer | None,
    ) -> None:  # fmt: skip
        self._a, self._b, self._fields, self._stages = a, b, fields, stages
        self._ids_agree, self._tokenizer = ids_agree, tokenizer

    def sequence(self, lane: Lane) -> SequenceDifference:
        """One pair."""
        pair, parting, reasons = lane.pair, None, list[Reason]()
        at: int | None = None
        if lane.parted is not None:
            at = lane.parted[0].index
            parting, reasons = self._parted(pair, *lane.parted)
        elif lane.surplus is not None:
            at = min(lane.counts)
            parting, reasons = self._ended(lane, *lane.surplus)
        elif calls := self._other_calls(lane):
            at, reasons = lane.counts[0], calls
        elif not self._ids_agree and lane.counts[0]:
            at, reasons = self._other_ids(lane)
        named = next((reason for reason in reasons if reason.matters), None)
        return SequenceDifference(
            stream_a=pair.a, stream_b=pair.b, paired_by=pair.by,
            aligned_by="ids" if self._ids_agree else "texts",
            tokens_a=lane.counts[0], tokens_b=lane.counts[1], equal=named is None, same_text=lane.same_text,
            cause="none" if named is None else named.cause,
            where="" if named is None else named.where,
            step=None if named is None else at,
            why="" if named is None else named.why,
            also=tuple(reason.why for reason in reasons if reason is not named),
            before=lane.drifting.summary(), parting=parting,
        )  # fmt: skip

    def _other_calls(self, lane: Lane) -> list[Reason]:
        """The calls of tools after equal tokens, if they differ. Their ids are the providers' and count for nothing."""
        a, b = self._a.calls(lane.pair.a), self._b.calls(lane.pair.b)
        if a is None or b is None or a == b:
            return []
        told = f"the calls of tools differ: {brief(a)} and {brief(b)}"
        return [Reason("end", "tool_calls", told)]

    def _other_ids(self, lane: Lane) -> tuple[int | None, list[Reason]]:
        """Where tokens of another vocabulary begin, in sequences that no text tells apart."""
        if lane.same_text is None:
            return 0, [other_vocabulary(self._fields, "no texts are recorded, and the vocabularies differ")]
        text = "the texts are equal, and their tokens have other ids: another vocabulary"
        return lane.other_id, [] if lane.other_id is None else [other_vocabulary(self._fields, text)]

    def _ended(self, lane: Lane, side: int, step: Step) -> tuple[Parting, list[Reason]]:
        """One sequence has ended, and the other, on this side, goes on with this step."""
        runs, streams = (self._a, self._b), (lane.pair.a, lane.pair.b)
        over = 1 - side
        sides = [_side(runs[side], step), _end(runs[over], streams[over], step.index)]
        parting = Parting(sides[side], sides[over], (), None, None, None)
        return parting, reasons_to_end(runs[over], streams[over], lane.last[over], runs[side], self._fields)

    def _parted(self, pair: Pair, a: Step, b: Step) -> tuple[Parting, list[Reason]]:
        """Both have a token, and another one."""
        sides = _side(self._a, a), _side(self._b, b)
        stages = self._stages.of(a, b)
        drift = stages[-1].drift if stages else None
        margins = [side.margin for side in sides if side.margin is not None]
        parting = Parting(*sides, stages, drift, min(margins, default=None), _explained(sides, a, b, drift))
        prompt, known = self._prompts(pair)
        return parting, reasons_of(
            Meeting(self._a.bare, self._b.bare, a, b, self._fields, parting, self._ids_agree, prompt, known)
        )

    def _prompts(self, pair: Pair) -> tuple[str, bool]:
        """How the prompts differ, in a sentence, '' if they do not; and whether it is known that they do."""
        a, b = self._a.bare.prompt_of(pair.a), self._b.bare.prompt_of(pair.b)
        if a == b:
            return "", True
        given = _given(self._a, pair.a), _given(self._b, pair.b)
        same = given[0] is not None and given[0] == given[1]
        if self._tokenizer is not None and self._ids_agree and not same:
            try:
                same = self._tokenizer.decode(a) == self._tokenizer.decode(b)
            except DecodekitError:  # an id that this tokenizer does not have
                same = False
        if same:
            return f"the same prompt has other ids: {len(a)} and {len(b)} tokens", True
        if not self._ids_agree and None in given:
            return "whether the prompts are the same is not known: a text has other ids in another vocabulary", False
        at = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
        return f"the prompts differ from token {at} on; they have {len(a)} and {len(b)} tokens", True


def _end(run: Opened, stream: int, at: int) -> Side:
    """A side that has ended."""
    return Side(
        index=at, token_id=None, text="", score=None, margin=None, runner_up=None, logprob=None, raw_logprob=None,
        rank=None, seed=run.header.seed, stream=stream, attempt=None, word=None,
        finish_reason=run.finish_reason(stream)[0], sound=None,
    )  # fmt: skip


def _side(run: Opened, step: Step) -> Side:
    """A side with a token."""
    choice, draw, here = step.choice, step.draw, not run.bare.by_provider
    return Side(
        index=step.index, token_id=step.token_id, text=step.text,
        score=choice.score if here else None, margin=choice.margin if here else None, runner_up=choice.runner_up,
        logprob=choice.logprob, raw_logprob=choice.raw_logprob, rank=choice.rank,
        seed=run.header.seed, stream=step.stream,
        attempt=None if draw is None else draw.attempt, word=None if draw is None else f"{draw.word:016x}",
        finish_reason=None, sound=is_sound(run.bare, step),
    )  # fmt: skip


def _explained(sides: tuple[Side, Side], a: Step, b: Step, drift: float | None) -> bool | None:
    """Whether twice the drift reaches both margins; None under other noise, or where a final score is not known."""
    one, other = sides
    tokens = {a.token_id, b.token_id}
    known = all(tokens <= set(final_values(step).ids.tolist()) for step in (a, b))
    same_noise = (one.seed, one.stream, one.attempt) == (other.seed, other.stream, other.attempt)
    if drift is None or one.margin is None or other.margin is None or not (known and same_noise):
        return None
    return 2 * drift >= max(one.margin, other.margin)


def _given(run: Opened, stream: int) -> object:
    place = dict(run.header.sequences)[stream]
    given = run.header.given or []
    return given[place] if place < len(given) else None


def _notes(a: Opened, b: Opened, ids_agree: bool) -> list[str]:
    """What was not recorded, or cannot be compared."""
    notes = []
    for run in (a, b):
        if run.header.level == "choice":
            notes.append(f"{run.name} is of level 'choice': its final scores are not recorded")
        if run.bare.by_provider:
            notes.append(f"the tokens of {run.name} were drawn by a provider: its noise is not known")
        if run.footer is None:
            notes.append(f"{run.name} has no recorded end")
        for resumption in run.resumed:
            other = "" if resumption.adapter == run.header.adapter else " with another adapter"
            notes.append(f"{run.name} was resumed after {resumption.steps} steps{other}")
    if (a.header.level == "full") != (b.header.level == "full"):
        notes.append("only one of them is of level 'full': the model's answers are compared by their leading tokens")
    if not ids_agree:
        notes.append("the same ids are other tokens in the two traces: texts are compared, and no scores")
    return notes
