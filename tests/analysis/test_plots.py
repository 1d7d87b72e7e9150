"""Plots are files of the kind that their name says, with what they were given, and change nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from decodekit import ConfigError, ParameterError
from decodekit.analysis.plots import Line, plot_bars, plot_curves, plot_frontier, plot_reliability, plot_survival

matplotlib = pytest.importorskip("matplotlib")

X = np.linspace(0, 1, 5)
BAND = Line(X**2, X**2 - 0.1, X**2 + 0.1)
NAMES = ["<b>&bold", "_$5 a\\b $10"]
PLOTS: dict[str, Callable[[Path], None]] = {
    "curves": lambda path: plot_curves(path, X, {NAMES[0]: BAND, NAMES[1]: Line([0, np.nan, -np.inf, 1, 2])},
                                       x_label="T", y_label="p", log_y=True, marks={"here": 0.5}),
    "survival": lambda path: plot_survival(path, X, dict.fromkeys(NAMES, BAND)),
    "reliability": lambda path: plot_reliability(path, X, X, X - 0.1, X + 0.1, [1, 2, 3, 4, 0], title=" ".join(NAMES)),
    "bars": lambda path: plot_bars(path, NAMES, {"one": [1, 2], "two": [np.nan, 3]}, x_label="p"),
    "frontier": lambda path: plot_frontier(path, dict.fromkeys(NAMES, (X, BAND))),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLOTS)
def test_a_plot_is_a_file_that_is_the_same_each_time(kind: str, tmp_path: Path) -> None:
    settings = dict.copy(matplotlib.rcParams)  # reading an item may set it
    for name in ("a.svg", "b.svg", *(["a.PNG"] if kind == "curves" else [])):
        PLOTS[kind](tmp_path / name)
    drawn = (tmp_path / "a.svg").read_bytes()
    assert drawn.startswith(b"<?xml") and drawn == (tmp_path / "b.svg").read_bytes()
    assert all(text in drawn for text in (b"&lt;b&gt;&amp;bold", b"_$5 a\\b $10"))
    assert kind != "curves" or (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    assert dict.copy(matplotlib.rcParams) == settings


def test_more_lines_than_colours_are_drawn(tmp_path: Path) -> None:
    plot_curves(tmp_path / "p.svg", X, {f"line {i}": BAND for i in range(9)}, x_label="x", y_label="y")
    assert all(f"line {i}" in (tmp_path / "p.svg").read_text() for i in range(9))


@pytest.mark.parametrize(
    ("name", "message"), [("p.pdf", ".png or .svg"), ("p", ".png or .svg"), ("no/p.svg", "folder")]
)
def test_a_file_that_cannot_be_a_plot_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        PLOTS["survival"](tmp_path / name)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"decodekit\[plots\]"):
        PLOTS["survival"](tmp_path / "p.svg")


def test_a_point_without_a_neighbour_has_a_mark(tmp_path: Path) -> None:
    for name, y in (("alone", [np.nan, 1.0, 0.0, 2.0, 3.0]), ("together", [1.0, 1.0, 1.0, 2.0, 3.0])):
        plot_curves(tmp_path / f"{name}.svg", X, {"a": Line(y)}, x_label="x", y_label="y", log_y=True)
    marks = [
        sum("<use " in line and "#0072b2" in line for line in (tmp_path / f"{name}.svg").read_text().splitlines())
        for name in ("alone", "together")
    ]
    assert marks[0] > marks[1] == 0  # the legend has it too


@pytest.mark.parametrize(("lines", "message"), [
    ({"a": Line(X[:3])}, "line 'a' has 3 values for 5 places"),
    ({"a": Line(X, X[:2], X)}, "a band of another length"),
    ({"a": Line(["x"] * 5)}, "line 'a' is a list of numbers"),
    ({}, "nothing to draw"), ({"a": Line(X * np.nan)}, "nothing to draw"), ({"a": Line(-X)}, "above 0 for a log"),
])  # fmt: skip
def test_lines_that_cannot_be_drawn_are_refused(lines: dict[str, Line], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=message):
        plot_curves(tmp_path / "p.svg", X, lines, x_label="x", y_label="y", log_y=True)
    with pytest.raises(ParameterError, match="counts: there are 2 for 5"):
        plot_reliability(tmp_path / "p.svg", X, X, X, X, [1, 2])
    assert not (tmp_path / "p.svg").exists()
