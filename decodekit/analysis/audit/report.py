"""`audit`: every axis measured, and the planted faults looked for with the same probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from decodekit.analysis.audit.axes import AXES, DEFAULT, Axis, axis_of
from decodekit.analysis.audit.controls import FAULTS, Fault, Planted, shortened
from decodekit.analysis.audit.lab import Lab, NotTested
from decodekit.analysis.audit.material import Text, most_of, prompts_of
from decodekit.analysis.audit.metrics import gap_between
from decodekit.analysis.audit.probes import alone, written
from decodekit.analysis.audit.verdicts import STABLE_TV, Measured, Word, measure, word_of
from decodekit.analysis.audit.vocabularies import require_same_tokens
from decodekit.distribution.disclosure import ALL
from decodekit.draw.whole import whole
from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.adapter import Adapter, AdapterInfo, AsyncAdapter
from decodekit.model.asking import blocking
from decodekit.plugin import registry

__all__ = ["AuditReport", "Control", "Outcome", "audit"]

Seen = Literal["exact", "numerically stable", "moved", "not tested"]

MOST_TOKENS = 2**20
_CONTROL_TEXTS, _CONTROL_TOKENS = 3, 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result on one axis.

    Args:
        axis: its name.
        word: the verdict.
        why: a sentence: what was varied, how far the answers moved, and the cause; or why it was not tested.
        measured: the numbers; None where it was not tested.
    """

    axis: str
    word: Word
    why: str
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class Control:
    """A planted fault.

    Args:
        fault: what was planted; 'none' is a model without a fault.
        caught: whether the audit said so: on the axes of the fault, and 'exact' for 'none'.
        seen: what each axis showed; 'moved' is a total variation that is not numerically stable.
    """

    fault: Fault
    caught: bool
    seen: Mapping[str, Seen]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Args:
        info: the audited adapter.
        against: the other adapter, if one was given.
        texts, tokens: how many texts were written, and how many tokens each has.
        seed: of the texts and the draws.
        outcomes: one for each axis.
        controls: one for each planted fault.
    """

    info: AdapterInfo
    against: AdapterInfo | None
    texts: int
    tokens: int
    seed: int
    outcomes: tuple[Outcome, ...]
    controls: tuple[Control, ...]

    @property
    def stable(self) -> bool:
        """Whether no tested axis is unstable."""
        return all(each.word != "unstable" for each in self.outcomes)

    @property
    def trusted(self) -> bool:
        """Whether every planted fault was caught."""
        return all(each.caught for each in self.controls)

    def as_data(self) -> dict[str, Any]:
        """Everything as values of JSON, except that a number may be infinite."""
        return {
            "model": self.info.model,
            "adapter": self.info.name,
            "against": None if self.against is None else self.against.model,
            "texts": self.texts,
            "tokens": self.tokens,
            "seed": self.seed,
            "stable": self.stable,
            "trusted": self.trusted,
            "axes": [
                {**asdict(each), "measured": None if each.measured is None else _plain(each.measured)}
                for each in self.outcomes
            ],
            "controls": [{**asdict(each), "seen": dict(each.seen)} for each in self.controls],
        }


def audit(
    adapter: Adapter | AsyncAdapter,
    *,
    make: Callable[[], Adapter | AsyncAdapter] | None = None,
    named: Mapping[str, Any] | None = None,
    against: Adapter | AsyncAdapter | None = None,
    axes: Sequence[str] | None = None,
    prompts: Sequence[str | Sequence[int]] | None = None,
    tokens: int = 24,
    seed: int = 0,
) -> AuditReport:
    """Ask a model the same questions on many schedules, and measure how far its answers move.

    The model writes a text after each prompt. Then every axis asks for the same prefixes again in two ways
    (teacher forcing), so that only the schedule differs. The same probes run on models with planted faults.

    Args:
        adapter: the model, of which nothing was asked yet: it is compared with new ones. It is not closed.
        make: makes another adapter of the same model with an empty cache; from ``named`` by default. Each is closed
            before the next is made, but one stands beside ``adapter``.
        named: the adapter as a configuration names it, ``type`` and parameters: for axes that need a new process or
            another parameter.
        against: another adapter of the same vocabulary, as the axis 'against'. It is not closed.
        axes: which to test, by name, or a parameter of the adapter as ``dtype=bfloat16``. By default `DEFAULT`, and
            'against' where an adapter is given.
        prompts: two or more texts or lists of token ids; four short texts by default.
        tokens: of each text, 2 or more.
        seed: of the texts and of the draws.

    Raises:
        ParameterError: an axis has no such name or value, there are too few prompts or tokens, or ``against`` has other
            tokens.
        ContextOverflow: the texts do not fit the model's context.
        DecodekitError: the model answered with an error while it wrote the texts.

    An interrupt has what was found before in its ``partial``, without controls.
    """
    chosen = _chosen(axes, against, named)
    whole(tokens, "tokens", 2, MOST_TOKENS)
    model, other = blocking(adapter), None if against is None else blocking(against)
    if make is None and named is not None:
        make = _maker(named)
    want = most_of(model)
    texts, first = written(model, prompts_of(model, prompts), tokens, seed, want)
    if other is not None:
        require_same_tokens(model, other, texts)
    lab = Lab(model, texts, first, want, make, named, other)
    info = None if other is None else other.info
    report = AuditReport(model.info, info, len(texts), tokens, seed, (), ())
    try:
        for name, axis in chosen.items():
            report = replace(report, outcomes=(*report.outcomes, _outcome(name, axis, lab, seed)))
        return replace(report, controls=tuple(_controls(lab, texts)))
    except BaseException as error:
        with suppress(Exception):  # an error of the caller's own, which may take no attribute
            error.partial = report  # type: ignore[attr-defined]
        raise


def _chosen(axes: Sequence[str] | None, against: object, named: Mapping[str, Any] | None) -> dict[str, Axis]:
    if named is not None and not isinstance(named.get("type"), str):
        raise ParameterError("named is the adapter's table of a configuration: its type and its parameters")
    names = [*DEFAULT, *(["against"] if against is not None else [])] if axes is None else axes
    if isinstance(names, str) or not names:
        raise ParameterError(
            f"axes is a list of one or more names, not {names!r}; without it the usual ones are tested"
        )
    return {name: axis_of(name, named) for name in names}


def _maker(named: Mapping[str, Any]) -> Callable[[], Adapter | AsyncAdapter]:
    def make() -> Any:
        table = dict(named)
        return registry.adapter(table.pop("type"), **table)

    return make


def _outcome(name: str, axis: Axis, lab: Lab, seed: int) -> Outcome:
    """One axis. An error of the adapter on it is a reason, not the end of the audit."""
    try:
        reference, other = axis.sides(lab)
    except NotTested as reason:
        return Outcome(name, "not tested", str(reason), None)
    except DecodekitError as error:
        return Outcome(name, "not tested", f"the adapter failed: {error}", None)
    if not reference.keys() & other.keys():
        return Outcome(name, "not tested", "the texts are too short", None)
    measured = measure(reference, other, seed)
    word = word_of(measured)
    return Outcome(name, word, _sentence(axis, word, measured), measured)


def _sentence(axis: Axis, word: Word, found: Measured) -> str:
    if word == "exact":
        return f"no bit changes when {axis.varied}"
    if word == "exact as shown":
        return f"no bit of what is shown changes when {axis.varied}; the rest may differ by {found.tv_max.high:.2g}"
    if word == "undecided":
        shown = f"what is disclosed decides too few draws when {axis.varied}"
        return f"{shown}: {found.flips} of {found.draws} give another token, {_number(found.expected)} may be expected"
    moved = f"log-probabilities move by up to {found.largest:.2g} nats when {axis.varied}"
    flips = f"{found.flips} of {found.draws} draws give another token, {_number(found.expected)} are expected"
    return f"{moved}; {flips}. Cause: {axis.cause}"


def _number(expected: tuple[float, float]) -> str:
    low, high = expected
    return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"


def _controls(lab: Lab, texts: Sequence[Text]) -> Iterator[Control]:
    """The planted faults, on the beginnings of the texts."""
    short = shortened(texts[:_CONTROL_TEXTS], _CONTROL_TOKENS)
    rows = {(i, at): row for (i, at), row in lab.first.rows.items() if i < len(short) and at < len(short[i].ids)}
    looked = ("repeat", "batch size", "batch order", "batch neighbours", "cache", "ancestors", "portions")
    for fault, axes in FAULTS.items():

        def made(fault: Fault = fault) -> Planted:
            return Planted(short, rows, lab.adapter.info, fault)

        model = Lab(made(), short, alone(made(), short, ALL), ALL, made)
        seen = {name: _seen(AXES[name], model) for name in looked}
        yield Control(fault, _caught(fault, axes, seen), seen)


def _seen(axis: Axis, lab: Lab) -> Seen:
    """What an axis shows of a planted fault: draws would tell no more."""
    try:
        reference, other = axis.sides(lab)
    except NotTested:
        return "not tested"
    gaps = [gap_between(reference[place], other[place]) for place in reference.keys() & other.keys()]
    if all(gap.same_bits for gap in gaps):
        return "exact" if gaps else "not tested"
    return "moved" if max(gap.tv.high for gap in gaps) >= STABLE_TV else "numerically stable"


def _caught(fault: Fault, axes: Sequence[str], seen: Mapping[str, Seen]) -> bool:
    moved = {name for name, word in seen.items() if word == "moved"}
    if fault == "none":
        return not moved and seen["repeat"] == seen["cache"] == "exact"
    if fault == "no cache":
        return seen["cache"] == seen["portions"] == "not tested" and not moved
    return set(axes) <= moved and (fault == "run" or seen["repeat"] == "exact")


def _plain(measured: Measured) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(measured).items()}
