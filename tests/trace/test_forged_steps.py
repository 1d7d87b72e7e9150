"""Steps forged in several fields at once, so that they fit one another."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit import Randomness
from decodekit.testing import BytesTokenizer, TableAdapter
from decodekit.trace.redraw import noise_of, redraw

from .forged_runs import word_of
from .forging import Line, dump, load
from .golden_runs import NGRAM, TABLE


def test_a_margin_of_nothing_excuses_no_token(honest: dict[str, list[Line]], tmp_path: Path) -> None:
    lines = copy.deepcopy(honest["full"])
    for step in lines[1:-1]:
        step["content"]["token"] = 120
        step["content"]["choice"]["margin"] = 0.0
    path = dump(lines, tmp_path / "forged.jsonl")
    assert (decodekit.verify(path).word, decodekit.verify(path, chain=True).word) == ("failed", "failed")
    report = decodekit.replay(path, adapter=NGRAM)
    assert (report.equal, report.explained) == (0, False)
    assert not decodekit.replay(path).explained


def test_a_token_that_another_attempt_would_choose_is_found(honest: dict[str, list[Line]], tmp_path: Path) -> None:
    """Every field of the step fits the attempt; only, nobody went back."""
    lines = copy.deepcopy(honest["full"])
    trace = decodekit.read_trace(dump(lines, tmp_path / "forged.jsonl"))
    step = next(step for step in trace.steps if step.evidence is not None and len(step.evidence.token_ids) > 1)
    for attempt in range(1, 10_000):
        again = redraw(trace, step, noise_of(trace, step, attempt))
        if again.token_id != step.token_id:
            break
    assert again.draw is not None
    content = lines[1 + step.index]["content"]
    content["token"] = again.token_id
    content["draw"].update(attempt=attempt, lane=again.draw.lane, word=f"{again.draw.word:016x}")
    content["choice"].update(
        score=again.score, margin=again.margin, runner_up=again.runner_up, logprob=again.logprob
    )  # fmt: skip
    verdict = decodekit.verify(dump(lines, tmp_path / "forged.jsonl"))
    assert (verdict.word, verdict.step) == ("failed", step.index)
    assert "attempt" in verdict.why
    assert not decodekit.replay(tmp_path / "forged.jsonl").explained


@pytest.mark.parametrize("run", ["choice", "proof", "full"])
def test_what_contradicts_another_field_is_found(honest: dict[str, list[Line]], tmp_path: Path, run: str) -> None:
    for change in ("limit", "error", "no error", "empty error", "length", "context", "temperature", "temperature inf"):
        lines = copy.deepcopy(honest[run])
        header, step, (end,) = lines[0]["content"], lines[1]["content"], lines[-1]["content"]["ends"]
        match change:
            case "limit":
                header["stop"]["max_tokens"] = end["tokens"] - 1
            case "error":
                end["error"] = "the server failed"
            case "no error":
                end["finish_reason"] = "error"
            case "empty error":
                end.update(finish_reason="error", error="")
            case "length":  # and neither the limit nor the context was reached
                end["finish_reason"] = "length"
                header["stop"]["max_tokens"] = end["tokens"] + 1
            case "context":  # the limit was reached, the context was not
                end["finish_reason"] = "context"
            case "temperature":
                step["raw"]["temperature"] = -1.0
            case "temperature inf":
                step["raw"]["temperature"] = "inf"
        assert word_of(lines, tmp_path / "forged.jsonl") == "failed", change


def test_a_resumed_run_has_its_last_limit(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(NGRAM, seed=7).generate("the ", max_tokens=3, trace=path)
    decodekit.resume(path, NGRAM, max_tokens=9, trace=tmp_path / "longer.jsonl")
    assert decodekit.verify(tmp_path / "longer.jsonl").word == "proved"


def test_a_floor_that_is_too_high_for_a_greedy_choice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(TABLE, decodekit.Chain([], "greedy"), seed=3).generate([5], max_tokens=2, trace=path)
    assert decodekit.verify(path).word == "proved"
    lines = load(path)
    lines[1]["content"]["final"]["floor"] += 50.0
    assert decodekit.verify(dump(lines, path)).word == "failed"


def test_a_close_choice_may_be_either_of_two_and_no_third(tmp_path: Path) -> None:
    gumbel = Randomness(7).gumbel(range(5), step=0)
    scores = np.append(-gumbel - np.array([3.0, 1e-12, 3.0, 0.0, 4.0]), -50.0)  # perturbed, 3 and 1 are 1e-12 apart
    path = tmp_path / "run.jsonl"
    whole = decodekit.Chain([decodekit.processor("top_k", top_k=5)])  # so that all scores are listed
    session = decodekit.Session(TableAdapter({(): scores}, 6), whole, seed=7)
    assert session.generate([2], max_tokens=1, trace=path).token_ids == (3,)
    assert decodekit.verify(path).word == "ambiguous"

    def instead(token: int, runner_up: int, **changes: float) -> str:
        lines = load(path)
        content = lines[1]["content"]
        content.update(token=token, draw={**content["draw"], "lane": token, "word": f"{word(token):016x}"})
        logprob = content["choice"]["logprob"] + float(scores[token] - scores[3])
        content["choice"].update({"runner_up": runner_up, "logprob": logprob, **changes})
        return decodekit.verify(dump(lines, tmp_path / "other.jsonl")).word

    def word(token: int) -> int:
        return int(Randomness(7).words([token], step=0)[0])

    assert instead(3, 1) == instead(1, 3) == "ambiguous"
    assert instead(0, 3) == instead(0, 1) == instead(1, 0) == instead(2, 3, margin=0.0) == "failed"
    assert instead(1, 3, logprob=-0.5) == instead(1, 3, margin=1e-6) == instead(1, 3, score=9.0) == "failed"


def test_texts_are_checked_with_the_tokenizer(honest: dict[str, list[Line]], tmp_path: Path) -> None:
    for run in ("choice", "proof", "full"):
        path = dump(honest[run], tmp_path / "run.jsonl")
        word = decodekit.verify(path).word
        assert decodekit.verify(path, tokenizer=BytesTokenizer()).word == word
        lines = copy.deepcopy(honest[run])
        lines[3]["content"]["text"] += "!"
        assert decodekit.verify(dump(lines, path)).word == word
        verdict = decodekit.verify(path, tokenizer=BytesTokenizer())
        assert (verdict.word, verdict.step) == ("failed", 2)
    other = BytesTokenizer()
    other.fingerprint = "another"
    with pytest.raises(decodekit.ParameterError, match="fingerprint"):
        decodekit.verify(path, tokenizer=other)
