from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.draw.samplers import multinomial
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.trace.codec import to_line
from decodekit.trace.evidence import Evidence

from .conftest import chain


@pytest.mark.parametrize("sampler", ["multinomial", "greedy", "inverse_cdf"])
@pytest.mark.parametrize("name", ["truncated", "untruncated", "bare"])
def test_every_core_draw_is_proved_and_reproduced_from_its_trace(
    tmp_path: Path, wide_adapter: TableAdapter, name: str, sampler: str
) -> None:
    path = tmp_path / "run.jsonl"
    session = decodekit.Session(wide_adapter, chain(name, sampler), seed=3)
    result = session.generate([5], max_tokens=30, trace=path, level="full")
    trace = decodekit.read_trace(path)
    assert trace.token_ids() == list(result.token_ids)
    assert decodekit.verify(path).word == "proved"
    assert decodekit.verify(path).counts == {"proved": 30}
    assert decodekit.verify(path, chain=True).word == "reproduced"
    assert decodekit.verify(result.trace).word == "proved"
    assert decodekit.replay(path).equal == 30


def test_a_trace_read_back_is_the_trace_that_was_written(written: Path, ngram: NGramAdapter) -> None:
    kept = decodekit.Session(ngram, chain("truncated"), seed=7).generate("the ", max_tokens=6).trace
    read = decodekit.read_trace(written)
    assert to_line(read.header.content()) == to_line(kept.header.content())
    for one, other in zip(read.steps, kept.steps, strict=True):
        for name in ("index", "token_id", "text", "raw", "entries", "draw", "choice", "stream", "asked", "schedule"):
            assert getattr(one, name) == getattr(other, name), name
        assert one.evidence is not None
        assert other.evidence is not None
        assert np.array_equal(one.evidence.token_ids, other.evidence.token_ids)
        assert np.array_equal(one.evidence.scores, other.evidence.scores)  # to the last bit
        assert one.evidence.floor == other.evidence.floor


def test_equal_runs_have_equal_contents_though_their_times_differ(tmp_path: Path, ngram: NGramAdapter) -> None:
    session = decodekit.Session(ngram, chain("truncated"), seed=7)
    for name in ("a", "b"):
        session.generate("the ", max_tokens=9, trace=tmp_path / name)
    session.generate("the ", max_tokens=9, seed=8, trace=tmp_path / "c")
    footers = [decodekit.read_trace(tmp_path / name).footer for name in "abc"]
    assert footers[0] is not None
    assert footers[0].contents == footers[1].contents != footers[2].contents


class Telling:
    """Answers with heads that state the entropy of the whole."""

    def __init__(self, inner: TableAdapter) -> None:
        self.inner, self.info, self.tokenizer = inner, inner.info, None

    def predict(self, prefixes, disclose=decodekit.CHEAP):
        answers = []
        for whole in self.inner.predict(prefixes):
            ids, logprobs = whole.leading(200)
            answers.append(Distribution.head(ids, logprobs, 3000, entropy=whole.entropy))
        return answers

    def close(self) -> None: ...


@pytest.mark.usefixtures("own_processors")
def test_a_law_of_a_stated_entropy_is_reproduced_from_the_trace(tmp_path: Path, wide_adapter: TableAdapter) -> None:
    @decodekit.register_processor("by_entropy")
    def by_entropy(dist: Distribution, ctx: Context) -> Distribution:
        return dist.scaled(1 + dist.entropy)

    path = tmp_path / "run.jsonl"
    session = decodekit.Session(Telling(wide_adapter), Chain([decodekit.processor("by_entropy")]), seed=3)
    session.generate([5], max_tokens=8, trace=path, level="full")
    steps = decodekit.read_trace(path).steps
    (whole,) = wide_adapter.predict([decodekit.Prefix([5])])
    assert steps[0].raw.entropy == whole.entropy and steps[0].raw.tail is not None  # type: ignore[union-attr]
    assert steps[0].entries[0].entropy is None
    verdict = decodekit.verify(path, chain=True)
    assert verdict.word == "reproduced", verdict.why


def test_the_choice_level_is_consistent_and_no_more(tmp_path: Path, ngram: NGramAdapter) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(ngram, chain("truncated"), seed=7).generate("the ", max_tokens=5, trace=path, level="choice")
    verdict = decodekit.verify(path)
    assert verdict.word == "consistent"
    assert "level 'choice'" in verdict.why
    assert decodekit.replay(path).unknown == 5


def test_a_foreign_sampler_is_consistent_and_no_more(ngram: NGramAdapter) -> None:
    def mine(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
        return multinomial(dist, ctx, randomness)

    result = decodekit.Session(ngram, Chain([], mine), seed=7).generate("the ", max_tokens=5)
    verdict = decodekit.verify(result.trace)
    assert verdict.word == "consistent"
    assert "not one of the core" in verdict.why


def test_a_margin_below_a_billionth_is_ambiguous_not_wrong() -> None:
    # Two equal scores under greedy: the gap is zero, and summation order could have chosen either.
    adapter = TableAdapter({(): [1.0, 1.0, -3.0]}, 3)
    result = decodekit.Session(adapter, Chain([], "greedy"), seed=7).generate([2], max_tokens=2)
    assert result.token_ids == (0, 0)
    assert decodekit.verify(result.trace).word == "ambiguous"


def _tampered(step: decodekit.Step, what: str) -> decodekit.Step:
    evidence, choice = step.evidence, step.choice
    assert evidence is not None
    assert step.draw is not None
    match what:
        case "token":
            other = int(evidence.token_ids[evidence.token_ids != step.token_id][0])
            return replace(step, token_id=other, choice=replace(choice, token_id=other))
        case "score of another":
            scores = evidence.scores.copy()
            scores[evidence.token_ids != step.token_id] += 50
            return replace(step, evidence=Evidence(evidence.token_ids, scores, evidence.floor))
        case "score":
            return replace(step, choice=replace(choice, score=choice.score + 1e-6))
        case "margin":
            return replace(step, choice=replace(choice, margin=choice.margin + 1e-6))
        case "logprob":
            return replace(step, choice=replace(choice, logprob=(choice.logprob or 0) - 1e-6))
        case "runner-up":
            return replace(step, choice=replace(choice, runner_up=step.token_id))
        case "word":
            return replace(step, draw=replace(step.draw, word=step.draw.word ^ 1))
        case "attempt":
            return replace(step, draw=replace(step.draw, attempt=1))
        case "no draw":
            return replace(step, draw=None, choice=replace(choice, draw=None))
        case "index":
            return replace(step, index=step.index + 1)
        case "stream":
            return replace(step, stream=9)
        case "winner missing":
            keep = evidence.token_ids != step.token_id
            return replace(step, evidence=Evidence(evidence.token_ids[keep], evidence.scores[keep], evidence.floor))
    raise AssertionError(what)


TAMPERINGS = [
    "token", "score of another", "score", "margin", "logprob", "runner-up", "word", "attempt", "no draw", "index",
    "stream", "winner missing",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "what"),
    # With a floor the normaliser is not recorded, so neither is a proof of the log-probability.
    [("short", what) for what in TAMPERINGS] + [("untruncated", what) for what in TAMPERINGS if what != "logprob"],
)
def test_every_tampering_that_the_record_can_show_fails_at_its_step(
    wide_adapter: TableAdapter, name: str, what: str
) -> None:
    trace = decodekit.Session(wide_adapter, chain(name), seed=3).generate([5], max_tokens=6).trace
    assert decodekit.verify(trace).word == "proved"
    at = next(i for i, step in enumerate(trace.steps) if i >= 2 and len(step.evidence.token_ids) > 1)  # type: ignore[union-attr]
    trace.steps[at] = _tampered(trace.steps[at], what)
    verdict = decodekit.verify(trace)
    assert verdict.word == "failed", what
    assert verdict.step in (at, at + 1, 0), verdict  # a step moved to stream 9 is that stream's first


def test_a_floor_that_hides_a_possible_winner_fails(wide_adapter: TableAdapter) -> None:
    trace = decodekit.Session(wide_adapter, chain("bare"), seed=3).generate([5], max_tokens=1).trace
    step = trace.steps[0]
    evidence = step.evidence
    assert evidence is not None
    assert evidence.floor is not None
    # Claim that everything unlisted may be as likely as the best token: then almost any of it could have won.
    trace.steps[0] = replace(step, evidence=Evidence(evidence.token_ids, evidence.scores, float(evidence.scores.max())))
    verdict = decodekit.verify(trace)
    assert verdict.word == "failed"
    assert "with a score at the floor it could win" in verdict.why


def test_chain_verification_notices_a_raw_row_that_was_changed(wide_adapter: TableAdapter) -> None:
    trace = decodekit.Session(wide_adapter, chain("truncated"), seed=3).generate([5], max_tokens=3, level="full").trace
    step = trace.steps[1]
    assert step.row is not None
    row = step.row[1].copy()
    row[step.token_id] -= 0.25
    trace.steps[1] = replace(step, row=(None, row))
    assert decodekit.verify(trace).word == "proved"  # nothing ties the raw row to the choice but the chain
    verdict = decodekit.verify(trace, chain=True)
    assert (verdict.word, verdict.step) == ("failed", 1)


def test_the_chain_of_another_version_is_not_run(wide_adapter: TableAdapter) -> None:
    trace = decodekit.Session(wide_adapter, chain("truncated"), seed=3).generate([5], max_tokens=1, level="full").trace
    trace.header.chain["processors"][0]["version"] = "0.0.1"
    verdict = decodekit.verify(trace, chain=True)
    assert verdict.word == "consistent"
    assert "0.0.1" in verdict.why


def test_a_given_chain_takes_the_place_of_one_that_cannot_be_built(wide_adapter: TableAdapter) -> None:
    def halved(dist: Distribution, ctx: Context) -> Distribution:
        return dist.scaled(0.5)

    session = decodekit.Session(wide_adapter, Chain([halved]), seed=7)
    trace = session.generate([1, 2], max_tokens=5, level="full").trace
    assert decodekit.verify(trace, chain=True).word == "consistent"  # it is registered nowhere
    assert decodekit.verify(trace, chain=Chain([halved])).counts == {"reproduced": 5}
    report = decodekit.replay(trace, adapter=wide_adapter, chain=Chain([halved]))
    assert report.equal == 5 and report.max_drift == 0.0
    for wrong in (Chain([]), Chain([halved], "greedy")):
        with pytest.raises(decodekit.ConfigError, match="the recorded one"):
            decodekit.verify(trace, chain=wrong)
        with pytest.raises(decodekit.ConfigError, match="the recorded one"):
            decodekit.replay(trace, adapter=wide_adapter, chain=wrong)


def test_a_chain_in_a_header_names_plugins_and_never_code(wide_adapter: TableAdapter) -> None:
    trace = decodekit.Session(wide_adapter, chain("truncated"), seed=3).generate([5], max_tokens=1).trace
    trace.header.chain["processors"][0]["name"] = "os:system"
    loaded = set(sys.modules)
    verdict = decodekit.verify(trace, chain=True)
    assert verdict.word == "consistent"
    assert "no processor of a distribution 'os' is named 'system'" in verdict.why
    assert set(sys.modules) == loaded
    assert decodekit.verify(trace).word == "proved"


def test_a_run_on_heads_is_proved_with_the_tail_as_its_floor() -> None:
    rows = np.random.default_rng(0).normal(0, 3, (40, 200))
    adapter = TableAdapter(lambda ids: rows[len(ids) % 40], 200, most=decodekit.Disclosure(20))
    top_k = decodekit.processor("top_k", top_k=8)
    trace = decodekit.Session(adapter, Chain([top_k]), seed=1).generate([3], max_tokens=20).trace
    assert decodekit.verify(trace).word == "proved"
    whole = decodekit.Session(TableAdapter(lambda ids: rows[len(ids) % 40], 200), Chain([top_k]), seed=1)
    assert whole.generate([3], max_tokens=20).token_ids == tuple(trace.token_ids())


def test_an_unfinished_trace_is_incomplete_and_its_steps_are_verified_all_the_same(
    tmp_path: Path, ngram: NGramAdapter
) -> None:
    path = tmp_path / "run.jsonl"
    decodekit.Session(ngram, chain("truncated"), seed=7).generate("the ", max_tokens=6, trace=path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    verdict = decodekit.verify(path)
    assert verdict.word == "incomplete"
    assert verdict.counts == {"proved": 6}


def test_a_trace_of_unknown_noise_is_refused(wide_adapter: TableAdapter) -> None:
    trace = decodekit.Session(wide_adapter, chain("bare"), seed=3).generate([5], max_tokens=1).trace
    trace.header = replace(trace.header, rng="decodekit-rng-2")
    with pytest.raises(decodekit.TraceError, match="decodekit-rng-2"):
        decodekit.verify(trace)


def test_a_part_that_asked_the_tokenizer_is_consistent_because_no_trace_holds_it(tmp_path: Path) -> None:
    from decodekit.testing import BytesTokenizer

    adapter = NGramAdapter("the cat sat on the mat. the dog sat on the log. ", order=3)
    assert isinstance(adapter.tokenizer, BytesTokenizer)
    path = tmp_path / "run.jsonl"
    ending = decodekit.processor("suppressed_tokens", suppressed_tokens=[ord("z")])
    asking = decodekit.processor("bad_words", bad_words=["dog"])
    decodekit.Session(adapter, Chain([ending]), seed=1).generate("the ", max_tokens=8, trace=path, level="full")
    assert decodekit.verify(path, chain=True).word == "reproduced"
    path.unlink()
    decodekit.Session(adapter, Chain([asking]), seed=1).generate("the ", max_tokens=8, trace=path, level="full")
    verdict = decodekit.verify(path, chain=True)
    assert verdict.word == "consistent"
    assert "needs the tokenizer" in verdict.why
