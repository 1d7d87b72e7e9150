"""Verifying a trace without the model: does each choice follow from what was recorded?

Only the samplers of the core run here; plugins run only with ``chain=True``. Nothing here proves that the raw row came
from the model; a replay with a live model compares that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from decodekit.chain import Chain
from decodekit.draw.choice import Choice
from decodekit.draw.context import TokenIds
from decodekit.draw.randomness import BoundRandomness, Randomness
from decodekit.errors import ConfigError, DecodekitError, ParameterError, TraceError
from decodekit.text.counted import counted
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.attempts import Attempts
from decodekit.trace.branches import check_branches, drawn_from_record
from decodekit.trace.comparing import check_choice, is_close
from decodekit.trace.header import Header
from decodekit.trace.reader import Fault, glance, open_trace
from decodekit.trace.rebuild import chain_of, require_noise
from decodekit.trace.redraw import check_word, redraw, redraw_together
from decodekit.trace.reproducing import Rerun, missing_in, reproduce
from decodekit.trace.step import Step
from decodekit.trace.texts import RecordedTexts
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import STRENGTH, Finding, Verdict, Word
from decodekit.trace.vocabulary import check_ids
from decodekit.types import PathLike

__all__ = ["same_tokenizer", "verify", "word_alone"]

_PIECE = 64  # steps that are read before they are checked: reading and checking in turns for each takes 15 % longer
_VALUES = 100_000  # of its lists, after which a piece ends early: a line may be as long as 40 MiB


def verify(trace: Trace | PathLike, *, chain: bool | Chain = False, tokenizer: Tokenizer | None = None) -> Verdict:
    """Check every step of a trace, and its ends. docs/traces.md lists what is checked at which level.

    Args:
        trace: a trace, or the path of one. If the file has a fault, the steps before it are verified too.
        chain: run the recorded chain again on raw rows (level 'full'), with stateful parts and samplers of plugins;
            this loads the plugins that the header names. If one is missing or has another version, the steps are
            'consistent'. A `Chain` is the recorded one, newly built: for parts that are not registered by name, or have
            a key that is not recorded.
        tokenizer: that of the run, to check the texts, and for parts of the chain that use it.

    Raises:
        TraceError: the file has no usable header, or its random number algorithm is unknown.
        ParameterError: the tokenizer has another fingerprint than that of the run.
        ConfigError: the given chain is not the recorded one.
    """
    if isinstance(trace, Trace):
        require_noise(trace)
        counts = Counter(step.stream for step in trace.steps)
        found = _check_all(trace, trace.steps, chain, tokenizer, counts)
        return _verdict(trace, found, None, trace.wrong_ends())
    reader = open_trace(trace)
    read = Trace(reader.header, [], None)
    glanced = glance(trace) if tokenizer is not None or reader.header.stop.get("ban") else None  # nothing else needs it
    read.resumed, counts = glanced or ([], Counter())
    found = _check_all(read, reader.intact(), chain, tokenizer, counts)
    read.footer, read.resumed = reader.footer, reader.resumed
    if reader.fault is None:
        require_noise(read)
        if glanced not in (None, (reader.resumed, reader.counts)):
            raise TraceError(f"{trace} was changed while it was read")
    return _verdict(read, found, reader.fault, None)


def word_alone(header: Header, step: Step) -> Word | Literal[""]:
    """The word of a step by its own record, without the steps before it.

    '' in a run with a ban: whether the attempt of its noise is right depends on the branches taken back before.
    """
    if header.stop.get("ban"):
        return ""
    own = replace(header, sequences=[(step.stream, 0)], prompts=header.prompts[:1] or [[]])
    check = _Check(Trace(own, [], None), False, None, Counter())
    check.lengths[step.stream] = step.index
    ((word, _),) = check.steps([step])
    return word


@dataclass(slots=True)
class _Found:
    """What was found in the steps: the word of each; and of the first weakest one its number in its stream, and why."""

    words: list[Word] = field(default_factory=list)
    worst: Word | None = None
    step: int = 0
    why: str = ""


def _check_all(
    trace: Trace, steps: Iterable[Step], chain: bool | Chain, tokenizer: Tokenizer | None, counts: Counter[int]
) -> _Found:
    """Check the steps of a trace, which need not hold them itself."""
    check = _Check(trace, chain_of(trace, chain) if isinstance(chain, Chain) else chain, tokenizer, counts)
    found = _Found()
    with np.errstate(over="ignore"):  # scores may lie further apart than a float64 tells
        for piece in _pieces(steps):
            for step, (word, why) in zip(piece, check.steps(piece), strict=True):
                found.words.append(word)
                if found.worst is None or STRENGTH.index(word) < STRENGTH.index(found.worst):
                    found.worst, found.step, found.why = word, step.index, why
    return found


def _pieces(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """The steps in pieces that are checked together."""
    piece, values = list[Step](), 0
    for step in steps:
        piece.append(step)
        values += _size(step)
        if len(piece) == _PIECE or values >= _VALUES:
            yield piece
            piece, values = [], 0
    if piece:
        yield piece


def _size(step: Step) -> int:
    """How many values the lists of a step have, about."""
    size = len(step.raw.top) + sum(len(entry.top) + len(entry.tosses) for entry in step.entries)
    if step.evidence is not None:
        size += len(step.evidence.token_ids)
    if step.row is not None:
        size += len(step.row[1])
    return size + sum(len(branch.token_ids) for branch in step.abandoned)


def _verdict(trace: Trace, found: _Found, fault: Fault | None, wrong: str | None) -> Verdict:
    words, word, total = tuple(found.words), found.worst, len(found.words)
    counts: dict[Word, int] = dict(Counter(words))
    if fault is not None and not fault.torn:
        return Verdict("failed", fault.step, str(fault), {**counts, "failed": counts.get("failed", 0) + 1}, words)
    if word == "failed":
        return Verdict("failed", found.step, found.why, counts, words)
    if trace.footer is None:
        reason = str(fault) if fault else "there is no footer: the run has no recorded end"
        return Verdict("incomplete", total, f"{reason}; {_summary(counts)}", counts, words)
    wrong = wrong or trace.ended_early()
    if wrong is not None:
        return Verdict("failed", total, wrong, counts, words)
    if word is None and trace.by_provider:
        return Verdict("consistent", None, "the provider drew no token, which is not proved")
    if word is None:
        return Verdict("proved", None, "there are no steps to prove")
    sound = word in ("proved", "reproduced")
    return Verdict(word, None if sound else found.step, found.why or _summary(counts), counts, words)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step stands in its sequence: the tokens before it, their last attempt, and the attempt of its noise."""

    so_far: TokenIds
    before: int
    attempt: int


class _Check:
    """Verifies the steps of a trace, in order.

    Attributes:
        lengths: the steps of each stream so far.
    """

    def __init__(self, trace: Trace, chain: bool | Chain, tokenizer: Tokenizer | None, counts: Counter[int]) -> None:
        self._trace = trace
        self._noise = {stream: Randomness(trace.header.seed, stream) for stream, _ in trace.header.sequences}
        self.lengths = dict.fromkeys(self._noise, 0)
        self._outputs = dict.fromkeys(self._noise, TokenIds())  # their tokens, for the chain
        self._attempts = Attempts(trace.header)
        self._texts = None if tokenizer is None else RecordedTexts(trace, same_tokenizer(trace, tokenizer), counts)
        self._rerun: Rerun | None = None
        self._missing = ""
        if chain and not trace.by_provider:
            try:
                self._rerun = Rerun(chain if isinstance(chain, Chain) else chain_of(trace), tokenizer)
            except ConfigError as error:
                self._missing = str(error)

    def steps(self, steps: Sequence[Step]) -> Iterator[tuple[Word, str]]:
        """The word of each step, and why. First each is put into its place in the run; then they are drawn together."""
        places = [self._placed(step) for step in steps]
        known = [(step, place) for step, place in zip(steps, places, strict=True) if isinstance(place, _Place)]
        noises = [self._noise_at(step, place) for step, place in known]
        drawn = iter(redraw_together(self._trace, [step for step, _ in known], noises))
        for step, place in zip(steps, places, strict=True):
            try:
                if not isinstance(place, _Place):
                    raise place
                yield self._compared(step, place, next(drawn))
            except Finding as finding:
                yield finding.word, finding.why
            except DecodekitError as error:
                missing = missing_in(error)
                if missing is not None:
                    yield "consistent", f"a part of the chain needs {missing}"
                else:
                    yield "failed", f"step {step.index} cannot be drawn again: {error}"

    def _placed(self, step: Step) -> _Place | Finding | DecodekitError:
        """The place of the next step in the run; or what is wrong with it."""
        try:
            return self._place(step)
        except (Finding, DecodekitError) as error:
            return error

    def _place(self, step: Step) -> _Place:
        length = self.lengths.get(step.stream)
        if length is None:
            raise Finding("failed", f"the header names no sequence with stream {step.stream}")
        self.lengths[step.stream] = length + 1
        so_far = self._outputs[step.stream]
        if self._rerun is not None:
            self._outputs[step.stream] = so_far.append(step.token_id)
        before = self._attempts.reached(step.stream)
        attempt = self._attempts.of(step)
        if step.index != length:
            raise Finding("failed", f"stream {step.stream} goes from step {length - 1} to step {step.index}")
        _check_limits(self._trace, step)
        check_ids(self._trace, step)
        if self._texts is not None:
            self._texts.check(step)
        return _Place(so_far, before, attempt)

    def _noise_at(self, step: Step, place: _Place) -> BoundRandomness:
        return self._noise[step.stream].at(step.index, draw=place.attempt)

    def _compared(self, step: Step, place: _Place, drawn: Choice | None) -> tuple[Word, str]:
        noise = self._noise_at(step, place)  # it keeps the words of a whole vocabulary, so each step has its own
        word, why = _drawn_again(self._trace, step, noise, drawn)
        if self._rerun is None:
            if step.abandoned:
                check_branches(self._trace, step, place.before, drawn_from_record(self._trace, step))
        else:
            other = reproduce(self._trace, step, place.so_far, noise, self._rerun)
            check_branches(self._trace, step, place.before, other)
            return (word, why) if word == "ambiguous" else ("reproduced", "")
        missing = self._missing
        if missing and word == "consistent":
            return "consistent", missing  # what to do about it, rather than what cannot be done without
        if self._trace.header.level == "full" and step.row is None:
            missing = "the raw row was not recorded, though the level is 'full'"
        return ("consistent", missing) if missing and word == "proved" else (word, why)


def _check_limits(trace: Trace, step: Step) -> None:
    """A step holds no more than its level records, comes before the limit of the run, and has a temperature."""
    level, most = trace.header.level, trace.header.stop.get("max_tokens")
    if (step.evidence is not None and level == "choice") or (step.row is not None and level != "full"):
        raise Finding("failed", f"step {step.index} holds more than level {level!r} records")
    if most is not None and step.index >= most and not trace.by_provider:  # a resumed run has its last limit there
        raise Finding("failed", f"step {step.index} comes after the {most} tokens that the run was allowed")
    if not 0.0 <= step.raw.temperature < math.inf:
        raise Finding("failed", f"step {step.index} has a row of temperature {step.raw.temperature}")


def _drawn_again(trace: Trace, step: Step, noise: BoundRandomness, drawn: Choice | None) -> tuple[Word, str]:
    """'proved', 'ambiguous' or 'consistent', from the recorded final scores alone; raises a `Finding` if it failed.

    Args:
        trace, step, noise: as for `redraw`.
        drawn: what it gives, where that is known already.
    """
    try:
        again = redraw(trace, step, noise) if drawn is None else drawn
    except Finding as finding:
        check_word(trace, step, noise)  # the draw cannot be repeated, but its random word can be checked
        if finding.word == "failed":
            raise
        return finding.word, finding.why
    check_choice(step, again, noise)
    if is_close(again):
        return "ambiguous", f"the margin of step {step.index} is {again.margin:.3g}: rounding could have changed it"
    return "proved", ""


def same_tokenizer(trace: Trace, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, if it is that of the run. Raises `ParameterError` otherwise."""
    recorded = trace.header.adapter.get("tokenizer_fingerprint")
    if recorded != tokenizer.fingerprint:
        raise ParameterError(
            f"the run had a tokenizer with the fingerprint {recorded!r}, this one has {tokenizer.fingerprint!r}"
        )
    return tokenizer


def _summary(counts: Mapping[Word, int]) -> str:
    return ", ".join(f"{counted(count, 'step')} {word}" for word, count in counts.items()) or "no steps"
