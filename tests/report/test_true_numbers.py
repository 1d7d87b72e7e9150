"""What a page says is what the record holds: labels, shares to the last digit, and no number of a removed token."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import decodekit
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter
from decodekit.trace.stages import grid, share_text

from .opening import opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXT = "the cat sat on the mat. the dog ran after the cat. " * 4
LITERAL = PiecesTokenizer([b"\x00nul", b"\\x00nul", b"\n", b"\\n", b'"q"'])


def test_escapes_and_backslashes_have_labels_of_their_own(browser: Browser, tmp_path: Path) -> None:
    def following(ids: tuple[int, ...]) -> np.ndarray:
        return np.where(np.arange(5) == len(ids) - 1, 9.0, 0.0)

    adapter = TableAdapter(following, 5, tokenizer=LITERAL)
    result = decodekit.Session(adapter, "temperature=1 greedy").generate([0], max_tokens=5, seed=1)
    for tokenizer in (LITERAL, None):
        with opened(browser, result.trace, tmp_path, tokenizer=tokenizer) as found:
            said = []
            for at in range(5):
                found.page.locator(f"#t{at}").click()
                said.append(found.text(".step h2 .name"))
        assert said == [r'"\x00nul"', r'"\\x00nul"', r'"\n"', r'"\\n"', r'"\"q\""']


def test_every_share_of_every_table_is_that_of_the_record(browser: Browser, tmp_path: Path) -> None:
    model = NGramAdapter(TEXT, order=2)
    session = decodekit.Session(model, decodekit.Chain.of("temperature=1.3 top_p=0.9"), seed=3)
    trace = session.generate("the ", max_tokens=20).trace
    with opened(browser, trace, tmp_path, tokenizer=model.tokenizer) as found:
        for step in trace.steps:
            found.page.locator(f"#t{step.index}").click()
            rows = found.page.locator(".stages tbody tr").all_inner_texts()
            for row, line in zip(rows, grid(step, trace.header.chain)[1], strict=True):
                assert [each.strip() for each in row.split("\t")[1:]] == [cell_of(line.shares, at) for at in range(3)]
            removed = found.page.locator(".stages tfoot tr", has_text="mass removed")
            if removed.count():
                wanted = [share_text(entry.mass_removed) for entry in step.entries]
                assert ["-" if each == "0 %" else each for each in removed.inner_text().split("\t")[2:]] == wanted
            surprisal = found.text("aside .facts")
            assert (
                step.choice.raw_logprob is None
                or f"{-step.choice.raw_logprob:.3f} nats ({100 * math.exp(step.choice.raw_logprob):.2f} %" in surprisal
            )


def cell_of(shares: tuple[float | None, ...], at: int) -> str:
    """A removed token has no number, and its removal is said once."""
    if shares[at] == 0:
        return "removed" if at and shares[at - 1] != 0 else "–"
    return share_text(shares[at]).replace("<", "< ")
