"""The results of an audit as one static page, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from decodekit.text.safe_text import safe_text

if TYPE_CHECKING:
    from decodekit.analysis.audit import AuditReport, Outcome

__all__ = ["page_of"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #8884 }
th { font-weight: 600 } .left { text-align: left } svg { display: block }
.unstable { font-weight: bold; text-decoration: underline } .not-tested { opacity: .6 }
"""
_COLUMNS = (
    "same bits", "max |dlogp|", "mean |dlogp|", "p-weighted", "mean TV", "max TV", "mode flips", "flips", "expected",
    "chance of so many", "at risk", "texts still the same",
)  # fmt: skip
_WIDTH, _HEIGHT = 96, 24  # pixels of a curve


def page_of(report: AuditReport) -> str:
    """A whole HTML document. All text of the model and of the adapter is escaped."""
    against = "" if report.against is None else f" against {report.against.model}"
    title = f"Audit of {report.info.model}{against}"
    facts = f"{report.texts} texts of {report.tokens} tokens, seed {report.seed}, adapter {report.info.name}"
    caught = ", ".join(f"{each.fault}: {'caught' if each.caught else 'NOT CAUGHT'}" for each in report.controls)
    rows = "".join(map(_row, report.outcomes))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in _COLUMNS)
    why = "".join(f"<li><b>{_text(each.axis)}</b>: {_text(each.why)}</li>" for each in report.outcomes)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body><h1>{_text(title)}</h1><p>{_text(facts)}</p>"
        '<div style="overflow-x:auto"><table><thead><tr><th scope="col" class="left">axis</th>'
        f'<th scope="col" class="left">verdict</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"<ul>{why}</ul><p>Planted faults: {_text(caught)}.</p>"
        "<p>|dlogp| in nats. TV: total variation, an upper bound where tokens are undisclosed. Flips: draws with the "
        "same random numbers that give another token, and how many the distributions let expect; at risk: draws whose "
        "margin is small enough. Texts still the same: the share of freely running texts that have not parted, by "
        "token.</p></body></html>\n"
    )


def _row(outcome: Outcome) -> str:
    kind = outcome.word.replace(" ", "-")
    cells = "".join(f"<td>{cell}</td>" for cell in _cells(outcome))
    name = f'<th scope="row" class="left">{_text(outcome.axis)}</th>'
    return f'<tr class="{kind}">{name}<td class="left">{outcome.word}</td>{cells}</tr>'


def _cells(outcome: Outcome) -> Sequence[str]:
    found = outcome.measured
    if found is None:
        return [""] * len(_COLUMNS)
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


def _curve(shares: Sequence[float]) -> str:
    """A line from all texts down to those that are the same after the last token."""
    steps = [1.0, *shares]
    points = " ".join(
        f"{at * _WIDTH / (len(steps) - 1):.1f},{1 + (1 - share) * (_HEIGHT - 2):.1f}" for at, share in enumerate(steps)
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{steps[-1]:.0%} after {len(shares)} tokens">'
        f'<polyline fill="none" stroke="currentColor" stroke-width="1.5" points="{points}"/></svg>'
    )


def _number(value: float) -> str:
    return f"{value:.2g}"


def _text(text: str) -> str:
    return escape(safe_text(text))
