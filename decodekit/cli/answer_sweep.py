"""``decodekit sweep --answers``: the probability of given answers along a grid of temperatures, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from decodekit.cli.bounded import between, line_of, numbers_of
from decodekit.cli.output import console, number, put_json, say, show_table, table
from decodekit.text.labels import quoted

if TYPE_CHECKING:
    from decodekit.analysis import Curves
    from decodekit.analysis.scores.scored import Bounded

__all__ = ["put_curves"]

_MOST_SHOWN = 4  # answers in a table of 80 columns


def put_curves(found: Curves, names: Sequence[str], *, as_json: bool, plot: Path | None) -> None:
    """Show curves: JSON or a table on stdout, and a plot in a file."""
    if as_json:
        put_json(_data(found, names))
    else:
        _show(found, names)
    if plot is not None:
        _plot(found, names, plot)


def _data(found: Curves, names: Sequence[str]) -> dict[str, Any]:
    answers = [
        {
            "text": name,
            "token_ids": list(ids),
            "logprob": numbers_of(found.logprob.low[i], found.logprob.high[i]),
            "entropy": None if found.entropy is None else numbers_of(found.entropy.low[i], found.entropy.high[i]),
            "chance": None if found.chance is None else float(found.chance[i]),
        }
        for i, (name, ids) in enumerate(zip(names, found.answers, strict=True))
    ]
    return {
        "temperatures": list(map(number, found.temperatures.tolist())),
        "answers": answers,
        "together": numbers_of(found.together.low, found.together.high),
        "near": None if found.near is None else numbers_of(found.near.low, found.near.high),
        "rest": None if found.rest is None else numbers_of(found.rest.low, found.rest.high),
        "events": _events(found, names),
    }


def _events(found: Curves, names: Sequence[str]) -> list[dict[str, Any]]:
    """Where an answer overtakes another, and where it falls below chance; none where the curves are only bounded."""
    if not found.logprob.known:
        return []
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    events = [
        {"answer": names[i if each.rising else j], "overtakes": names[j if each.rising else i], **_where(each)}
        for i, j in pairs
        for each in found.overtaken(i, j)
    ]
    if found.chance is not None:
        events += [
            {"answer": name, "chance": "above" if each.rising else "below", **_where(each)}
            for i, name in enumerate(names)
            for each in found.below_chance(i)
        ]
    return sorted(events, key=lambda event: event["between"][0])


def _where(crossing: Any) -> dict[str, Any]:
    return {"temperature": number(crossing.at), "between": [crossing.low, number(crossing.high)]}


def _show(found: Curves, names: Sequence[str]) -> None:
    out = console()
    shown = [quoted(name) for name in names[:_MOST_SHOWN]]
    beside: Mapping[str, Bounded | None] = {"near misses": found.near, "rest": found.rest}
    more = [name for name, values in beside.items() if values is not None]
    more += [] if found.entropy is None else ["entropy"]
    made = table("T", *shown, *more, right=("T", *shown, *more))
    for at, temperature in enumerate(found.temperatures.tolist()):
        cells = [_percent(np.exp(found.logprob.low[i, at]), np.exp(found.logprob.high[i, at]))
                 for i in range(len(shown))]  # fmt: skip
        cells += [_percent(values.low[at], values.high[at]) for values in beside.values() if values is not None]
        if found.entropy is not None:
            mean = [side[:, at].mean() for side in (found.entropy.low, found.entropy.high)]
            cells.append(between(*(f"{each:.3f}" for each in mean)))
        made.add_row(f"{temperature:.4g}", *cells)
    show_table(out, made)
    for event in _events(found, names):
        if "chance" in event:
            what = "falls below chance" if event["chance"] == "below" else "rises above chance"
        else:
            what = f"overtakes {quoted(event['overtakes'])}"
        low, high = event["between"]
        out.print(Text(f"{quoted(event['answer'])} {what} between T = {low:.4g} and {float(high):.4g}"), soft_wrap=True)
    if len(names) > _MOST_SHOWN:
        say(f"the first {_MOST_SHOWN} of {len(names)} answers; --json has all")


def _percent(low: float, high: float) -> str:
    return between(*(f"{100 * each:.3g} %" for each in (low, high)))


def _plot(found: Curves, names: Sequence[str], path: Path) -> None:
    from decodekit.analysis.plots import plot_curves

    lines = {name: line_of(np.exp(found.logprob.low[i]), np.exp(found.logprob.high[i])) for i, name in enumerate(names)}
    if found.near is not None and found.rest is not None:
        lines |= {
            "near misses": line_of(found.near.low, found.near.high),
            "rest": line_of(found.rest.low, found.rest.high),
        }
    if np.isinf(found.temperatures).any():
        say("--plot: a temperature of infinity has no place on the axis; the table and --json have its values")
    plot_curves(path, found.temperatures, lines, x_label="temperature", y_label="probability", log_y=True)
