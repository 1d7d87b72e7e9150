"""A report of 10,000 tokens: how long it takes to write, how large it is, and how soon a browser shows it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import compress
from pathlib import Path

import numpy as np

import decodekit
from decodekit.report import write_report
from decodekit.report.scripts import joined
from decodekit.testing import TableAdapter
from decodekit_llamacpp import read_vocabulary

from ..browser import chromium

HEADER = "| what | found | goal | |\n| --- | --- | --- | --- |"
VOCABULARY = 49152
SPREAD = 4.5  # of normal scores: an entropy of about 2 nats, as of a language model


@dataclass(frozen=True)
class Figure:
    """One measured number, and what it should stay under; no goal is infinite."""

    what: str
    found: float
    unit: str
    goal: float

    def line(self) -> str:
        met = "" if self.goal == float("inf") else "met" if self.found <= self.goal else "MISSED"
        goal = "" if self.goal == float("inf") else f"{self.goal:g} {self.unit}"
        return f"| {self.what} | {self.found:.4g} {self.unit} | {goal} | {met} |"


_SCORES = np.random.default_rng(7).normal(0, SPREAD, VOCABULARY).astype(np.float32)


def _scores(ids: tuple[int, ...]) -> np.ndarray:
    """Other leading tokens after each token, and other scores at each step."""
    return np.roll(_SCORES, 7919 * ids[-1] + len(ids)) * np.float32(1 + len(ids) / 40_000)


def trace_of(tokens: int, chain: str, path: Path) -> None:
    """A run over scores like those of a language model of this vocabulary, without the model."""
    session = decodekit.Session(TableAdapter(_scores, VOCABULARY), decodekit.Chain.of(chain))
    session.generate([5], max_tokens=tokens, seed=1, trace=path)


def measure(tokens: int = 10_000, rounds: int = 3, openings: int = 9) -> Iterator[Figure]:
    """The rows of the table."""
    tokenizer = read_vocabulary("smollm2")
    with tempfile.TemporaryDirectory() as folder:
        for what, chain in (("top_p", "temperature=0.8 top_p=0.95"), ("untruncated", "temperature=0.8")):
            path, page = Path(folder, f"{what}.jsonl"), Path(folder, f"{what}.html")
            trace_of(tokens, chain, path)
            taken = []
            for _ in range(rounds):
                start = time.process_time()
                write_report(path, page, tokenizer=tokenizer)
                taken.append(time.process_time() - start)
            yield Figure(f"written, {tokens:,} tokens, {what}", min(taken), "s of CPU time", 3.0)
            yield Figure(f"size, {what}", page.stat().st_size / 1e6, "MB", 3.0)
            yield from _in_a_browser(page, what, openings)
    tokenizer.close()
    yield Figure("script, gzipped", len(compress(joined().encode(), 9)) / 1e3, "kB", float("inf"))
    yield Figure("of it the check", len(compress(joined("check_trace").encode(), 9)) / 1e3, "kB", float("inf"))


_PAINT = "() => performance.getEntriesByType('paint').find((each) => each.name === 'first-contentful-paint')?.startTime"
_COLOURED = """(() => {
  const look = () => {
    if (document.querySelector('[role=option]')) window.coloured = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""
_JUMP = """() => new Promise((done) => {
  const began = performance.now();
  document.querySelector('[role=listbox]').dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})"""


def _in_a_browser(page: Path, what: str, rounds: int) -> Iterator[Figure]:
    paints, coloured, jumps, nodes = [], [], [], 0
    with chromium() as browser:
        for _ in range(rounds):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.add_init_script(_COLOURED)
            tab.goto(page.as_uri())
            tab.wait_for_selector("aside article")
            paints.append(tab.evaluate(_PAINT))
            coloured.append(tab.evaluate("() => window.coloured"))
            nodes = tab.evaluate("() => document.getElementsByTagName('*').length")
            tab.wait_for_timeout(2500)  # until the draws are checked
            jumps.append(tab.evaluate(_JUMP))
            tab.close()
    yield Figure(f"first paint, {what}", statistics.median(paints), "ms", 200.0)
    yield Figure(f"tokens with their colours, {what}", statistics.median(coloured), "ms", float("inf"))
    yield Figure(f"jump to the end, {what}", statistics.median(jumps), "ms", 100.0)
    yield Figure(f"elements, {what}", nodes, "", float("inf"))
