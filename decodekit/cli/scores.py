"""Scored texts on the screen, as JSON and as a plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from rich.text import Text

from decodekit.analysis.scores.scored import TextScore, Total
from decodekit.cli.bounded import between, line_of, numbers_of, point_of
from decodekit.cli.output import console, put_json, show_table, table
from decodekit.text.labels import token_label
from decodekit.text.safe_text import safe_text

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["put_many", "put_one"]

_COLUMNS = ("probability", "rank", "surprisal", "entropy", "difference")


def put_one(found: TextScore, tokenizer: Tokenizer | None, *, as_json: bool, plot: Path | None) -> None:
    """Show one text token by token."""
    if as_json:
        put_json(_data(found))
    else:
        _show(found, tokenizer)
    if plot is not None:
        _plot(found, plot)


def _show(found: TextScore, tokenizer: Tokenizer | None) -> None:
    out = console()
    made = table("token", *_COLUMNS, right=_COLUMNS)
    for at, token_id in enumerate(found.token_ids):
        logprob, rank, entropy, gap = (
            (each.low[at], each.high[at]) for each in (found.logprob, found.rank, found.entropy, found.gap)
        )
        made.add_row(
            Text(token_label(tokenizer, token_id)),
            between(*(f"{100 * math.exp(each):.3g} %" for each in logprob)),
            between(*(f"{each:.0f}" for each in rank)),
            between(f"{-logprob[1]:.3f}", f"{-logprob[0]:.3f}"),
            between(*(f"{each:.3f}" for each in entropy)),
            between(*(f"{each:.3f}" for each in gap)),
        )
    show_table(out, made)
    out.print()
    for name, words in _totals(found).items():
        out.print(Text(f"{name:<15} {words}"))


def put_many(found: Iterator[TextScore], labels: Sequence[str | int], *, as_json: bool) -> None:
    """Show each text on a line, as soon as it is scored; ``labels`` grows as texts are read."""
    made = table("text", "tokens", "total", "perplexity", "bits per byte", right=("tokens", "total", "perplexity"))
    for at, each in enumerate(found):
        if as_json:
            put_json({"id": labels[at], **_data(each)})
        else:
            totals = _totals(each)
            made.add_row(safe_text(str(labels[at])), str(len(each.token_ids)),
                         *(totals.get(name, "") for name in ("total", "perplexity", "bits per byte")))  # fmt: skip
    if not as_json:
        show_table(console(), made)


def _totals(found: TextScore) -> dict[str, str]:
    names = [name for name in get_args(Total) if name != "bits_per_byte" or found.size]
    units = {"total": " nats", "per_token": " nats"}
    return {
        name.replace("_", " "): between(*(f"{each:.4f}" for each in found.bounds(name))) + units.get(name, "")
        for name in names
    }


def _data(found: TextScore) -> dict[str, Any]:
    names = [name for name in get_args(Total) if name != "bits_per_byte" or found.size]
    return {
        "token_ids": list(found.token_ids),
        "given": found.given,
        "tokenised": found.tokenised,
        "bytes": found.size,
        "logprob": numbers_of(found.logprob.low, found.logprob.high),
        "rank": numbers_of(found.rank.low, found.rank.high, whole=True),
        "entropy": numbers_of(found.entropy.low, found.entropy.high),
        "difference": numbers_of(found.gap.low, found.gap.high),
        **{name: point_of(*found.bounds(name)) for name in names},
    }


def _plot(found: TextScore, path: Path) -> None:
    from decodekit.analysis.plots import plot_curves

    lines = {
        "surprisal": line_of(-found.logprob.high, -found.logprob.low),
        "entropy": line_of(found.entropy.low, found.entropy.high),
    }
    plot_curves(path, np.arange(len(found.token_ids)), lines, x_label="token", y_label="nats")
