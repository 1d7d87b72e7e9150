"""The check of a whole trace in the page: the verdicts of the conformance folder, and those of `decodekit.verify`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

import decodekit
from decodekit.testing import TableAdapter
from tests.trace.golden_runs import scores

from .checking import by_decodekit, by_page, differences
from .tampering import honest, tampered

if TYPE_CHECKING:
    from playwright.sync_api import Page

TRACES = Path(__file__).parents[1] / "trace"
CONFORMANCE = TRACES / "conformance"


def test_each_trace_of_the_conformance_folder_gets_its_verdict(modules: Page) -> None:
    verdicts = json.loads((CONFORMANCE / "verdicts.json").read_text())
    found = by_page(modules, [(CONFORMANCE / name).read_bytes() for name in verdicts])
    for (name, row), verdict in zip(verdicts.items(), found, strict=True):
        step = row["verify"]["step"]
        wanted = row["verify"]["word"], None if step is None else str(step)
        assert (verdict["word"], verdict["step"]) == wanted, (name, verdict["why"])


def test_it_agrees_with_verify_on_500_traces(modules: Page, tmp_path: Path) -> None:
    """108 honest runs and the golden traces, then as many as are missing with one thing changed, always the same."""
    files = [path.read_bytes() for path in (*honest(tmp_path), *sorted(TRACES.glob("golden/**/*.jsonl")))]
    others = ("abandoned", "streams", "ambiguous", "resumed", "last_stream")
    sources = files + [(CONFORMANCE / f"{name}.jsonl").read_bytes() for name in others]
    chance = Random(14)
    while len(files) < 500:
        files.append(tampered(chance.choice(sources), chance))
    assert differences(modules, files, tmp_path / "one.jsonl") == []
    words = Counter(by_decodekit(data, tmp_path / "one.jsonl")["word"] for data in files)
    assert set(words) == {"proved", "consistent", "ambiguous", "incomplete", "failed", "refused"}
    assert words["failed"] > 150 and words["proved"] > 100


def test_a_floor_in_a_vocabulary_of_49152_tokens(modules: Page, tmp_path: Path) -> None:
    size = 49_152
    adapter = TableAdapter(lambda ids: scores(ids, size).astype(np.float32), size)
    path = tmp_path / "wide.jsonl"
    decodekit.Session(adapter, seed=3).generate([5], max_tokens=4, trace=path)
    trace = decodekit.read_trace(path)
    assert any(step.evidence is not None and step.evidence.floor is not None for step in trace.steps)
    assert differences(modules, [path.read_bytes()], tmp_path / "one.jsonl") == []
    assert by_page(modules, [path.read_bytes()])[0]["word"] == "proved"


def test_a_text_is_checked_as_its_bytes(modules: Page) -> None:
    text = (CONFORMANCE / "top_p.jsonl").read_text()
    script = """async (text) => (await import("/check_trace.js")).checkTrace(text).word"""
    assert modules.evaluate(script, text) == "proved"
    assert modules.evaluate(script, text + "\ud800") == "failed"


STEP = """async ([header, step]) => (await import("/check.js")).checkStep(header, step)"""


def test_one_step_alone_has_its_word_and_its_race(modules: Page) -> None:
    for name, word in [("floor", "proved"), ("ambiguous", "ambiguous"), ("wrong_margin", "failed")]:
        trace = decodekit.read_trace(CONFORMANCE / f"{name}.jsonl")
        step = trace.steps[-1 if name == "floor" else 1 if name == "wrong_margin" else 0]
        assert step.evidence is not None and step.draw is not None
        header = {"seed": str(trace.header.seed), "vocab_size": trace.header.adapter["vocab_size"]}
        choice = {name: getattr(step.choice, name) for name in ("logprob", "score", "margin", "runner_up")}
        record = {
            "stream": str(step.stream),
            "index": step.index,
            "token": step.token_id,
            "ids": step.evidence.token_ids.tolist(),
            "scores": step.evidence.scores.tolist(),
            "floor": step.evidence.floor,
            "choice": choice,
            "draw": {"domain": 0, "attempt": 0, "lane": step.draw.lane, "word": f"{step.draw.word:016x}"},
        }
        found = modules.evaluate(STEP, [{**header, "sampler": "multinomial"}, record])
        assert found["word"] == word, found["why"]
        first, second = found["race"][:2]
        assert first["token"] == step.token_id
        assert abs(first["total"] - step.choice.score) < 1e-9
        assert abs(first["score"] + first["gumbel"] - first["total"]) < 1e-12
        assert second["total"] <= first["total"]
        if word != "failed":
            assert second["token"] == step.choice.runner_up or second.get("hidden")
