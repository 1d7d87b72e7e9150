"""Why two sequences have other tokens at a step: what differs there, in the order of the computation.

Something that differs is no cause if it is known not to matter: if each trace, with that one thing of the other, still
has its own token. Where this is not known, it may be the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from decodekit.errors import brief
from decodekit.trace.codec import to_line
from decodekit.trace.differences.parts import Cause, FieldDifference, Parting, StageDifference
from decodekit.trace.differences.stages import first_different
from decodekit.trace.differences.swapping import with_noise, with_sampler, with_scores
from decodekit.trace.facts import sampler_of
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

Swap = Callable[[Trace, Step, Trace, Step], int | None]

__all__ = ["Meeting", "Reason", "other_vocabulary", "reasons_of"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that differs.

    Args:
        cause: its kind.
        where: the field, the stage or the side.
        why: a sentence.
        field: the field of the header, where it is one.
        matters: False where it is known that it changes nothing alone.
    """

    cause: Cause
    where: str
    why: str
    field: FieldDifference | None = None
    matters: bool = True


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two steps of the same place with other tokens, and what is known of them.

    Args:
        a, b: the traces.
        step_a, step_b: the steps.
        fields: in which the headers differ.
        parting: their numbers.
        ids_agree: whether an id means the same token in both.
        prompt: how their prompts differ, in a sentence; '' if they do not.
        prompt_known: whether it is known that they do.
    """

    a: Trace
    b: Trace
    step_a: Step
    step_b: Step
    fields: Sequence[FieldDifference]
    parting: Parting
    ids_agree: bool
    prompt: str
    prompt_known: bool = True

    @property
    def stages(self) -> tuple[StageDifference, ...]:
        """From the model's answer to what was drawn from."""
        return self.parting.stages

    @property
    def final_is_same(self) -> bool:
        """Whether the recorded final scores agree."""
        return bool(self.stages) and self.stages[-1].same is True

    @property
    def samplers_differ(self) -> bool:
        """Whether the tokens were drawn in another way."""
        return any(field.field.startswith("chain.sampler") for field in self.fields)

    @property
    def tosses_differ(self) -> bool:
        """Whether a processor drew other random words."""
        tossed = [[entry.tosses for entry in step.entries if entry.tosses] for step in (self.step_a, self.step_b)]
        return tossed[0] != tossed[1]

    def keep(self, swap: Swap) -> bool:
        """Whether each trace keeps its token with one thing of the other; False where that is not known."""
        a, b = (self.a, self.step_a), (self.b, self.step_b)
        return self.ids_agree and swap(*a, *b) == self.step_a.token_id and swap(*b, *a) == self.step_b.token_id


def reasons_of(meeting: Meeting) -> list[Reason]:
    """Everything that differs at a step where the tokens do, in the order of the computation; never empty."""
    settings, ids = _configuration(meeting), _tokenisation(meeting)
    found = [
        *(chain(settings, ids) if meeting.ids_agree else chain(ids, settings)),  # else no setting is known to act
        *_distribution(meeting),
        *_draw(meeting),
        *_broken(meeting),
    ]
    if any(reason.matters for reason in found):
        return found
    if len(found) > 1:  # each alone changes nothing
        first = replace(found[0], why=f"{found[0].why}, together with what else differs", matters=True)
        return [first, *found[1:]]
    return [*found, Reason("choice", "unknown", "nothing that is recorded before the choice explains the other token")]


def other_vocabulary(fields: Sequence[FieldDifference], why: str) -> Reason:
    """That ids mean other tokens; it names the first field that says so."""
    names = ("adapter.tokenizer_fingerprint", "adapter.vocab_size", "adapter.model")
    field = next((each for name in names for each in fields if each.field == name), None)
    return Reason("tokenisation", names[0] if field is None else field.field, why, field)


def _configuration(meeting: Meeting) -> Iterator[Reason]:
    for field in meeting.fields:
        known = _setting(meeting, field)
        if known is not None:
            a, b = brief(field.a), brief(field.b)
            yield Reason("configuration", field.field, f"{field.field} is {a} and {b}", field, known)


def _setting(meeting: Meeting, field: FieldDifference) -> bool | None:
    """Whether a setting may matter at this step; None for a field that is no setting or did not act here."""
    a, b = meeting.step_a, meeting.step_b
    match field.field.split(".")[0], field.field:
        case ("seed" | "rng", _):
            if None in (a.draw, b.draw) and not meeting.tosses_differ:
                return None  # of two samplers one draws nothing
            return meeting.tosses_differ or not meeting.keep(with_noise)
        case ("chain", "chain.sampler.version" | "chain.sampler.distribution") if not meeting.final_is_same:
            return None  # another version of the code is suspected only where all before it is equal
        case ("chain", name) if name.startswith("chain.sampler"):
            return not meeting.keep(with_sampler)
        case ("chain", name):
            return _part_matters(meeting, name)
        case (_, "on_undisclosed"):
            gave_up = [any(entry.gave_up is not None for entry in step.entries) for step in (a, b)]
            return _scores_matter(meeting) if any(gave_up) else None
        case (_, "stop.ban"):
            return True if a.abandoned or b.abandoned or _attempts(meeting) else None
        case ("metadata", _):
            return _scores_matter(meeting) if _first_is_a_processor(meeting) else None
    return None


def _part_matters(meeting: Meeting, field: str) -> bool | None:
    """Whether a processor that differs may matter; None if its result does not differ."""
    if meeting.final_is_same:
        return None
    if not field.startswith("chain.processors["):
        changed = [stage for stage in meeting.stages if not stage.in_both or _set_otherwise(meeting, stage)]
    else:
        place = int(field.removeprefix("chain.processors[").split("]")[0])
        changed = [stage for stage in meeting.stages if stage.place_a == place]
        about_code = field.endswith((".version", ".distribution"))
        if any(stage.same or (about_code and first_different(meeting.stages) is not stage) for stage in changed):
            return None
    if changed and not any(_acted(meeting.step_a, each.place_a, meeting.step_b, each.place_b) for each in changed):
        return None
    return _scores_matter(meeting) and not _greedy_on_other_rows(meeting)


def _set_otherwise(meeting: Meeting, stage: StageDifference) -> bool:
    """Whether a processor that both chains have has other parameters, and another result."""
    if stage.place_a is None or stage.place_b is None or stage.same:
        return False
    chains = meeting.a.header.chain["processors"], meeting.b.header.chain["processors"]
    return to_line(chains[0][stage.place_a]) != to_line(chains[1][stage.place_b])


def _acted(a: Step, place_a: int | None, b: Step, place_b: int | None) -> bool:
    """Whether a processor changed the distribution on one of the two sides, or may have."""
    places = [(step, place) for step, place in ((a, place_a), (b, place_b)) if place is not None]
    entries = [step.entries[place] for step, place in places if place < len(step.entries)]
    return any(entry.kl is None or entry.kl > 0 for entry in entries)


def _greedy_on_other_rows(meeting: Meeting) -> bool:
    """Whether both take the most likely token, and the two tokens are already so in the model's answers."""
    names = {sampler_of(trace.header) for trace in (meeting.a, meeting.b)}
    raw = meeting.stages[0] if meeting.stages else None
    if names != {"greedy"} or raw is None or not raw.top_a or not raw.top_b:
        return False
    return (raw.top_a[0][0], raw.top_b[0][0]) == (meeting.step_a.token_id, meeting.step_b.token_id)


def _scores_matter(meeting: Meeting) -> bool:
    return not meeting.keep(with_scores)


def _first_is_a_processor(meeting: Meeting) -> bool:
    first = first_different(meeting.stages)
    return first is not None and first.name not in ("raw", "final")


def _tokenisation(meeting: Meeting) -> Iterator[Reason]:
    if meeting.prompt and meeting.prompt_known:
        matters = not meeting.stages or any(stage.same is not True for stage in meeting.stages)
        yield Reason("tokenisation", "prompts", meeting.prompt, matters=matters and _scores_matter(meeting))
    if not meeting.ids_agree:
        text = "the same ids are other tokens in the two traces, so rows and draws cannot be compared"
        yield other_vocabulary(meeting.fields, text)
    if meeting.prompt and not meeting.prompt_known:
        yield Reason("tokenisation", "prompts", meeting.prompt, matters=False)


def _distribution(meeting: Meeting) -> Iterator[Reason]:
    first = first_different(meeting.stages)
    if first is None:
        return
    too_small = meeting.parting.explained is False and not meeting.samplers_differ
    matters = not meeting.final_is_same and not too_small and _scores_matter(meeting)
    if first.name == "raw":
        by = "" if first.drift is None else f" by up to {first.drift:.3g} nats"
        text = f"the model's answers differ{by}{_labels(meeting)}{_how_far(meeting)}"
        yield Reason("distribution", "raw", text, matters=matters)
    elif first.name == "final":
        text = "the final scores differ, and what is recorded of the stages before does not"
        yield Reason("processors", "final", text, matters=matters)
    elif not _chains_differ(meeting) and not _drew_elsewhere(meeting, first):
        text = f"{first.name} gives another result for the same answer of the model{_how_far(meeting)}"
        yield Reason("processors", first.name, text, matters=matters)


def _drew_elsewhere(meeting: Meeting, stage: StageDifference) -> bool:
    """Whether a processor drew other random words, because its noise is of another place."""
    a, b = meeting.step_a, meeting.step_b
    if (meeting.a.header.seed, a.stream) == (meeting.b.header.seed, b.stream) and not _attempts(meeting):
        return False
    places = (a, stage.place_a), (b, stage.place_b)
    tosses = [step.entries[place].tosses for step, place in places if place is not None and place < len(step.entries)]
    return len(tosses) == 2 and tosses[0] != tosses[1]


def _labels(meeting: Meeting) -> str:
    """What a provider had done to only one of the answers, or another thing to each."""
    labels = [(step.raw.stage, step.raw.temperature) for step in (meeting.step_a, meeting.step_b)]
    if labels[0] == labels[1]:
        return ""
    told = " and ".join(f"{stage!r} at temperature {temperature:g}" for stage, temperature in labels)
    return f", which are {told}"


def _chains_differ(meeting: Meeting) -> bool:
    return any(field.field.startswith("chain.processors") for field in meeting.fields)


def _how_far(meeting: Meeting) -> str:
    drift, explained = meeting.parting.drift, meeting.parting.explained
    margins = [side.margin for side in (meeting.parting.a, meeting.parting.b) if side.margin is not None]
    if drift is None or not margins:
        return ""
    told = f"; the final log-probabilities by up to {drift:.3g} nats, and the larger margin is {max(margins):.3g}"
    return (
        told
        if explained is None
        else told + (": a drift of the model explains the other token" if explained else ": the drift is too small")
    )


def _draw(meeting: Meeting) -> Iterator[Reason]:
    a, b = meeting.step_a, meeting.step_b
    if meeting.a.by_provider or meeting.b.by_provider:
        yield Reason("draw", "provider", "a provider drew the token, with random numbers of its own")
        return
    if (a.draw is None and b.draw is None and not meeting.tosses_differ) or not meeting.ids_agree:
        return
    stays = meeting.keep(with_noise) and not meeting.tosses_differ
    if a.stream != b.stream:
        text = f"the noise is of stream {a.stream} and of stream {b.stream}"
        yield Reason("draw", "stream", text, matters=not stays)
    attempts = _attempts(meeting)
    if attempts:
        text = f"the noise is of attempt {attempts[0]} and of attempt {attempts[1]}: other branches were taken back"
        yield Reason("draw", "attempt", text, matters=not stays)


def _attempts(meeting: Meeting) -> tuple[int, int] | None:
    a, b = meeting.step_a.draw, meeting.step_b.draw
    return (a.attempt, b.attempt) if a is not None and b is not None and a.attempt != b.attempt else None


def _broken(meeting: Meeting) -> Iterator[Reason]:
    sound: dict[str, Any] = {"a": meeting.parting.a.sound, "b": meeting.parting.b.sound}
    broken = [side for side, word in sound.items() if word is False]
    if broken:
        names = " and ".join({"a": "the first", "b": "the second"}[side] for side in broken)
        where = "both" if len(broken) == 2 else broken[0]
        yield Reason(
            "choice",
            where,
            f"the recorded scores and noise of {names} do not give the token: a forged or broken record",
        )
