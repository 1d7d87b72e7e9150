"""The results of an audit as one static page, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from decodekit.html.markup import Markup, join, note, sentences, shown, table
from decodekit.text.counted import counted

if TYPE_CHECKING:
    from decodekit.analysis.audit import AuditReport, Outcome

__all__ = ["page_of"]

_COLUMNS = (
    "axis", "verdict", "same bits", "max |dlogp|", "mean |dlogp|", "p-weighted", "mean TV", "max TV", "mode flips",
    "flips", "expected", "chance of so many", "at risk", "texts still the same",
)  # fmt: skip
_LEGEND = (
    "|dlogp| in nats. TV: total variation, an upper bound where tokens are undisclosed. Flips: draws with the same "
    "random numbers that give another token, and how many the distributions let expect; at risk: draws whose margin "
    "is small enough. Texts still the same: the share of freely running texts that have not parted, by token."
)
_STYLE = ":root { color-scheme: light dark } body { font: 16px/1.5 system-ui, sans-serif; margin: 2em }"
_WIDTH, _HEIGHT = 96, 24  # pixels of a curve


def page_of(report: AuditReport) -> str:
    """A whole HTML document. All text of the model and of the adapter is escaped."""
    against = "" if report.against is None else f" against {report.against.model}"
    title = shown(f"Audit of {report.info.model}{against}")
    size = f"{counted(report.texts, 'text')} of {counted(report.tokens, 'token')}"
    facts = f"{size}, seed {report.seed}, adapter {report.info.name}"
    rows = [(each.axis, each.word, *_cells(each)) for each in report.outcomes]
    caught = [(f"planted fault {each.fault}", "caught" if each.caught else "NOT CAUGHT") for each in report.controls]
    body = join(
        [
            Markup(f"<h1>{title}</h1>"),
            table(facts, _COLUMNS, rows, left=2),
            note(_LEGEND),
            sentences((each.axis, each.why) for each in report.outcomes),
            sentences(caught),
        ]
    )
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _cells(outcome: Outcome) -> Sequence[str]:
    found = outcome.measured
    if found is None:
        return [""] * (len(_COLUMNS) - 2)
    low, high = found.expected
    numbers = [found.largest, found.mean, found.weighted, found.tv_mean.high, found.tv_max.high]
    return [
        f"{found.equal} of {found.places}",
        *map(_number, numbers),
        f"{found.mode_flips} of {found.modes}",
        f"{found.flips} of {found.draws}",
        _number(low) if low == high else f"{_number(low)} to {_number(high)}",
        "" if found.by_chance is None else _number(found.by_chance),
        str(found.at_risk),
        "" if found.survival is None else _curve(found.survival),
    ]


def _curve(shares: Sequence[float]) -> Markup:
    """A line from all texts down to those that are the same after the last token."""
    steps = [1.0, *shares]
    points = " ".join(
        f"{at * _WIDTH / (len(steps) - 1):.1f},{1 + (1 - share) * (_HEIGHT - 2):.1f}" for at, share in enumerate(steps)
    )
    label = f"{steps[-1]:.0%} after {counted(len(shares), 'token')}"
    return Markup(
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{points}"/></svg>'
    )


def _number(value: float) -> str:
    return f"{value:.2g}"
