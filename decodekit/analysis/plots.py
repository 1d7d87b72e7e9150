"""Plots of what the analyses compute, as PNG or SVG, with matplotlib. Extra: ``plots``.

Each function takes numbers and a path and writes one file. Figures are made without pyplot, so that nothing global
changes and any thread may draw. Colours are those of Okabe and Ito (2008), which the colour-blind can tell apart;
lines differ in their dashes too, for print without colours.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from decodekit.analysis.numbers.given_numbers import numbers
from decodekit.errors import ConfigError, ParameterError
from decodekit.types import Floats, PathLike

__all__ = [
    "FORMATS",
    "Line",
    "check_plot",
    "plot_bars",
    "plot_curves",
    "plot_frontier",
    "plot_reliability",
    "plot_survival",
]

FORMATS = (".png", ".svg")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
_one_at_a_time = threading.Lock()  # the settings of an SVG file are global to matplotlib


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot.

    Args:
        y: float[m]; NaN and infinities leave gaps.
        low, high: float[m], a band around it, such as an interval; None for no band.
    """

    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def check_plot(path: PathLike) -> None:
    """Require that a plot can be written here.

    Raises:
        ConfigError: the name does not end in .png or .svg, its folder does not exist, or matplotlib is not installed.
    """
    file = Path(path)
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"{file}: a plot is a file that ends in .png or .svg")
    if not file.parent.is_dir():
        raise ConfigError(f"cannot create {file}: there is no folder {str(file.parent)!r}")
    _matplotlib()


def plot_curves(
    path: PathLike,
    x: ArrayLike,
    lines: Mapping[str, Line],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_y: bool = False,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Lines over one axis, each with its band.

    Args:
        path: a .png or .svg file; one that exists is written over.
        x: float[m].
        lines: by their names in the legend.
        x_label, y_label, title: texts, shown as they are.
        log_y: a logarithmic axis; values that are not positive leave gaps.
        marks: vertical lines at these places, by their names.

    Raises:
        ParameterError: a line has not as many values as x, or no line has a value that can be drawn.
        ConfigError: as `check_plot`; or it cannot be written.
    """
    points = _points(path, {name: (x, line) for name, line in lines.items()}, least=0.0 if log_y else -np.inf)
    with _axes(path, x_label, y_label, title) as (axes, named):
        for (name, line), colour, dash in zip(lines.items(), _cycle(_COLOURS), _cycle(_DASHES), strict=False):
            named[_draw(axes, *points[name], line, colour, dash)] = name
        for name, place in (marks or {}).items():
            axes.axvline(place, color="#777777", linewidth=0.8, linestyle=":")
            axes.annotate(name, (place, 1.0), xycoords=("data", "axes fraction"), fontsize=7, rotation=90,
                          va="top", ha="right", color="#555555", parse_math=False)  # fmt: skip
        if log_y:
            axes.set_yscale("log", nonpositive="mask")


def plot_survival(
    path: PathLike, steps: ArrayLike, lines: Mapping[str, Line], *, x_label: str = "token", y_label: str = "share left"
) -> None:
    """Survival curves: the share that is left at each step, as stairs, from 0 to 1. Arguments as `plot_curves`."""
    points = _points(path, {name: (steps, line) for name, line in lines.items()})
    with _axes(path, x_label, y_label, "") as (axes, named):
        for (name, line), colour, dash in zip(lines.items(), _cycle(_COLOURS), _cycle(_DASHES), strict=False):
            named[_draw(axes, *points[name], line, colour, dash, stairs=True)] = name
        axes.set_ylim(-0.02, 1.02)


def plot_reliability(
    path: PathLike,
    confidence: ArrayLike,
    observed: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    counts: ArrayLike,
    *,
    title: str = "",
) -> None:
    """A reliability diagram: how often the bins of a predictor were right, against how sure it was.

    Args:
        path: a .png or .svg file.
        confidence: float[b], the mean predicted probability of each bin.
        observed: float[b], the share that was right.
        low, high: float[b], an interval of that share.
        counts: int[b], how many predictions; the area of a point follows it.
        title: text.

    Raises:
        ParameterError, ConfigError: as `plot_curves`.
    """
    x, y = _points(path, {"observed": (confidence, Line(observed, low, high))})["observed"]
    number = numbers(counts, "counts")
    if number.shape != x.shape:
        raise ParameterError(f"counts: there are {len(number)} for {len(x)} bins")
    with _axes(path, "predicted probability", "observed share", title) as (axes, named):
        spread = np.clip([y - np.asarray(low), np.asarray(high) - y], 0, None)
        named[axes.plot([0, 1], [0, 1], color="#777777", linewidth=0.8, linestyle=":")[0]] = "perfect"
        axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=_COLOURS[0], elinewidth=1)
        axes.scatter(x, y, s=8 + 80 * number / max(float(number.max(initial=0)), 1.0), color=_COLOURS[0])
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")


def plot_frontier(
    path: PathLike,
    methods: Mapping[str, tuple[ArrayLike, Line]],
    *,
    x_label: str = "KL from the model, nats",
    y_label: str = "expected reward",
    title: str = "",
) -> None:
    """What is reached at which cost: for each method its points, from left to right, with their intervals.

    Args:
        path: a .png or .svg file.
        methods: the cost of each point, float[n], and what is reached, by the method's name.
        x_label, y_label, title: texts.

    Raises:
        ParameterError, ConfigError: as `plot_curves`.
    """
    points = _points(path, methods)
    with _axes(path, x_label, y_label, title) as (axes, named):
        for (name, (_, line)), colour, dash in zip(methods.items(), _cycle(_COLOURS), _cycle(_DASHES), strict=False):
            x, y = points[name]
            (drawn,) = axes.plot(x, y, color=colour, linestyle=dash, marker="o", markersize=3, linewidth=1.2)
            named[drawn] = name
            if line.low is not None and line.high is not None:
                spread = np.clip([y - np.asarray(line.low), np.asarray(line.high) - y], 0, None)
                axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.8)


def plot_bars(
    path: PathLike, names: Sequence[str], bars: Mapping[str, ArrayLike], *, x_label: str, title: str = ""
) -> None:
    """Horizontal bars, in groups: a group for each name, from the top down, and in it a bar of each kind.

    Args:
        path: a .png or .svg file.
        names: of the groups.
        bars: float[len(names)], by the kind's name in the legend; NaN and infinities leave gaps.
        x_label, title: texts.

    Raises:
        ConfigError, ParameterError: as `plot_curves`.
    """
    points = _points(path, {kind: (np.arange(len(names)), Line(values)) for kind, values in bars.items()})
    with _axes(path, x_label, "", title) as (axes, named):
        height = 0.8 / max(1, len(bars))
        for at, ((kind, (x, y)), colour) in enumerate(zip(points.items(), _cycle(_COLOURS), strict=False)):
            places = x + (at - (len(bars) - 1) / 2) * height
            named[axes.barh(places, y, height * 0.9, color=colour)] = kind
        axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
        axes.invert_yaxis()


def _points(
    path: PathLike, lines: Mapping[str, tuple[ArrayLike, Line]], *, least: float = -np.inf
) -> dict[str, tuple[Floats, Floats]]:
    """The x and y of lines by their names; y is NaN where it cannot be drawn: not above ``least``, or no number.

    Raises:
        ParameterError: a line has not as many values as places; or no line has a point that can be drawn.
    """
    found = {}
    for name, (places, line) in lines.items():
        x, y = numbers(places, "x"), numbers(line.y, f"line {name!r}")
        band = [numbers(side, f"the band of line {name!r}") for side in (line.low, line.high) if side is not None]
        if any(each.shape != x.shape for each in (y, *band)):
            raise ParameterError(f"line {name!r} has {len(y)} values for {len(x)} places, or a band of another length")
        found[name] = x, np.where(np.isfinite(x) & np.isfinite(y) & (y > least), y, np.nan)
    if not any((~np.isnan(y)).any() for _, y in found.values()):
        scale = "" if least == -np.inf else f", and above {least:g} for a logarithmic axis"
        raise ParameterError(f"{path}: there is nothing to draw: no line has a point; points are finite numbers{scale}")
    return found


def _draw(axes: Any, x: Floats, y: Floats, line: Line, colour: str, dash: Any, *, stairs: bool = False) -> Any:
    """Draw a line and its band, and a mark where a point has no neighbour. Returns what stands for it in a legend."""
    style: dict[str, Any] = {"drawstyle": "steps-post"} if stairs else {}
    gaps = np.isnan(np.concatenate([[np.nan], y, [np.nan]]))
    alone = np.flatnonzero(~gaps[1:-1] & gaps[:-2] & gaps[2:]).tolist()
    style |= {"marker": "o", "markersize": 3, "markevery": alone} if alone else {}
    (drawn,) = axes.plot(x, y, color=colour, linestyle=dash, **style)
    if line.low is not None and line.high is not None:
        step = {"step": "post"} if stairs else {}
        axes.fill_between(x, line.low, line.high, color=colour, alpha=0.2, linewidth=0, **step)
    return drawn


@contextmanager
def _axes(path: PathLike, x_label: str, y_label: str, title: str) -> Iterator[tuple[Any, dict[Any, str]]]:
    """The axes of a new figure, and what stands in its legend by name; it is written at the end."""
    check_plot(path)
    matplotlib, figure_type = _matplotlib()
    with _one_at_a_time, matplotlib.rc_context({"svg.hashsalt": "decodekit", "svg.fonttype": "none"}):
        figure = figure_type(figsize=(6.4, 4.0), dpi=150, layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel(x_label, parse_math=False)  # a dollar is no formula
        axes.set_ylabel(y_label, parse_math=False)
        axes.set_title(title, fontsize=9, parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        named: dict[Any, str] = {}
        yield axes, named
        legend = axes.legend(list(named), list(map(str, range(len(named)))), frameon=False, fontsize=8)
        for text, name in zip(legend.get_texts(), named.values(), strict=True):
            text.set(text=name, parse_math=False)  # here a name may begin with an underscore too
        form = Path(path).suffix.lower()[1:]
        try:
            figure.savefig(path, format=form, metadata={"Date": None} if form == "svg" else {})
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _cycle(styles: tuple[Any, ...]) -> Iterator[Any]:
    while True:
        yield from styles


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need matplotlib: pip install 'decodekit[plots]'") from error
    return matplotlib, Figure
