"""The axes of an audit: what is varied, the answers on both sides, and why an answer may move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from decodekit.analysis.audit.lab import Lab, NotTested
from decodekit.analysis.audit.material import Place, Rows, others_of
from decodekit.analysis.audit.probes import Asked, alone, in_one_call, together, with_others
from decodekit.analysis.audit.process import in_new_process
from decodekit.errors import ParameterError, brief, did_you_mean
from decodekit.model.stored import computed_apart
from decodekit.plugin import registry
from decodekit.plugin.one_line import parse_setting
from decodekit.plugin.parameters import parameter_model, parameter_schema, validated

__all__ = ["AXES", "DEFAULT", "Axis", "axis_of"]

Pair = tuple[Rows, Rows]


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is varied while the questions stay the same.

    Args:
        varied: what is done, as the rest of "the answers move when ...".
        cause: why they may.
        sides: the answers on both sides; raises `NotTested` with the reason.
    """

    varied: str
    cause: str
    sides: Callable[[Lab], Pair]


def _repeat(lab: Lab) -> Pair:
    return _computed(lab.again, alone(lab.adapter, lab.texts, lab.want))


def _process(lab: Lab) -> Pair:
    if lab.named is None:
        raise NotTested("a new process makes the adapter from its name, and no configuration names this one")
    lab.require_ids()
    return lab.first.rows, in_new_process(lab.named, lab.texts, lab.want)


def _size(lab: Lab) -> Pair:
    return _computed(lab.again, lab.together)


def _order(lab: Lab) -> Pair:
    return _computed(lab.together, together(lab.adapter, lab.texts, lab.want, range(len(lab.texts))[::-1]))


def _neighbours(lab: Lab) -> Pair:
    """The same calls with two sets of other texts, neither of which was asked for before."""
    first, second = (with_others(lab.adapter, lab.texts, others_of(lab.texts, by), lab.want) for by in (1, 2))
    return _computed(first, second)


def _cache(lab: Lab) -> Pair:
    usual, cold = lab.first, lab.cold
    _require_hits(lab, usual, cold.rows)
    _require_cold(lab, cold, cold.rows)
    return _computed(usual, cold)


def _ancestors(lab: Lab) -> Pair:
    return _computed(lab.first, in_one_call(lab.adapter, lab.texts, lab.want))


def _portions(lab: Lab) -> Pair:
    usual, portions = lab.first, lab.portions
    _require_hits(lab, portions, portions.rows)
    return _computed(usual, portions)


def _padding(lab: Lab) -> Pair:
    staggered = lab.staggered
    if not any(_columns(row.schedule) > len(lab.texts[i].prefixes[at]) for (i, at), row in staggered.rows.items()):
        raise NotTested("no row of the adapter's answers was padded, as far as their schedules say")
    return _computed(lab.cold, staggered)


def _threads(lab: Lab) -> Pair:
    rows = lab.first.rows
    count = _schedule(rows).get("threads")
    if not isinstance(count, int):
        raise NotTested("the schedule of its answers does not say how many threads computed them")
    wanted = 1 if count > 1 else 2
    named = lab.named or {}
    lab.require_ids()
    if "n_threads" in _properties(lab):
        _, moved = _computed(lab.first, lab.run_by(lab.changed(n_threads=wanted)))
    else:
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(wanted))
        moved = in_new_process(named, lab.texts, lab.want, counts)
    if _schedule(moved).get("threads") == count:
        raise NotTested(f"the number of threads could not be changed from {count}")
    return rows, moved


def _against(lab: Lab) -> Pair:
    if lab.against is None:
        raise NotTested("no other adapter was given: --against FILE, or against=")
    return _computed(lab.first, alone(lab.against, lab.texts, lab.want))


def _changed(parameter: str, value: Any) -> Callable[[Lab], Pair]:
    def sides(lab: Lab) -> Pair:
        if parameter not in _properties(lab):
            raise NotTested(f"the adapter has no parameter {parameter!r}")
        return _computed(lab.first, lab.run_by(lab.changed(**{parameter: value})))

    return sides


def _computed(reference: Asked, other: Asked) -> Pair:
    """The answers of both sides at the places where each side computed its own.

    Raises:
        NotTested: there are none, though both sides have places in common.
    """
    both = reference.rows.keys() & other.rows.keys()
    places = [
        place
        for place in sorted(both - reference.stored - other.stored)
        if computed_apart([reference.rows[place], other.rows[place]])
    ]
    if both and not places:
        raise NotTested("the adapter repeats stored answers: nothing was computed twice")
    return {place: reference.rows[place] for place in places}, {place: other.rows[place] for place in places}


def axis_of(name: str, named: Mapping[str, Any] | None = None) -> Axis:
    """The axis of this name, or that of a parameter of the adapter: ``dtype=bfloat16``, ``cache_type=f16``.

    Args:
        name: the axis.
        named: the adapter as a configuration names it, which has the parameters; None where that is not known.

    Raises:
        ParameterError: there is none, or the adapter takes no such parameter or value.
        ConfigError: a parameter that cannot be read.
    """
    if not isinstance(name, str):
        raise ParameterError(f"an axis is a name, not {brief(name)}")
    if "=" in name:
        parameter, value = parse_setting(name, "an axis")
        if named is not None:
            _require(named, parameter, value)
        cause = "another setting rounds to another precision, or runs other kernels"
        return Axis(f"{parameter} is {value}", cause, _changed(parameter, value))
    if name not in AXES:
        known = f"they are {', '.join(AXES)}, and any parameter of the adapter as NAME=VALUE"
        raise ParameterError(f"there is no axis {name!r}{did_you_mean(name, AXES)}; {known}")
    return AXES[name]


AXES: Final[Mapping[str, Axis]] = MappingProxyType(
    {
        "repeat": Axis(
            "the same questions are asked again",
            "the model, or what it runs on, is not deterministic from one run to the next",
            _repeat,
        ),
        "process": Axis(
            "a new process asks",
            "what is chosen when a process starts differs: memory layout, kernels, hash seeds",
            _process,
        ),
        "batch size": Axis(
            "all texts are asked together",
            "kernels for other numbers of rows sum in another order",
            _size,
        ),
        "batch order": Axis(
            "the texts of a batch come in reverse order",
            "the place of a row in the batch decides in which block it is computed",
            _order,
        ),
        "batch neighbours": Axis(
            "other texts stand in the batch",
            "rows of a batch share work that depends on their content, as in a mixture of experts",
            _neighbours,
        ),
        "cache": Axis(
            "a text is evaluated at once in place of token by token with the KV cache",
            "a pass over many tokens and a pass over one use different kernels, which sum in another order",
            _cache,
        ),
        "ancestors": Axis(
            "all prefixes of a text are asked for in one call",
            "several rows of one pass use other kernels than one row",
            _ancestors,
        ),
        "portions": Axis(
            "a text is evaluated in portions of five tokens",
            "the number of tokens in a pass decides which kernels run",
            _portions,
        ),
        "padding": Axis(
            "texts of unequal lengths are asked together",
            "padding moves a row's tokens to other columns, and masked columns join its sums",
            _padding,
        ),
        "threads": Axis(
            "another number of threads computes",
            "threads divide a sum into other parts",
            _threads,
        ),
        "against": Axis(
            "the other adapter answers",
            "another backend or server has other kernels, another precision, or another model",
            _against,
        ),
    }
)
"""All axes by name, in the order in which they are tested."""

DEFAULT: Final = tuple(name for name in AXES if name != "against")
"""The axes that change nothing but the schedule."""


def _require_hits(lab: Lab, asked: Asked, places: Iterable[Place]) -> None:
    """Raise `NotTested` unless at all these places at least half of the tokens needed no evaluation."""
    told = {place: asked.cached.get(place) for place in places}
    if None in told.values():
        raise NotTested("no cache hit: the adapter does not say how many tokens were cached")
    missed = sum(2 * (known or 0) < len(lab.texts[i].prefixes[at]) for (i, at), known in told.items())
    if missed or not told:
        raise NotTested(f"no cache hit: at {missed} of {len(told)} places too few tokens were cached")


def _require_cold(lab: Lab, asked: Asked, places: Iterable[Place]) -> None:
    """Raise `NotTested` unless at all these places less than half of the tokens were cached."""
    for i, at in places:
        known, length = asked.cached.get((i, at)), len(lab.texts[i].prefixes[at])
        if known is None or 2 * known >= length:
            raise NotTested(f"a new adapter had {known} of {length} tokens cached, so nothing was evaluated at once")


def _require(named: Mapping[str, Any], parameter: str, value: Any) -> None:
    """Raise `ParameterError` where the adapter has no such parameter, or it does not take this value."""
    kind = str(named["type"])
    others = {name: each for name, each in named.items() if name != "type"}
    target = registry.load("adapters", kind)[0]
    validated(parameter_model(target, f"adapter {kind!r}"), {**others, parameter: value}, f"adapter {kind!r}")


def _schedule(rows: Rows) -> Mapping[str, Any]:
    """That of the last answer; none is {}."""
    return rows[max(rows)].schedule or {}


def _columns(schedule: Mapping[str, Any] | None) -> int:
    found = (schedule or {}).get("columns", 0)
    return found if isinstance(found, int) else 0


def _properties(lab: Lab) -> Mapping[str, Any]:
    """The schema of each parameter of the adapter.

    Raises:
        NotTested: it has no name.
    """
    if lab.named is None:
        raise NotTested("its parameters are changed by name, and no configuration names this adapter")
    kind = str(lab.named["type"])
    found: Mapping[str, Any] = parameter_schema(registry.load("adapters", kind)[0], f"adapter {kind!r}")["properties"]
    return found
