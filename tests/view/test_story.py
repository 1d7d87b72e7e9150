"""One step as a story: what each processor did and to whom, the race, the drift that it survives, other seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit.draw.context import Context
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import CORE_SAMPLERS
from decodekit.errors import DecodekitError, ParameterError
from decodekit.testing import PiecesTokenizer, TableAdapter
from decodekit.trace import Trace
from decodekit.trace.reader import inspect_trace
from decodekit.view.run_story import run_story
from decodekit.view.story import StepStory, story_of

TRACES = Path(__file__).parents[1] / "trace"
FOUR = PiecesTokenizer([b"a", b"b", b"c", b"d"])
ROW = np.log([0.5, 0.3, 0.15, 0.05])


def run(chain: str, **call: object) -> Trace:
    """One token from probabilities 0.5, 0.3, 0.15, 0.05."""
    session = decodekit.Session(TableAdapter({(): ROW}, 4, tokenizer=FOUR), chain, top_logprobs=4)
    return session.generate("a", max_tokens=1, **{"seed": 3, **call}).trace


def told(chain: str, **call: object) -> StepStory:
    return story_of(run(chain, **call), 0, FOUR)


def test_each_processor_says_what_it_did_and_to_whom() -> None:
    story = told("temperature=2.0 top_k=2")
    raw, heat, cut = story.stages
    assert raw.sentence == "the model gave probability to 4 tokens"
    assert heat.sentence == '"a" from 50.00 % to 37.90 %' and heat.parameter == "2" and heat.mass_removed == 0
    assert cut.sentence.startswith('removed 2 tokens with 32.74 % of the mass, "c", "d" among them; "a" from')
    assert [(row.label, row.removed_by) for row in story.rows] == [('"a"', None), ('"b"', None), ('"c"', 2), ('"d"', 2)]
    assert story.rows[2].probabilities[2] == 0 and sum(row.probabilities[2] or 0 for row in story.rows) == 1
    assert story.verdict == "proved" and story.before == "a"


def test_a_mask_says_its_kept_mass() -> None:
    (_, mask) = told_with(decodekit.processor("allowed_tokens", allowed_tokens=[1, 2])).stages
    assert mask.kept_mass == pytest.approx(0.45) and "left 45.00 % of the mass (Z)" in mask.sentence


def told_with(*parts: Any) -> StepStory:
    session = decodekit.Session(TableAdapter({(): ROW}, 4, tokenizer=FOUR), decodekit.Chain(parts), top_logprobs=4)
    return story_of(session.generate("a", max_tokens=1, seed=3).trace, 0, FOUR)


def test_the_race_adds_the_noise_of_the_definition_to_the_scores() -> None:
    for seed in range(20):
        story = told("temperature=1.5", seed=seed)
        assert story.race is not None and story.place is None and story.margin is not None
        noise = Randomness(seed).gumbel(range(4), step=0)
        totals = (ROW - ROW.max()) / 1.5 + noise
        ran = [each.token_id for each in story.race.contenders]
        order = np.argsort(-totals).tolist()
        assert ran[:2] == order[:2] and ran == [each for each in order if each in ran]  # some could not win
        assert [each.total for each in story.race.contenders] == pytest.approx(totals[ran])
        first, second, *_ = story.race.contenders
        assert first.chosen and first.total - second.total == pytest.approx(story.margin)
        assert story.drift.nats == pytest.approx(story.margin / 2)


@pytest.mark.parametrize("sampler", ["multinomial", "inverse_cdf", "greedy"])
def test_a_drift_under_the_bound_changes_nothing_and_one_over_it_can(sampler: str) -> None:
    draw, last = CORE_SAMPLERS[sampler], 1.0
    for seed in range(30):
        story = told(f"temperature=1.5 {sampler}", seed=seed)
        bound, scores, noise = story.drift.nats, ROW / 1.5, Randomness(seed).at(0)
        assert bound is not None
        worst = [np.where(np.array(signs) > 0, 1.0, -1.0) for signs in np.ndindex(2, 2, 2, 2)]
        for size, survives in ((0.999 * bound, True), (1.001 * bound + 1e-9, False)):
            moved = [decodekit.Distribution.dense(scores + size * each) for each in worst]
            drawn = {draw(dist, Context(), noise).token_id for dist in moved}
            assert (drawn == {story.token_id}) is survives
        last = min(last, bound)
    assert last > 0 or sampler != "greedy"


def test_the_place_of_a_uniform_number_is_inside_the_interval_of_its_token() -> None:
    story = told("inverse_cdf")
    assert story.place is not None and story.race is None and story.margin_unit == "mass"
    assert story.place.low < story.place.u < story.place.high
    assert story.place.high - story.place.low == pytest.approx(float(np.exp(ROW[story.token_id])))
    low, high = story.place.u - story.place.low, story.place.high - story.place.u
    inner = ([low] if story.place.low > 0 else []) + ([high] if story.place.high < 1 else [])
    assert story.margin == pytest.approx(min(inner))


def test_other_seeds_draw_what_a_run_with_them_draws() -> None:
    for sampler in ("multinomial", "inverse_cdf"):
        story = told(f"top_k=3 {sampler}")
        assert [draw.seed for draw in story.seeds.draws] == list(range(4, 12))
        for draw in story.seeds.draws:
            assert draw.token_id == run(f"top_k=3 {sampler}", seed=draw.seed).steps[0].token_id
        assert story.seeds.probability == pytest.approx(np.exp(ROW[story.token_id]) / 0.95)
    assert "no seed" in told("greedy").seeds.sentence


def test_other_seeds_are_unknown_where_a_processor_draws_too() -> None:
    story = told("xtc(xtc=0.5,threshold=0.1)")
    assert story.seeds.draws == () and "a processor drew random numbers" in story.seeds.sentence


def test_below_the_level_of_proof_the_story_says_what_is_missing() -> None:
    story = told("temperature=1.5", level="choice")
    assert story.race is None and story.verdict == "consistent"
    assert any("level 'choice'" in note for note in story.notes)


FILES = sorted([*TRACES.glob("golden/*.jsonl"), *TRACES.glob("conformance/*.jsonl")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recorded_step_of_every_kind_has_a_story(path: Path) -> None:
    try:
        trace, _ = inspect_trace(path)
        verdict = decodekit.verify(trace)
    except DecodekitError:  # no header, or one of another format
        return
    whole = json.loads(json.dumps(run_story(trace, verdict=verdict).to_dict(), allow_nan=False))
    assert {len(column) for column in whole["tokens"].values()} == {len(trace.steps)}
    for at, step in enumerate(trace.steps):
        story = story_of(trace, at, verdict=verdict)
        data = json.loads(json.dumps(story.to_dict(), allow_nan=False))
        assert (data["token_id"], data["verdict"]) == (step.token_id, verdict.words[at])
        assert {len(row["probabilities"]) for row in data["rows"]} == {len(data["stages"])}
        if data["verdict"] == "proved" and story.race is not None:
            winner = story.race.contenders[0]
            score = step.choice.score if story.sampler == "multinomial" else 0.0  # scores are less the largest
            assert winner.chosen and winner.total == pytest.approx(score, abs=1e-9)


def test_a_token_of_a_provider_has_a_story_of_what_is_not_known() -> None:
    trace, _ = inspect_trace(TRACES / "conformance" / "provider.jsonl")
    story = story_of(trace, 0)
    assert story.drawn_by_provider and story.drift.nats is None and story.seeds.draws == () and story.margin is None
    assert "the provider drew this token" in story.notes[0]


HOSTILE = [
    *(b"\x1b[2J", "‮evil".encode(), b"\x00\x07", "\u2028\u2029".encode(), "​﻿".encode(), b"\xff\xfe"),
    *("\U000e0041".encode(), b"</script><script>", b"a\nb\r\t", "\x9b31m".encode()),
]


@pytest.mark.parametrize("token", range(len(HOSTILE)))
def test_no_control_bidi_or_invisible_character_gets_through(token: int) -> None:
    pieces = PiecesTokenizer(HOSTILE)
    row = np.full(len(HOSTILE), -1.0)
    row[token] = 4.0
    adapter = TableAdapter(lambda _: row, len(HOSTILE), tokenizer=pieces)
    trace = decodekit.Session(adapter, "temperature=0.7").generate([token] * 3, max_tokens=2, seed=1).trace
    for texts in (story_of(trace, 1, pieces).to_dict(), run_story(trace, pieces).to_dict()):
        assert_visible(texts)


def assert_visible(value: Any) -> None:
    if isinstance(value, str):
        assert decodekit.text.safe_text.safe_text(value, newlines=True) == value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        assert_visible(each)


def test_columns_of_a_run_hold_what_its_steps_hold() -> None:
    session = decodekit.Session(TableAdapter({(): ROW}, 4, tokenizer=FOUR), "top_k=1")
    trace = session.generate_many(["ab", "c"], max_tokens=1, seed=1)[0][0].trace
    story = run_story(trace, FOUR)
    assert story.tokens.token_id == (0, 0) and story.tokens.margin == (None, None)
    assert story.tokens.surprisal == pytest.approx((math.log(2), math.log(2))) and story.tokens.rank == (0, 0)
    assert story.tokens.drawn_surprisal == (0, 0) and story.tokens.verdict == ("proved", "proved")
    assert [(each.prompt, each.tokens, each.finish_reason) for each in story.sequences] == [
        ("ab", 1, "length"),
        ("c", 1, "length"),
    ]
    assert dict(story.facts)["chain"] == "top_k=1 multinomial" and dict(story.facts)["seed"] == "1"


def test_a_step_that_is_not_there_is_a_typed_error() -> None:
    trace = run("top_k=1")
    for at in (1, -1, "0", True):
        with pytest.raises(ParameterError):
            story_of(trace, at)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="the trace has no steps"):
        story_of(Trace(trace.header, [], None), 0)
