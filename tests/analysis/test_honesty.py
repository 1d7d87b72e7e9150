"""The evidence against a sampler: bets that are fair under any law, few false alarms, and the stated power."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import CHEAP, AdapterError, Distribution, ParameterError
from decodekit.analysis.sampler_checks.bets import BETS, LAST_TILT, WEIGHTS, Law, least_listed, pay
from decodekit.analysis.sampler_checks.recorded_draws import recorded_draws
from decodekit.analysis.sampler_checks.trial import try_sampler
from decodekit.analysis.sampler_checks.wagers import LEVEL, Wager, honesty
from decodekit.cli.app import run
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.types import Floats

ROWS, TOKENS = 40, 512
TEXT = "the cat sat on the mat, and the dog sat on the log. a cat saw a dog; the dog ran off. "


def rows(seed: int = 1) -> Floats:
    """Sharp and flat laws, as of a language model: float64[rows, tokens] of logprobs, falling."""
    chance = np.random.default_rng(seed)
    scales = np.repeat([6.0, 3.5, 2.2], [20, 12, 8])[:, None]
    scores = -np.sort(-chance.normal(size=(ROWS, TOKENS)) * scales, axis=1)
    return scores - np.logaddexp.reduce(scores, axis=1)[:, None]


def payments(laws: Floats) -> tuple[Floats, Floats]:
    """What each bet pays for each token, float64[rows, tokens, bets], and its mean growth, float64[bets]."""
    places = np.arange(TOKENS)
    paid = [pay(Law(places, row, 0.0), places) for row in laws]
    return np.stack([each.log_bets for each in paid]), np.stack([each.growth for each in paid]).mean(axis=0)


def first_alarms(table: Floats, drawn_from: Floats, repeats: int, length: int, seed: int) -> Floats:
    """After how many tokens each repeat reached 100 to 1; inf for never. Tokens are drawn from ``drawn_from``."""
    chance = np.random.default_rng(seed)
    edges = np.cumsum(drawn_from, axis=1)
    edges = (edges / edges[:, -1:] + np.arange(ROWS)[:, None]).ravel()
    flat, found = table.reshape(-1, len(BETS)), []
    for _ in range(repeats // 50):
        at = np.searchsorted(edges, chance.integers(ROWS, size=(50, length)) + chance.random((50, length)), "right")
        evidence = np.logaddexp.reduce(np.cumsum(flat[at], axis=1) + np.log(WEIGHTS), axis=2)
        reached = evidence >= math.log(LEVEL)
        found.append(np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, math.inf))
    return np.concatenate(found)


def tempered(logprobs: Floats, temperature: float) -> Floats:
    weights = np.exp((logprobs - logprobs[:, :1]) / temperature)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def nucleus(logprobs: Floats, p: float) -> Floats:
    kept = np.exp(logprobs) * (np.cumsum(np.exp(logprobs), axis=1) - np.exp(logprobs) < p)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("shown", [TOKENS, 20, 1])
def test_every_bet_is_fair_whatever_is_shown(shown: int) -> None:
    for row in rows()[::7]:
        law = Law.listed(np.arange(shown), row[:shown], complete=shown == TOKENS)
        p = np.append(np.exp(law.logprobs), law.outside) if law.outside else np.exp(law.logprobs)
        paid = np.exp(pay(law, np.arange(len(p))).log_bets)
        assert p / p.sum() @ paid == pytest.approx(np.ones(len(BETS)), abs=1e-9)
    assert WEIGHTS.sum() == pytest.approx(1) and len(WEIGHTS) == len(BETS)


def test_a_tilt_is_the_likelihood_ratio_of_its_temperature() -> None:
    row = rows()[0]
    paid = pay(Law(np.arange(TOKENS), row, 0.0), np.arange(TOKENS)).log_bets
    ratio = np.log(tempered(row[None], 0.8)[0, :50]) - row[:50]
    assert paid[:50, BETS.index("temperature 0.8")] == pytest.approx(ratio, abs=1e-9)
    assert BETS.index("temperature 0.8") < LAST_TILT < BETS.index("top-p 0.95")


def test_an_honest_sampler_is_accused_in_at_most_1_of_100_runs() -> None:
    logprobs = rows()
    table, _ = payments(logprobs)
    alarms = np.isfinite(first_alarms(table, np.exp(logprobs), 1000, 400, seed=2)).sum()
    assert alarms <= 10  # Ville: at most .01 of all runs; 3 to 6 here with other seeds


@pytest.mark.parametrize(
    ("name", "drawn_from", "most"),
    [
        ("temperature 0.8", lambda laws: tempered(laws, 0.8), 600),
        ("temperature 1.14", lambda laws: tempered(laws, 1 / (1 - 0.12)), 1200),
        ("top-p 0.95", lambda laws: nucleus(laws, 0.95), 700),
    ],
)
def test_a_dishonest_one_is_found_after_as_many_tokens_as_stated(name: str, drawn_from: object, most: int) -> None:
    logprobs = rows()
    table, growth = payments(logprobs)
    at = BETS.index(name)
    stated = (math.log(LEVEL) - math.log(WEIGHTS[at])) / growth[at]
    found = first_alarms(table, drawn_from(logprobs), 100, most, seed=3)  # type: ignore[operator]
    assert np.isfinite(found).all()
    assert 0.6 * stated < np.median(found) < 1.15 * stated  # neighbouring bets win too, so it is a little sooner


def test_the_path_the_crossing_and_the_drift_are_those_of_the_tokens() -> None:
    law = Distribution.dense(np.log([0.5, 0.25, 0.25]))
    found = honesty([(law, 0)] * 40)
    paid = pay(Law.of(law), np.array([0]))
    by_hand = np.logaddexp.reduce(np.arange(1, 41)[:, None] * paid.log_bets + np.log(WEIGHTS), axis=1)
    assert found.path == pytest.approx(by_hand)
    assert found.crossed == int(np.flatnonzero(by_hand >= math.log(100))[0]) + 1 and not found.honest
    assert found.drift == pytest.approx(math.log(2) - 1.5 * math.log(2))
    assert found.drift_error == pytest.approx(math.sqrt(paid.varentropy / 40))
    assert found.leaning in ("top-p 0.5", "top-k 1") and found.log_cuts > found.log_tilts
    json.dumps(found.to_dict())


def test_an_impossible_token_is_enough() -> None:
    law = Distribution.listed([3, 5], np.log([0.5, 0.5]), 10)
    found = honesty([(law, 3), (law, 7), (law, 3)])
    assert found.crossed == 2 and found.log_e == math.inf and found.to_dict()["log_e"] == "inf"


@pytest.mark.parametrize("before", [[], [0], [5], [0, 5, 1, 4]])
def test_an_impossible_token_is_enough_whatever_came_before(before: list[int]) -> None:
    """Also a token outside the heads on which bets were lost."""
    law = Distribution.dense([*np.log([0.5, 0.2, 0.1, 0.1, 0.06, 0.04]), -np.inf])
    found = honesty([(law, token) for token in [*before, 6, 0, 5]])
    assert not found.honest and found.crossed == len(before) + 1
    assert found.log_e == found.highest == found.path[-1] == math.inf


@pytest.mark.parametrize("token", ["1", 1.5, -1, True, None, 99])
def test_what_is_no_token_of_the_law_accuses_nobody(token: object) -> None:
    with pytest.raises(ParameterError, match="token_id must be an integer from 0 to 1, not"):
        honesty([(Distribution.dense([1.0, 2.0]), token)])  # type: ignore[list-item]


def traced(chain: str, **options: object) -> decodekit.Trace:
    with decodekit.open(NGramAdapter(TEXT), chain=chain, seed=3) as session:
        made = session.generate_many(["the "], n=8, **{"max_tokens": 150, **options})[0]  # type: ignore[arg-type]
        return made[0].trace


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
def test_our_own_draws_pass_against_their_chain_and_not_against_another_law(level: str) -> None:
    trace = traced("temperature=3", level=level)
    assert honesty(recorded_draws([trace])).honest
    assert not honesty(recorded_draws([trace], "model")).honest


def test_evidence_that_the_draw_has_chosen_is_no_law() -> None:
    """At level 'proof' an untruncated draw lists tokens for their noise; betting on that list would not be fair."""
    row = np.log(np.arange(300, 0, -1.0))
    with decodekit.open(TableAdapter(lambda _: row, vocab_size=300), seed=1) as session:
        trace = session.generate([1], max_tokens=60).trace
    assert any(step.evidence is not None and step.evidence.floor is not None for step in trace.steps)
    assert {len(law.token_ids) for law, _ in recorded_draws([trace])} == {5}


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(ParameterError, match="a law is a Distribution, not"):
        honesty([(np.array([0.5, 0.5]), 1)])  # type: ignore[list-item]
    trace = traced("temperature=2")
    with pytest.raises(ParameterError, match="two sequences have the seed 3 and the stream 0"):
        honesty(recorded_draws([trace, trace]))
    with pytest.raises(ParameterError, match="greedy draws nothing"):
        honesty(recorded_draws([traced("greedy")]))
    with pytest.raises(ParameterError, match="taken back"):
        honesty(recorded_draws([traced("temperature=2", ban=["cat"], max_tokens=15)]))


def test_a_trial_stops_when_it_knows_and_spends_no_more_than_it_may() -> None:
    with decodekit.open(NGramAdapter(TEXT), chain="temperature=0.9", seed=5) as session:
        found = try_sampler(session, "the ", tokens=300)
    assert found.honest and 256 <= found.tokens <= 300 and found.skipped == 0


def test_a_trial_that_fails_keeps_its_evidence() -> None:
    class Dies(NGramAdapter):
        asked = 0

        def predict(self, prefixes: Any, disclose: Any = CHEAP) -> Any:
            self.asked += 1
            if self.asked > 70:
                raise AdapterError("gone")
            return super().predict(prefixes, disclose)

    session = decodekit.open(Dies(TEXT), chain="temperature=0.9", seed=5)
    with session, pytest.raises(AdapterError, match="gone") as caught:
        try_sampler(session, "the ", tokens=2000)
    assert 200 < caught.value.partial.tokens <= 256 and caught.value.partial.honest


def test_the_command_tests_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "run.jsonl")
    traced("temperature=3", trace=path)
    assert run(["doctor", "--honest", "--trace", path]) == 0
    assert "honest, as far as this shows" in capsys.readouterr().out
    assert run(["doctor", "--honest", "--trace", path, "--against", "model", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["honest"] and found["crossed"] < found["tokens"]
    assert run(["doctor", "--honest", "--trace", path, "--against", "x"]) == 2
    assert run(["doctor", "--trace", path]) == 2


def test_an_end_below_the_edge_of_a_list_accuses_nobody() -> None:
    """Ends of .012, not shown, that a server does not return: 200 runs of 1,000 draws from the law given no end.

    Ville: at most 2 in the mean; 8 or more have a probability below 0.002. Where the outside counts whole, 60 are.
    """
    shown = Law.listed(np.arange(4), np.log([0.5, 0.3, 0.1, 0.07]), complete=False)
    law, p = shown.without([8, 9]), np.array([0.5, 0.3, 0.1, 0.07, 0.018])
    chance, paid = np.random.default_rng(7), pay(law, np.arange(5)).log_bets
    draws = chance.choice(5, size=(200, 1000), p=p / p.sum())
    evidence = np.logaddexp.reduce(np.cumsum(paid[draws], axis=1) + np.log(WEIGHTS), axis=2)
    assert (evidence.max(axis=1) >= math.log(LEVEL)).sum() < 8
    assert law.absent == pytest.approx(0.03) and shown.without([1]).absent == 0.0


def test_an_end_that_a_server_does_not_return_is_no_symbol() -> None:
    law = Law.listed(np.array([4, 7]), np.log([0.5, 0.2]), complete=False).without([4])
    assert law.token_ids.tolist() == [7] and np.exp(law.logprobs) == pytest.approx([0.4])
    assert law.outside == pytest.approx(0.6) and law.without([9]).absent == pytest.approx(0.4)


@pytest.mark.parametrize("shown", [20, 10])
@pytest.mark.parametrize(
    ("temperature", "name"), [(1.5, "temperature 1.33"), (1.14, "temperature 1.14"), (0.8, "temperature 0.8")]
)
def test_of_lists_the_side_is_right_and_the_stated_number_is_enough(shown: int, temperature: float, name: str) -> None:
    """A list of a law with many other tokens: a hot sampler draws those, and must not look like a cold one."""
    chance, laws = np.random.default_rng(4), rows(2)
    seen = [Law.listed(np.arange(shown), row[:shown], complete=False)._replace(others=TOKENS - shown) for row in laws]
    drawn_from = tempered(laws, temperature)
    crossed, needed = [], []
    for _ in range(7):
        wager = Wager()
        while not wager.decided and len(wager) < 6000:
            at = int(chance.integers(ROWS))
            wager.take(seen[at], int(chance.choice(TOKENS, p=drawn_from[at])))
        found = wager.result()
        assert found.crossed is not None
        crossed.append(found.crossed)
        needed.append(found.needed[name])
        assert math.copysign(1, found.drift) == math.copysign(1, temperature - 1)
        words = found.leaning.split()
        hot = words[0] in ("twice", "four") or (words[0] == "temperature" and float(words[1]) > 1)
        assert hot == (temperature > 1)
    assert np.median(crossed) < np.median(needed)


def test_the_least_share_of_a_list_is_reached_by_equal_tokens_or_by_one() -> None:
    """`needed` says at most: against the laws themselves."""
    listed, others = np.array([0.5, 0.2]), 6
    for spread in (np.full(others, 0.05), np.array([0.3] + [0.0] * 5)):
        hot = spread[0] < 0.1
        power = 0.5 if hot else 2.0
        law = np.concatenate([listed, spread]) ** power
        share = law[:2].sum() / law.sum()
        given = listed / listed.sum()
        assert least_listed(float((given**power).sum()), 0.3, others, power) == pytest.approx(share)
