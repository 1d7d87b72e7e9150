"""Why a token was chosen, as data, as text and as HTML: the stages of its step, the draw, and the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.draw.randomness import gumbel_of, uniform_of
from decodekit.html.bars import bar
from decodekit.html.markup import Markup, block, sentences, table
from decodekit.plugin import registry
from decodekit.text.labels import quoted, token_label
from decodekit.text.safe_text import safe_text
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.named_texts import DRAWN_BY, named_labels
from decodekit.trace.stages import Column, Recorded, TokenLine, grid, share_text

__all__ = ["Explanation", "draw_facts", "explain_step", "labels_for", "margin_unit"]


@dataclass(frozen=True)
class Explanation:
    """Why a token was chosen. As text with ``str``, as a table in a notebook.

    Args:
        index: the step's.
        token_id: the token.
        before: the end of the text that the model had read; '' where that is not known.
        columns: the model's distribution, and the result of each processor.
        rows: the leading tokens with their probability at each of these stages.
        labels: what each token of the rows is called.
        facts: (name, sentence) of the draw, of the score where there is one, and of the margin.
        verified: the word of `decodekit.verify` for the step; '' where it was not verified.
    """

    index: int
    token_id: int
    before: str
    columns: tuple[Column, ...]
    rows: tuple[TokenLine, ...]
    labels: Mapping[int, str]
    facts: tuple[tuple[str, str], ...]
    verified: str = ""

    @property
    def title(self) -> str:
        """The step and its token."""
        return f"step {self.index}: {self.labels[self.token_id]}"

    def __str__(self) -> str:
        body = self._body()
        widths = [max(len(line[at]) for line in body) for at in range(len(body[0]))]
        lines = [
            "  ".join(
                cell.ljust(width) if at < 2 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in body
        ]
        facts = [f"  {name:<8}{sentence}" for name, sentence in self._all_facts()]
        return "\n".join([self._heading(), "", *lines, "", *facts])

    def __repr__(self) -> str:
        return f"Explanation({self.title}, {len(self.columns)} stages)"

    def to_html(self) -> str:
        """The table and the facts as static HTML; every text is escaped."""
        head, *body = self._body()
        chosen = frozenset(at for at, line in enumerate(body) if line[0])
        bars = [bar(row.shares[-1]) for row in self.rows] + [Markup()] * (len(body) - len(self.rows))
        rows = [[*line, drawn] for line, drawn in zip(body, bars, strict=True)]
        made = table(self._heading(), [*head, ""], rows, left=2, bold=chosen)
        return block(made, sentences(self._all_facts()))

    def _repr_mimebundle_(self, **formats: object) -> dict[str, str]:
        """For a screen that shows no HTML, the table as text."""
        return {"text/plain": str(self), "text/html": self.to_html()}

    def _repr_html_(self) -> str:
        return self.to_html()

    def _heading(self) -> str:
        return f"{self.title}  after {self.before}" if self.before else self.title

    def _body(self) -> list[list[str]]:
        """The table: the headings, a line for each token, and what is left at each stage."""
        headings = [safe_text(f"{column.name} {column.detail}".rstrip()) for column in self.columns]
        lines = [
            [">" if row.chosen else "", self.labels[row.token_id], *map(share_text, row.shares)] for row in self.rows
        ]
        left = ["?" if column.support is None else str(column.support) for column in self.columns]
        entropy = ["?" if column.entropy is None else f"{column.entropy:.3f}" for column in self.columns]
        return [["", "token", *headings], *lines, ["", "tokens left", *left], ["", "entropy (nats)", *entropy]]

    def _all_facts(self) -> list[tuple[str, str]]:
        return [*self.facts, *([("check", self.verified)] if self.verified else [])]


def explain_step(
    step: Recorded,
    chain: Mapping[str, Any] | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    before: str = "",
    verified: str = "",
) -> Explanation:
    """The explanation of one step.

    Args:
        step: the step.
        chain: as a trace's header describes it; without it, the names of the recorded entries alone.
        tokenizer: for the texts of tokens; without it, their ids, and the step's own text.
        before, verified: as of `Explanation`.
    """
    if chain is None:
        chain = {"processors": [{"name": entry.name} for entry in step.entries]}
    columns, rows = grid(step, chain)
    label = labels_for(step, tokenizer)
    labels = {row.token_id: label(row.token_id) for row in rows}  # the runner-up is one of them
    facts = draw_facts(step, registry.shown_name("samplers", chain.get("sampler", {})), label)
    return Explanation(step.index, step.token_id, before, tuple(columns), tuple(rows), labels, facts, verified)


def labels_for(step: Recorded, tokenizer: Tokenizer | None) -> Callable[[int], str]:
    """What a token is called at this step: its text in quotes, safe to show, or its id where it has no text."""
    named = named_labels(step.schedule)

    def label(token_id: int) -> str:
        if tokenizer is None and step.text and token_id == step.token_id:
            return quoted(step.text)
        return named[token_id] if token_id in named else token_label(tokenizer, token_id)

    return label


def margin_unit(sampler: str) -> str:
    """What the margin of a sampler of the core is measured in; '' for others."""
    return "mass" if sampler == "inverse_cdf" else "nats" if sampler in ("multinomial", "greedy") else ""


def draw_facts(step: Recorded, sampler: str, label: Callable[[int], str]) -> tuple[tuple[str, str], ...]:
    """(name, sentence): how the choice was made, the random word, the numbers computed from it, and the margin."""
    choice, draw = step.choice, step.draw
    if DRAWN_BY in (step.schedule or {}):
        return ("draw", "by the provider, with random numbers of its own"), ("margin", "not known")
    unit = {"mass": " of the mass", "nats": " nats", "": ""}[margin_unit(sampler)]
    margin = "nothing else was possible"
    if choice.runner_up is not None:
        margin = f"{choice.margin:.4f}{unit} to {label(choice.runner_up)}, the runner-up"
    lines = [("draw", f"none: {sampler or 'the sampler'} uses no randomness")]
    if draw is not None:
        words = np.array([draw.word], dtype=np.uint64)
        u, gumbel = float(uniform_of(words)[0]), float(gumbel_of(words)[0])
        lines = [("draw", f"word {draw.word:016x}, u {u:.6f}")]
        if sampler == "multinomial":
            sign = "-" if gumbel < 0 else "+"
            lines = [
                ("draw", f"{lines[0][1]}, Gumbel {gumbel:.4f}"),
                ("score", f"{choice.score - gumbel:.4f} {sign} {abs(gumbel):.4f} = {choice.score:.4f}"),
            ]
    return tuple((name, safe_text(line)) for name, line in [*lines, ("margin", margin)])
