"""The numbers of a difference, against the rows of the models and against a replay."""

from __future__ import annotations

import copy
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit import processor
from decodekit.testing import PiecesTokenizer, TableAdapter

from .diff_pairs import HEADS, LARGE, SAME, SIZE, TOP_P, WORDS, model, run, scores
from .forging import dump, load

FULL = run(level="full")
NOISES = [0.02, 0.1, 0.4, 1.5]


def final(drift: float, ids: tuple[int, ...]) -> decodekit.Distribution:
    """What `run` draws from, after these tokens."""
    context = decodekit.Context(ids[:1], ids[1:])
    return decodekit.Chain(TOP_P).apply(decodekit.Distribution.dense(scores(ids, drift)), context)


@pytest.mark.parametrize("drift", NOISES)
@pytest.mark.parametrize("level", ["proof", "full"])
def test_a_difference_finds_what_a_replay_with_the_model_finds(level: str, drift: float, tmp_path: Path) -> None:
    a = run(level="full")(tmp_path / "a.jsonl")
    b = run(model(drift), level=level)(tmp_path / "b.jsonl")
    found, live = decodekit.diff(a, b), decodekit.replay(a, adapter=model(drift)).first_difference
    assert found.equal == (live is None)
    if live is not None and found.first is not None and found.first.parting is not None:
        parting, ids = found.first.parting, (5, *a.token_ids()[: live.index])
        assert (found.step, parting.b.token_id) == (live.index, live.replayed)
        kept = [final(0.0, ids).support(), final(drift, ids).support()]
        if all(side.token_id in support for side in (parting.a, parting.b) for support in kept):
            assert parting.drift == pytest.approx(live.drift, abs=1e-6)
            assert parting.explained is live.explained is True
        else:  # the drift moved one of the two tokens over the edge of top_p
            assert parting.explained is None


@pytest.mark.parametrize("drift", NOISES)
def test_total_variation_is_exact_for_whole_rows_and_bounded_for_their_tops(drift: float, tmp_path: Path) -> None:
    for level in ("full", "proof"):
        a = run(level=level)(tmp_path / f"a {level}.jsonl")
        b = run(model(drift), level=level)(tmp_path / f"b {level}.jsonl")
        found = decodekit.diff(a, b).sequences[0]
        if found.parting is None:
            continue
        ids = (5, *a.token_ids()[: found.step])
        raw, *_, last = found.parting.stages
        rows = [decodekit.Distribution.dense(scores(ids, each)) for each in (0.0, drift)]
        for stage, true in ((raw, rows[0].tv(rows[1])), (last, final(0.0, ids).tv(final(drift, ids)))):
            assert stage.tv_low is not None and stage.tv_high is not None
            assert stage.tv_low - 1e-6 <= true <= stage.tv_high + 1e-6
        if level == "full":
            assert raw.tv_high - raw.tv_low < 1e-9 and raw.compared == SIZE and raw.missing == ""
            assert raw.drift == pytest.approx(float(np.abs(rows[0].logprobs - rows[1].logprobs).max()), abs=1e-6)
            assert (raw.entropy_a, raw.entropy_b) == pytest.approx((rows[0].entropy, rows[1].entropy), abs=1e-6)
        else:
            assert raw.missing and raw.compared >= 3


def test_the_steps_before_are_summed_up(tmp_path: Path) -> None:
    small = 1e-3
    a, b = FULL(tmp_path / "a.jsonl"), run(model(small), level="full")(tmp_path / "b.jsonl")
    before = decodekit.diff(a, b).sequences[0].before
    drifts = []
    for at in range(12):
        ids = (5, *a.token_ids()[:at])
        one, other = final(0.0, ids), final(small, ids)
        both = np.intersect1d(one.support(), other.support())
        drifts.append(float(np.abs(one.logprobs_of(both) - other.logprobs_of(both)).max()))
    assert (before.steps, before.compared, before.first_step, before.first_stage) == (12, 12, 0, "raw")
    assert before.max_drift == pytest.approx(max(drifts), abs=1e-6)
    assert before.mean_drift == pytest.approx(float(np.mean(drifts)), abs=1e-6)
    assert before.max_at == int(np.argmax(drifts))
    assert before.max_tv_low is not None and before.max_tv_low <= before.max_tv_high <= max(drifts)


def test_the_stages_of_other_chains_are_laid_beside_each_other(tmp_path: Path) -> None:
    a = SAME(tmp_path / "a.jsonl")
    b = run(parts=[TOP_P[0], processor("top_k", top_k=2), TOP_P[1]])(tmp_path / "b.jsonl")
    parting = decodekit.diff(a, b).first.parting
    places = [(stage.name, stage.place_a, stage.place_b, stage.same) for stage in parting.stages]
    assert places == [
        ("raw", None, None, True), ("temperature", 0, 0, True), ("top_k", None, 1, None), ("top_p", 1, 2, False),
        ("final", None, None, False),
    ]  # fmt: skip
    top_k, last = parting.stages[2], parting.stages[-1]
    assert (top_k.support_a, top_k.support_b) == (None, 2) and last.only_a > 0


def test_what_is_not_recorded_is_said(tmp_path: Path) -> None:
    a = run(level="choice")(tmp_path / "a.jsonl")
    b = run(model(LARGE, **HEADS), parts=[processor("top_k", top_k=5)])(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    assert "level 'choice': its final scores are not recorded" in " ".join(found.notes)
    assert found.first.parting.stages[0].missing and found.first.parting.stages[-1].missing
    assert found.first.parting.a.sound is None and found.first.parting.b.sound is True


def test_sequences_are_paired_and_the_first_that_parts_is_named(tmp_path: Path) -> None:
    prompts = [[5], [6], [7]]
    a = run(prompts=prompts, n=2)(tmp_path / "a.jsonl")

    def late(ids: tuple[int, ...]) -> np.ndarray:
        """Another model from the third token on, after the prompt 6 only."""
        return scores(ids, LARGE if ids[0] == 6 and len(ids) > 3 else 0.0)

    b = run(TableAdapter(late, SIZE, tokenizer=WORDS), prompts=prompts, n=2)(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    parted = [each for each in found.sequences if each.cause != "none"]
    assert len(found.sequences) == 6 and parted and {each.stream_a >> 32 for each in parted} == {1}
    assert found.step == min(each.step for each in parted) >= 3
    assert {each.paired_by for each in found.sequences} == {"stream and prompt"}
    alone = found.only(0)
    assert alone.equal and alone.sequences == found.sequences[:1] and alone.first is None
    with pytest.raises(decodekit.ParameterError, match="stream 77"):
        found.only(77)
    other = run(prompts=[[7], [5]])(tmp_path / "c.jsonl")
    again = decodekit.diff(a, other)
    assert [each.paired_by for each in again.sequences] == ["prompt", "prompt"]
    assert len(again.only_a) == 4 and again.only_b == ()


def test_the_same_prompt_with_other_ids(tmp_path: Path) -> None:
    tokenizer = PiecesTokenizer([b"a", b"b", b"ab", b"c"])
    adapter = TableAdapter(lambda ids: np.random.default_rng(list(ids)).normal(0, 2, 4), 4, tokenizer=tokenizer)
    a = run(adapter, parts=[], prompts=[[2]])(tmp_path / "a.jsonl")
    b = run(adapter, parts=[], prompts=[[0, 1]])(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b, tokenizer=tokenizer)
    assert (found.cause, found.where) == ("tokenisation", "prompts")
    assert found.why == "the same prompt has other ids: 1 and 2 tokens"
    assert decodekit.diff(a, b).why == "the prompts differ from token 0 on; they have 1 and 2 tokens"


def writing(text: bytes, order: list[bytes]) -> TableAdapter:
    """A model of these letters that writes a text after a prompt of one token."""
    ids = [order.index(text[i : i + 1]) for i in range(len(text))]
    return TableAdapter(
        lambda prefix: np.eye(3)[ids[min(len(prefix) - 1, len(ids) - 1)]] * 9.0, 3, tokenizer=PiecesTokenizer(order)
    )


def test_prompts_of_two_vocabularies_are_not_said_to_differ(tmp_path: Path) -> None:
    letters = [b"a", b"b", b"c"]
    a = run(writing(b"abca", letters), sampler="greedy", prompts=[[0, 1]], max_tokens=2)(tmp_path / "a.jsonl")
    b = run(writing(b"abba", letters[::-1]), sampler="greedy", prompts=[[0]], max_tokens=4)(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    assert (found.cause, found.where) == ("tokenisation", "adapter.tokenizer_fingerprint")
    assert any("whether the prompts are the same is not known" in why for why in found.sequences[0].also)


def test_a_text_of_another_vocabulary_is_followed_to_where_it_parts(tmp_path: Path) -> None:
    """The same letters under other ids: greedy models that agree on two letters."""
    letters = [b"a", b"b", b"c"]
    a = run(writing(b"abca", letters), sampler="greedy", prompts=[[0]], max_tokens=4)(tmp_path / "a.jsonl")
    b = run(writing(b"abba", letters[::-1]), sampler="greedy", prompts=[[0]], max_tokens=4)(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    assert (found.cause, found.where, found.step) == ("tokenisation", "adapter.tokenizer_fingerprint", 2)
    sequence = found.sequences[0]
    assert (sequence.aligned_by, sequence.same_text, sequence.parting.stages) == ("texts", False, ())
    assert "texts are compared, and no scores" in str(found)


def long(path: Path, tokens: int) -> Path:
    """A trace of so many tokens: twelve steps again and again."""
    run()(path)
    head, *steps, foot = load(path)
    copies = [copy.deepcopy(steps[at % 12]) for at in range(tokens)]
    for at, step in enumerate(copies):
        step["content"]["step"] = at
    head["content"]["stop"]["max_tokens"] = foot["content"]["ends"][0]["tokens"] = tokens
    path.unlink()
    return dump([head, *copies, foot], path)


def test_files_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """The steps of a file take five times the memory and more of comparing it."""
    files, peaks = (long(tmp_path / "a.jsonl", 1000), long(tmp_path / "b.jsonl", 900)), []
    for work in (decodekit.read_trace, lambda first: decodekit.diff(first, files[1])):
        tracemalloc.start()
        try:
            work(files[0])
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] / 5
    found = decodekit.diff(*files)
    assert (found.where, found.step) == ("stop.max_tokens", 900)
