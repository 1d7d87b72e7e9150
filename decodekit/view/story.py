"""One step as a story: what the model said, what each processor did and to whom, the draw, and how firm it is.

It is plain data. The terminal, the report, the notebook and the server's inspector all draw this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief
from decodekit.text.counted import counted
from decodekit.text.labels import quoted
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.explaining import text_before
from decodekit.trace.explanation import draw_facts, labels_for, margin_unit
from decodekit.trace.facts import sampler_of
from decodekit.trace.named_texts import DRAWN_BY
from decodekit.trace.stages import grid
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Verdict, Word
from decodekit.trace.verifying import verify
from decodekit.view.draw_story import Drift, Place, Race, drift_of, place_of, race_of
from decodekit.view.impossible import impossible_of
from decodekit.view.plain import PlainData
from decodekit.view.seed_story import OtherSeeds, other_seeds
from decodekit.view.stage_story import Row, Stage, rows_of, stages_of

__all__ = ["Branch", "StepStory", "story_of"]


@dataclass(frozen=True, slots=True)
class Branch(PlainData):
    """Tokens that were written before this one and taken back.

    Args:
        why: the banned phrase that they completed, in quotes.
        attempt: the attempt of the noise of their last token.
        token_ids: the tokens.
        labels: their texts in quotes.
    """

    why: str
    attempt: int
    token_ids: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepStory(PlainData):
    """One step. Every text in it is safe to show: no control, bidi or invisible character is in it.

    Args:
        stream: which sequence of the run.
        index: the number of tokens generated before.
        token_id: the token.
        label: its text in quotes; its id where it has no text.
        text: the text that it added to the output, with newlines.
        before: the end of the text that the model had read; '' where that is not known.
        sampler: the sampler's name.
        drawn_by_provider: whether the provider drew, with random numbers of its own.
        stages: the model's distribution, then each processor.
        rows: the leading tokens, the chosen one and the runner-up, with their probability at each stage.
        logprob: of the token after the chain, in nats; None where it is not known.
        raw_logprob: of the token as the model gave it, in nats; None where it is not known.
        rank: how many tokens the model found more likely; None where it is not known.
        word: the random word that decided, in hex; None where nothing was random, or the provider drew.
        score: the number that decided; None where the provider drew.
        margin: the distance to another outcome; None where nothing else was possible, or it is not known.
        margin_unit: 'nats', 'mass' or ''.
        runner_up: the token that would have been next; None where there is none or it is not known.
        race: of `multinomial` and `greedy`, where the final scores were recorded; None otherwise.
        place: of `inverse_cdf`, where they were recorded; None otherwise.
        drift: which change of the scores the choice survives.
        seeds: what other seeds would have drawn here.
        branches: what was taken back before this step, oldest first.
        verdict: the word of `decodekit.verify` for the step.
        facts: (name, sentence) of the draw, the score and the margin.
        notes: what is not known, and why, in sentences.
    """

    stream: int
    index: int
    token_id: int
    label: str
    text: str
    before: str
    sampler: str
    drawn_by_provider: bool
    stages: tuple[Stage, ...]
    rows: tuple[Row, ...]
    logprob: float | None
    raw_logprob: float | None
    rank: int | None
    word: str | None
    score: float | None
    margin: float | None
    margin_unit: str
    runner_up: int | None
    race: Race | None
    place: Place | None
    drift: Drift
    seeds: OtherSeeds
    branches: tuple[Branch, ...]
    verdict: Word
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The step and its token."""
        return f"step {self.index}: {self.label}"


def story_of(
    trace: Trace, at: int, tokenizer: Tokenizer | None = None, *, verdict: Verdict | None = None, seeds: int = 8
) -> StepStory:
    """The story of one step.

    Args:
        trace: the run.
        at: the index of the step in ``trace.steps``.
        tokenizer: for the texts of tokens; without it, their ids, and the step's own text.
        verdict: that of the trace, if the caller has it: to verify takes time for each step of the trace.
        seeds: how many other seeds to try; 0 saves half the time.

    Raises:
        ParameterError: there is no such step.
        TraceError: nothing was recorded, or the random numbers are of an algorithm that this version does not know.
    """
    if not trace.steps:
        raise ParameterError(f"there is no step {brief(at)}: the trace has no steps")
    at = whole(at, "at, the index of a step,", 0, len(trace.steps) - 1)
    word = (verdict if verdict is not None else verify(trace)).words[at]
    step = trace.steps[at]
    chain, sampler = trace.header.chain, sampler_of(trace.header)
    label = labels_for(step, tokenizer)
    columns, lines = grid(step, chain)
    rows = rows_of(lines, step.choice.runner_up, label)
    by_provider = trace.by_provider or DRAWN_BY in (step.schedule or {})
    race, place = race_of(trace, step, label), place_of(trace, step)
    choice = step.choice
    alone = choice.margin == float("inf") or by_provider
    return StepStory(
        stream=step.stream,
        index=step.index,
        token_id=step.token_id,
        label=label(step.token_id),
        text=safe_text(step.text, newlines=True),
        before=text_before(trace, at, tokenizer),
        sampler=safe_text(sampler),
        drawn_by_provider=by_provider,
        stages=stages_of(columns, rows, step),
        rows=rows,
        logprob=choice.logprob,
        raw_logprob=choice.raw_logprob,
        rank=choice.rank,
        word=None if step.draw is None else f"{step.draw.word:016x}",
        score=None if by_provider else choice.score,
        margin=None if alone else choice.margin,
        margin_unit=margin_unit(sampler),
        runner_up=choice.runner_up,
        race=race,
        place=place,
        drift=drift_of(step, sampler, place, by_provider=by_provider),
        seeds=other_seeds(trace, step, label, by_provider=by_provider, count=seeds),
        branches=tuple(
            Branch(quoted(each.why), each.attempt, each.token_ids, tuple(map(label, each.token_ids)))
            for each in step.abandoned
        ),
        verdict=word,
        facts=draw_facts(step, sampler, label),
        notes=tuple(_notes(trace, step, sampler, by_provider=by_provider, shown=race is not None or place is not None)),
    )


def _notes(trace: Trace, step: Step, sampler: str, *, by_provider: bool, shown: bool) -> list[str]:
    """What is not known."""
    notes = impossible_of(step)
    if by_provider:
        notes.append("the provider drew this token with random numbers of its own, so its draw is not shown")
    elif step.evidence is None:
        why = "level 'choice'" if trace.header.level == "choice" else "the step has no `final`"
        notes.append(f"the final scores were not recorded ({why}), so the draw is not shown")
    elif not shown:
        notes.append(f"the sampler {sampler!r} is not one of the core, or needs more than was recorded")
    elif step.evidence.floor is not None:
        notes.append("tokens that could not win were not recorded; each of them has at most the score of the floor")
    if step.raw.tail is not None:
        few = counted(step.raw.disclosed, "token")
        notes.append(f"the model's answer showed {few}; the others are known by their mass alone")
    if any(entry.gave_up is not None for entry in step.entries):
        notes.append("the tokens that were not shown were given up (on_undisclosed='truncate')")
    if step.abandoned:
        notes.append("tokens were taken back before this one; their distributions were not recorded")
    return [safe_text(note) for note in notes]
