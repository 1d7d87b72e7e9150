"""The Gumbel sampler is vLLM's and SGLang's to the last bit of their numbers; its detector theirs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import decodekit
from decodekit import Chain, Context, Distribution, PluginError, Randomness, Session, Undisclosed
from decodekit.draw.context import TokenIds
from decodekit.draw.samplers import multinomial
from decodekit.testing import check_sampler
from decodekit_watermark.hashes import murmur_contexts, murmur_uniforms, philox_uniforms

from .texts import TABLE, golden_row, text

HEX = "0x0123456789abcdef"
# vLLM's tests/watermarking/watermarking_goldens.json, "gumbel-philox-key42-cw4" and "gumbel-philox-key42-cw4-mid-...".
VLLM = (
    "46 24 45 80 14 26 22 124 21 45 16 30 5 89 0 10 27 70 80 62 1 11 117 53 10 45 94 37 43 22 78 49 119 9 22 118 82 75 "
    "32 24 84 27 122 66 78 64 124 17 91 12 51 15 75 64 127 45 112 15 83 114 121 109 24 77"
)
EIGHT = "7 2 2 5 5 4 4 0 3 2 6 2 5 1 7 3 6 6 5 5 7 0 3 0 3 6 5 5 1 7 7 3 6 2 2 5 1 4 2 3 5 2 5 4 3 4 0 6 6 5 5 "
UNLIMITED = EIGHT + "1 4 7 7 3 6 2 5 1 4 0 3 6"
LAST_EIGHT = EIGHT + "7 0 3 7 3 2 2 5 4 4 0 3 2"
# "gumbel-philox-key42-cw4-all-prompt": deduplicate_contexts="all" with this prompt.
PROMPT = (46, 42, 38, 34, 122)
ALL = (
    "46 42 38 34 30 43 121 123 91 17 66 58 54 103 28 39 3 34 58 23 21 29 57 9 66 91 101 58 85 67 18 102 123 112 2 37 "
    "100 32 35 67 116 115 108 5 100 14 67 56 122 23 12 125 103 20 70 8 45 1 90 45 114 10 30 66"
)
# SGLang 0.5.23's selection (float32, torch on a CPU) on the same scores after the prompt 5 6.
SGLANG = (
    "127 17 66 97 104 40 68 119 35 56 122 65 114 40 89 124 10 84 122 83 104 8 60 53 42 34 23 5 4 43 46 95 31 41 97 37 "
    "79 96 0 28 6 87 44 104 22 60 7 63 126 73 30 43 61 110 53 123 45 23 5 93 43 71 17 91"
)


def ids(numbers: str) -> list[int]:
    return list(map(int, numbers.split()))


def mark(form: str, key: str = "42", **parameters: Any) -> Any:
    return decodekit.sampler("gumbel_watermark", gumbel_watermark=form, key=SecretStr(key), **parameters)


def chosen(sampler: Any, row: np.ndarray, prompt: tuple[int, ...], output: list[int], **noise: int) -> Any:
    context = Context(TokenIds(prompt), TokenIds(output))
    return sampler(Distribution.dense(row), context, Randomness(9).at(len(output), draw=noise.get("attempt", 0)))


def test_the_numbers_are_those_of_the_engines() -> None:
    found = philox_uniforms(42, np.array([[1, 2, 3, 4]]), np.arange(3))
    assert [value.hex() for value in found.tolist()] == [
        float.fromhex(each).hex() for each in ("0x1.127ca6p-1", "0x1.635edp-1", "0x1.c30816p-3")
    ]
    assert murmur_contexts(np.array([[1, 2, 3, 4], [-1, -1, 1, 2]])).tolist() == [0x4445AD00, 0xC3642E86]
    words = [0x4D196DE3, 0x332A2EF5, 0x22F8A8EA, 0x75672C08]
    assert murmur_uniforms(int(HEX, 16), np.array([[1, 2, 3, 4]]), np.arange(4)).tolist() == [
        (w + 0.5) / 2**32 for w in words
    ]


def test_a_number_depends_on_its_own_token_alone() -> None:
    for uniforms in (philox_uniforms, murmur_uniforms):
        context = np.array([[3, 1, 4, 1, 5]])
        every = uniforms(7, context, np.arange(300))
        assert (every > 0).all() and (every < 1).all() and len(set(every.tolist())) == 300
        some = np.array([299, 0, 17, 17, 2])
        assert uniforms(7, context, some).tolist() == every[some].tolist()
        assert uniforms(7, context.repeat(5, axis=0), some).tolist() == every[some].tolist()


@pytest.mark.parametrize(
    ("form", "key", "prompt", "golden"), [("vllm", "42", (), VLLM), ("sglang", HEX, (5, 6), SGLANG)]
)
def test_a_whole_text_is_the_engines(form: str, key: str, prompt: tuple[int, ...], golden: str) -> None:
    sampler, output = mark(form, key, start="marked"), list[int]()
    for step in range(64):
        choice = chosen(sampler, golden_row(step), prompt, output)
        assert choice.draw is None and choice.margin > 0
        output.append(choice.token_id)
    assert output == ids(golden)


def skipped(sampler: Any, prompt: tuple[int, ...], output: list[int]) -> list[int]:
    """The steps that are drawn without the key."""
    given = np.array(prompt, dtype=np.int64), np.array(output, dtype=np.int64)
    return [step for step in range(len(output)) if sampler.context(given[0], given[1][:step]) is None]


@pytest.mark.parametrize(("history", "golden", "count"), [(None, UNLIMITED, 6), (8, LAST_EIGHT, 0)])
def test_what_vllm_draws_without_its_key_is_drawn_without_it(history: int | None, golden: str, count: int) -> None:
    sampler, output = mark("vllm", start="marked", history=history), ids(golden)
    without = skipped(sampler, (), output)
    assert len(without) == count  # dedup_skips of the golden file
    for step, token in enumerate(output):
        scores = golden_row(step, 8)
        scores[3] += 1  # the fixture's dominant token
        if step in without:
            assert token == int(scores.argmax())  # the fixture's ordinary sampler
        else:
            assert chosen(sampler, scores, (), output[:step]).token_id == token


def test_an_ordinary_start_is_vllms_scope_all_with_the_prompts_contexts() -> None:
    sampler, output = mark("vllm"), ids(ALL)
    without = skipped(sampler, PROMPT, output)
    assert without == [0, 1, 2, 3, 4]  # four partial contexts, and one of the prompt
    for step in set(range(64)) - set(without):
        assert chosen(sampler, golden_row(step), PROMPT, output[:step]).token_id == output[step]


@pytest.mark.parametrize(
    ("key", "total", "p"), [("42", 296.27295787856264, 7.128196280874065e-61), ("43", 63.25096716585621, 0.5208447937)]
)
def test_the_detector_says_what_vllms_says(key: str, total: float, p: float) -> None:
    found = mark("vllm", key, start="marked").detect(ids(VLLM))
    assert (found.scored, found.statistic) == (64, pytest.approx(total, rel=1e-12))
    assert found.p_value == pytest.approx(p, rel=1e-9)
    repeated = mark("vllm", start="marked").detect(ids(UNLIMITED))
    assert (repeated.scored, repeated.statistic) == (58, pytest.approx(110.81134114351678, rel=1e-12))


def test_the_detector_says_what_sglangs_says() -> None:
    sampler = mark("sglang", HEX, start="marked")
    numbers = [(i * i * 7 + 3 * i) % 97 for i in range(60)]
    for prompt, scored, total in (((), 56, 47.24130579106889), ((5, 6, 7, 8, 9), 60, 50.20834215217983)):
        found = sampler.detect(numbers, prompt)
        assert (found.scored, found.statistic) == (scored, pytest.approx(total, rel=1e-12))
    budget = mark("sglang", HEX, start="marked", history=20)
    assert budget.detect(numbers).scored == 20
    assert len(skipped(budget, (5, 6, 7), numbers)) == 40


@pytest.mark.parametrize("form", ["vllm", "sglang"])
@pytest.mark.parametrize("start", ["ordinary", "marked"])
def test_the_contract_is_kept(form: str, start: str) -> None:
    check_sampler(mark(form, start=start, context_width=2), law=None)


@pytest.mark.parametrize("form", ["vllm", "sglang"])
def test_the_law_over_all_keys_is_the_distribution(form: str) -> None:
    weights = np.array([25, 17, 14, 12, 10, 8, 7, 5, 2], dtype=float)
    counts = np.zeros(9)
    for key in range(600):
        counts[chosen(mark(form, str(key)), np.log(weights), (0,), [1, 2, 3, 4]).token_id] += 1
    expected = weights / weights.sum() * 600
    statistic = float(((counts - expected) ** 2 / expected).sum())
    half = statistic / 2
    assert math.exp(-half) * sum(half**k / math.factorial(k) for k in range(4)) > 1e-6, counts


def test_without_the_key_it_is_multinomial_bit_for_bit() -> None:
    sampler = mark("vllm", context_width=3)
    for output, attempt in (([], 0), ([5, 6], 0), ([1, 2, 3, 1, 2, 3], 0), ([1, 2, 3, 4], 1)):
        noise = Randomness(9).at(len(output), draw=attempt)
        ordinary = multinomial(Distribution.dense(golden_row(3)), Context(), noise)
        assert chosen(sampler, golden_row(3), (8,), output, attempt=attempt) == ordinary
    assert chosen(sampler, golden_row(3), (8,), [1, 2, 3, 4]).draw is None


def test_samples_of_a_prompt_differ_unless_the_mark_begins_at_once() -> None:
    ordinary = [text(sampler=mark("vllm"), length=30, stream=stream) for stream in range(6)]
    assert len(set(map(tuple, ordinary))) == 6
    at_once = [text(sampler=mark("vllm", start="marked"), length=30, stream=stream) for stream in range(6)]
    assert len(set(map(tuple, at_once))) == 1


@pytest.mark.parametrize("form", ["vllm", "sglang"])
def test_a_head_gives_the_token_of_the_whole_row(form: str) -> None:
    sampler, asked = mark(form), 0
    context = Context(TokenIds([0]), TokenIds([1, 2, 3, 4]))
    for step in range(30):
        row = np.random.default_rng(step).normal(0, 3, 200)
        row -= np.log(np.exp(row).sum())
        whole = Distribution.dense(row, origin="logprobs")
        expected = sampler(whole, context, Randomness(0).at(4))
        shown = np.argsort(-row)[:40]
        most = float(row[shown].min())
        try:
            choice = sampler(Distribution.head(shown, row[shown], 200, max_hidden=most), context, Randomness(0).at(4))
        except Undisclosed as need:
            asked += 1
            shown = np.union1d(shown, need.need.ids)
            assert expected.token_id in shown
            choice = sampler(Distribution.head(shown, row[shown], 200, max_hidden=most), context, Randomness(0).at(4))
        assert choice.token_id == expected.token_id and choice.margin <= expected.margin + 1e-6
    assert 0 < asked < 30
    with pytest.raises(Undisclosed):
        sampler(Distribution.head([4, 2], np.log([0.5, 0.3]), None), context, Randomness(0).at(4))


def test_a_banned_phrase_that_the_key_writes_is_an_error_that_says_what_to_do() -> None:
    session = Session(TABLE, Chain([], mark("vllm", context_width=1)), seed=3)
    unwanted = session.generate([1], max_tokens=40).token_ids[10]
    with pytest.raises(PluginError, match="would be written again; ban its tokens in the chain"):
        session.generate([1], max_tokens=40, ban=[chr(32 + unwanted)])
    banned = decodekit.processor("suppressed_tokens", suppressed_tokens=[unwanted])
    assert unwanted not in session.generate([1], max_tokens=40, chain=Chain([banned], session.chain.sampler)).token_ids
