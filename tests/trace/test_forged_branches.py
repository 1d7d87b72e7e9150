"""Abandoned branches that somebody invented, changed or left out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.testing import BytesTokenizer, TableAdapter
from decodekit.trace.redraw import noise_of, redraw

from .forged_runs import word_of
from .forging import Line, dump


def with_invented_branches(
    honest: list[Line], path: Path, first: Callable[[int], int], more: Sequence[int] = ()
) -> tuple[list[Line], int]:
    """A run that ends with a token that somebody wished for: as many branches as that takes were invented."""
    trace = decodekit.read_trace(dump(honest, path))
    step = next(step for step in trace.steps if step.evidence is not None and len(step.evidence.token_ids) > 3)
    before = sum(len(each.abandoned) for each in trace.steps[: step.index])
    assert step.evidence is not None
    wished = int(step.evidence.token_ids[step.evidence.scores.argsort()[-4]])
    drawn = (redraw(trace, step, noise_of(trace, step, attempt)) for attempt in range(before, before + 900))
    tokens = list(takewhile(lambda choice: choice.token_id != wished, drawn))
    again = redraw(trace, step, noise_of(trace, step, before + len(tokens)))
    assert again.draw is not None and again.token_id == wished and len(tokens) > 1
    lines = copy.deepcopy([*honest[: step.index + 2], honest[-1]])
    content = lines[-2]["content"]
    content["abandoned"] = [
        {"why": "ca", "attempt": before + i, "token_ids": [first(choice.token_id), *more]}
        for i, choice in enumerate(tokens)
    ]
    content["token"] = wished
    content["draw"].update(attempt=again.draw.attempt, lane=wished, word=f"{again.draw.word:016x}")
    content["choice"].update(
        score=again.score, margin=again.margin, runner_up=again.runner_up, logprob=again.logprob
    )  # fmt: skip
    lines[-1]["content"]["ends"] = [{"stream": 0, "tokens": step.index + 1, "finish_reason": "stop", "error": None}]
    return lines, step.index


@pytest.mark.parametrize("run", ["proof", "ban"])
@pytest.mark.parametrize("more", [(), (1,)])
def test_branches_that_the_row_does_not_give_are_found(
    honest: dict[str, list[Line]], tmp_path: Path, run: str, more: tuple[int, ...]
) -> None:
    path = tmp_path / "forged.jsonl"
    lines, at = with_invented_branches(honest[run], path, lambda _: 1, more)
    verdict = decodekit.verify(dump(lines, path))
    assert (verdict.word, verdict.step) == ("failed", at) and "do not follow" in verdict.why
    assert not decodekit.replay(path).explained
    if run == "ban":
        assert decodekit.verify(path, chain=True).word == "failed"


def test_what_the_page_says_is_not_checked_of_branches_is_not(honest: dict[str, list[Line]], tmp_path: Path) -> None:
    """An invented branch passes within a longer one, and where a processor is a stranger's."""
    path = tmp_path / "forged.jsonl"
    lines, at = with_invented_branches(honest["proof"], path, lambda _: 1)
    assert decodekit.verify(dump(lines, path)).word == "failed"
    strange = copy.deepcopy(lines)
    strange[0]["content"]["chain"]["processors"][0]["distribution"] = "somebody-elses"
    assert decodekit.verify(dump(strange, path)).word == "proved"
    trace = decodekit.read_trace(path)
    before = sum(len(each.abandoned) for each in trace.steps[:at])
    first = redraw(trace, trace.steps[at], noise_of(trace, trace.steps[at], before)).token_id
    abandoned = lines[1 + at]["content"]["abandoned"]
    abandoned[-1]["token_ids"] = [first + 1, 1]
    assert decodekit.verify(dump(lines, path)).word == "failed"  # it begins with what the row gives at none of them
    abandoned[-1]["token_ids"] = [first, 1]
    assert decodekit.verify(dump(lines, path)).word == "proved"


def test_a_model_that_may_answer_otherwise_the_next_time_leaves_it_open(
    honest: dict[str, list[Line]], tmp_path: Path
) -> None:
    path = tmp_path / "forged.jsonl"
    lines, _ = with_invented_branches(honest["proof"], path, lambda _: 1)
    lines[0]["content"]["adapter"]["deterministic"] = False
    assert decodekit.verify(dump(lines, path)).word == "consistent"


def test_a_branch_that_does_not_spell_its_phrase_is_found_with_the_tokenizer(
    honest: dict[str, list[Line]], tmp_path: Path
) -> None:
    path = tmp_path / "forged.jsonl"
    lines, at = with_invented_branches(honest["proof"], path, lambda drawn: drawn)  # the tokens that were drawn there
    for line in lines[1:-1]:
        line["content"]["text"] = bytes([line["content"]["token"]]).decode()
    assert decodekit.verify(dump(lines, path)).word == "proved"
    verdict = decodekit.verify(path, tokenizer=BytesTokenizer())
    assert (verdict.word, verdict.step) == ("failed", at) and "does not spell 'ca'" in verdict.why
    made_up = BytesTokenizer()
    made_up.relearn = print  # type: ignore[attr-defined]
    assert decodekit.verify(path, tokenizer=made_up).word == "proved"


def test_branches_taken_back_on_the_way_are_no_forgery(tmp_path: Path) -> None:
    """A branch of several tokens may have gone back to a later place first."""
    chain = decodekit.Chain(
        [decodekit.processor("top_k", top_k=40), decodekit.processor("xtc", xtc=0.5, threshold=0.1)]
    )
    row = np.full(257, -40.0)
    row[[97, 98, 99]] = 1.0, 0.5, 0.0
    adapter, nested = TableAdapter(lambda _: row, 257, tokenizer=BytesTokenizer()), False
    for seed in range(8):
        path = tmp_path / f"{seed}.jsonl"
        session = decodekit.Session(adapter, chain, seed=seed)
        trace = session.generate("x", max_tokens=12, ban=["acc", "ba"], level="full", trace=path).trace
        kinds = [[branch.why for branch in step.abandoned] for step in trace.steps]
        nested |= any({"acc", "ba"} <= set(why) and why[0] == "ba" for why in kinds)
        assert decodekit.verify(path, tokenizer=BytesTokenizer()).word == "proved"
        assert decodekit.verify(path, chain=True, tokenizer=BytesTokenizer()).word == "reproduced"
    assert nested


@pytest.mark.parametrize("run", ["choice", "proof", "ban"])
def test_a_branch_left_out_or_added_is_found(honest: dict[str, list[Line]], tmp_path: Path, run: str) -> None:
    for change in ("fewer", "more", "none banned"):
        lines = copy.deepcopy(honest[run])
        content = next(line["content"] for line in lines if "abandoned" in line["content"])
        if change == "fewer":
            content["abandoned"].pop()
        elif change == "more":
            content["abandoned"].append(content["abandoned"][-1])
        else:
            del lines[0]["content"]["stop"]["ban"]
        assert word_of(lines, tmp_path / "forged.jsonl") == "failed", change
