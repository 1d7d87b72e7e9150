"""One step on a page, and as data."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

import decodekit
from decodekit.cli.explain import find_step, show_step
from decodekit.errors import ParameterError
from decodekit.testing import NGramAdapter, PiecesTokenizer, TableAdapter
from decodekit.trace import Trace
from decodekit.view.story import story_of

FOUR = PiecesTokenizer([b"a", b"b", b"c", b"d"])


def run(parts: list[tuple[str, dict[str, object]]], sampler: str = "multinomial", **call: object) -> Trace:
    """One token from probabilities 0.5, 0.3, 0.15, 0.05."""
    adapter = TableAdapter({(): np.log([0.5, 0.3, 0.15, 0.05])}, 4, tokenizer=FOUR)
    chain = decodekit.Chain([decodekit.processor(name, **params) for name, params in parts], sampler)
    return decodekit.Session(adapter, chain, top_logprobs=2).generate("a", max_tokens=1, **{"seed": 3, **call}).trace


def shown(trace: Trace, width: int = 80, *, whole: bool = False) -> str:
    out = Console(file=io.StringIO(), width=width, color_system=None)
    show_step(out, story_of(trace, 0, FOUR), whole=whole)
    return out.file.getvalue()  # type: ignore[attr-defined]


def test_the_page_holds_the_draw_and_is_proved() -> None:
    trace = run([("temperature", {"temperature": 0.8}), ("top_p", {"top_p": 0.9})])
    page, step = shown(trace), trace.steps[0]
    assert step.draw is not None and step.choice.runner_up is not None
    lines = {line.split()[0]: line for line in page.splitlines() if line.startswith("  ") and line.strip()}
    noise = float(decodekit.Randomness(3).gumbel([step.token_id], step=0)[0])
    u = float(decodekit.Randomness(3).uniform([step.token_id], step=0)[0])
    assert f"word {step.draw.word:016x}, u {u:.6f}, Gumbel {noise:.4f}" in lines["draw"]
    assert lines["score"].endswith(f"= {step.choice.score:.4f}")
    assert f'{step.choice.margin:.4f} nats to "{"abcd"[step.choice.runner_up]}"' in lines["margin"]
    assert lines["check"].split()[1] == "proved:"
    assert "temperature" in page and "0.8" in page and "tokens left" in page


@pytest.mark.parametrize(("sampler", "words"), [("greedy", "no randomness"), ("inverse_cdf", "of the mass to")])
def test_other_samplers_tell_their_own_draw(sampler: str, words: str) -> None:
    assert words in shown(run([], sampler))


def test_a_changed_record_is_told_as_failed() -> None:
    trace = run([])
    other = Trace(replace(trace.header, seed=4), trace.steps, trace.footer)
    assert "check   failed: the record contradicts itself" in shown(other)


def test_a_record_without_evidence_is_consistent_only() -> None:
    assert "check   consistent:" in shown(run([], level="choice"))


@pytest.mark.parametrize("width", [40, 80])
def test_a_long_chain_stays_narrow_and_says_what_it_leaves_out(width: int) -> None:
    trace = run([("temperature", {"temperature": 1.0 + i / 10}) for i in range(8)] + [("top_k", {"top_k": 3})])
    page = shown(trace, width)
    assert max(map(len, page.splitlines())) <= width
    assert "(not shown: temperature" in page and "top_k" in page


@pytest.mark.parametrize("width", [40, 80])
def test_the_whole_story_adds_what_each_processor_did_the_race_the_drift_and_other_seeds(width: int) -> None:
    trace = run([("temperature", {"temperature": 2.0}), ("top_k", {"top_k": 2})])
    page, story = shown(trace, width, whole=True), story_of(trace, 0, FOUR)
    assert max(map(len, page.splitlines())) <= width
    words = " ".join(page.split())
    assert story.race is not None
    for sentence in (*(stage.sentence for stage in story.stages), story.race.sentence, story.drift.sentence):
        assert sentence in words
    assert "check proved:" in words and story.seeds.sentence in words


def test_the_word_belongs_to_the_step_alone() -> None:
    result = decodekit.Session(NGramAdapter("abcabcabc")).generate("a", max_tokens=3, seed=1)
    trace = result.trace
    trace.steps[0] = run([]).steps[0]  # a foreign first step fails; the others hold
    words = [story_of(trace, at).verdict for at in range(3)]
    assert words[0] == "failed" and words[1:] == ["proved", "proved"]


def test_a_step_is_found_from_either_end() -> None:
    steps = run([]).steps * 3
    assert [find_step(steps, wanted) for wanted in (0, 2, -1, -3)] == [0, 2, 2, 0]
    with pytest.raises(ParameterError, match="there are steps 0 to 2"):
        find_step(steps, 3)
    with pytest.raises(ParameterError, match="no token was generated"):
        find_step([], 0)
