"""Whatever the schedule, the bits are those of a fresh evaluation: the region `schedule_invariant` speaks of."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llama_cpp")

import llama_cpp

from decodekit import Prefix
from tests.adapters.llamacpp.bare_loop import BareLoop, model_path

pytestmark = pytest.mark.real_model

TEXT = (
    "The lighthouse stands at the edge of the northern sea. In 1821 its keeper wrote in the log: the wind is from "
    "the west, the waves are as high as the house, and nobody has come for {} days. "
)


@pytest.fixture(scope="module")
def text_ids() -> list[int]:
    """600 ids of ordinary text: past 64 rows, and past 256 and 512 cells, where llama.cpp changes its kernels."""
    from decodekit_llamacpp import LlamaCppAdapter

    adapter = LlamaCppAdapter(model="smollm2", n_ctx=16)
    ids = adapter.tokenizer.encode("".join(TEXT.format(n) for n in range(40)))[:600]
    adapter.close()
    assert len(ids) == 600
    return list(ids)


def assert_bits(answers: Sequence[Any], prefixes: Sequence[Prefix], bare: BareLoop) -> None:
    """Every answer has exactly the bits of the bare loop."""
    # The longest first: the bare loop remembers what it saw on the way.
    for prefix, answer in sorted(zip(prefixes, answers, strict=True), key=lambda pair: -len(pair[0])):
        expected = bare(prefix.token_ids)
        drift = np.abs(answer.scores - expected).max()
        assert drift == 0, f"a prefix of {len(prefix)} tokens drifts by {drift} ({answer.schedule})"


@pytest.mark.parametrize(
    ("rows", "threads"),
    [(64, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((7, 1), (600, 1), (600, 2)))],
)
def test_a_text_scored_in_passes_of_any_size_has_the_same_bits(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int], rows: int, threads: int
) -> None:
    adapter = make(rows_per_forward=rows, n_threads=threads)
    prefixes = [
        Prefix(text_ids[:n]) for n in range(1, 601) if n % 4 == 0 or any(-3 < n - k < 4 for k in (64, 256, 512))
    ]
    assert_bits(adapter.predict(prefixes), prefixes, bare)


def test_token_by_token_has_the_bits_of_the_whole_text_at_once(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int]
) -> None:
    adapter = make()
    bare(text_ids)
    for start, end in ((1, 20), (240, 275), (500, 535)):
        prefix = Prefix(text_ids[:start])
        for token in text_ids[start:end]:
            prefix = prefix.extend([token])
            assert_bits(adapter.predict([prefix]), [prefix], bare)


@pytest.mark.usefixtures("all_cores")
def test_single_tokens_on_two_threads_have_the_same_bits(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int]
) -> None:
    """With llama.cpp's own cache types a single token past 256 cells is added up in one part per thread."""
    # The text before them in one pass: two threads wait for each other at every operation of a pass.
    adapter, prefix = make(n_threads=2, rows_per_forward=512), Prefix(text_ids[:262])
    bare(text_ids[:265])  # which remembers what is asked on the way
    for token in text_ids[262:265]:
        prefix = prefix.extend([token])
        assert_bits(adapter.predict([prefix]), [prefix], bare)


def test_siblings_of_a_long_stem_have_the_bits_of_each_alone(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int]
) -> None:
    adapter = make(n_ctx=700)
    stem = Prefix(text_ids[:270])
    siblings = [stem.extend([token, 30]) for token in (11, 12, 13)]
    for sibling in siblings:
        bare([*sibling.token_ids, 40])  # which remembers what is asked first, too
    assert_bits(adapter.predict(siblings), siblings, bare)
    children = [sibling.extend([40]) for sibling in siblings] + [stem]
    assert_bits(adapter.predict(children), children, bare)


def test_the_same_suffix_after_different_prefixes_is_never_confused(make: Callable[..., Any], bare: BareLoop) -> None:
    adapter = make()
    suffix = list(range(500, 520))
    prefixes = [Prefix([first, *suffix]) for first in (5, 6, 7)]
    assert_bits(adapter.predict(prefixes), prefixes, bare)
    longer = [Prefix([first, 9, *suffix]) for first in (5, 6, 7)] + [prefix.extend([1]) for prefix in prefixes]
    assert_bits(adapter.predict(longer), longer, bare)


def test_a_slot_that_lost_its_neighbour_keeps_its_bits(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int]
) -> None:
    """The case that breaks when freed cells below a sequence are filled with its next tokens."""
    adapter = make(max_sequences=2, n_ctx=300)
    neighbour, kept = Prefix(text_ids[300:400]), Prefix(text_ids[:100])
    adapter.predict([neighbour])
    adapter.predict([kept])
    adapter.predict([Prefix([5, 6, 7])])  # takes the neighbour's slot
    longer = kept.extend(text_ids[100:160])
    assert_bits(adapter.predict([longer]), [longer], bare)


def test_two_chats_in_turn_keep_their_bits_through_every_compaction(
    make: Callable[..., Any], bare: BareLoop, text_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = make(n_ctx=220, rows_per_forward=32, max_sequences=3)
    saved: list[int] = []
    save = llama_cpp.llama_state_seq_get_data

    def counted(*arguments: Any) -> int:
        saved.append(save(*arguments))
        return saved[-1]

    monkeypatch.setattr(llama_cpp, "llama_state_seq_get_data", counted)
    chats = [Prefix(text_ids[:60]), Prefix(text_ids[200:260])]
    bare(text_ids[:150]), bare(text_ids[200:350])
    for turn in range(18):
        which = turn % 2
        start = (0, 200)[which] + len(chats[which])
        chats[which] = chats[which].extend(text_ids[start : start + 10])
        if turn % 5 == 4:
            adapter.predict([chats[which].extend([i, i]) for i in (1, 2)])
        assert_bits(adapter.predict([chats[which]]), [chats[which]], bare)
    assert saved  # bytes that llama.cpp wrote: the cells ran out, and the kept ones were saved


def a_call(rng: random.Random, pool: list[Prefix], longest: int) -> list[Prefix]:
    """Prefixes that extend, cut, repeat, branch from and chain on what was asked before."""
    asked: list[Prefix] = []
    for _ in range(rng.choice([1, 1, 2, 4, 9])):
        prefix, kind = rng.choice(pool), rng.random()
        if kind < 0.6:
            prefix = prefix.extend(rng.choices([100, 200], k=rng.choice([1, 1, 1, 2, 5, 20])))
        elif kind < 0.7:
            prefix = Prefix(prefix.token_ids[: rng.randint(1, len(prefix))])
        elif kind < 0.8:
            prefix = Prefix(rng.choices(range(5, 49000), k=rng.choice([1, 3, 30])))
        elif kind < 0.9:
            for _ in range(rng.randint(1, 5)):
                asked.append(prefix)
                prefix = prefix.extend(rng.choices([100, 200], k=1))
        asked.append(prefix)
    rng.shuffle(asked)
    return [prefix for prefix in asked if len(prefix) <= longest]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_random_trees_in_tiny_caches_have_the_bits_of_fresh_evaluations(
    make: Callable[..., Any], bare: BareLoop, seed: int
) -> None:
    rng = random.Random(seed)
    longest = rng.choice([40, 90])
    adapter = make(
        n_ctx=longest,
        max_sequences=(1, 2, 3, 6)[seed],
        rows_per_forward=rng.choice([3, 8, 17, 64]),
    )
    roots = [Prefix(rng.choices(range(5, 49000), k=rng.choice([1, 5, longest // 2]))) for _ in range(2)]
    pool = list(roots)
    for _ in range(15):
        asked = a_call(rng, pool, longest)
        answers = adapter.predict(asked)
        assert_bits(answers, asked, bare)
        assert all(a is b for a, b in zip(adapter.predict(asked), answers, strict=True))
        pool = pool[-8:] + asked + roots


def test_with_llama_cpps_own_cache_types_the_schedule_does_move_the_bits(
    make: Callable[..., Any], text_ids: list[int]
) -> None:
    """Why the default is another: should this test fail one day, the default can go."""
    whole = make(cache_type="f16", rows_per_forward=300).predict([Prefix(text_ids[:300])])[0]
    parts = make(cache_type="f16", rows_per_forward=16).predict([Prefix(text_ids[:300])])[0]
    assert not np.array_equal(whole.scores, parts.scores)


def test_the_distributions_are_those_of_llama_cpp_python_itself(make: Callable[..., Any], text_ids: list[int]) -> None:
    """Its default cache types differ, so the bits do; the distributions may not, beyond what quantisation does."""
    ids = text_ids[:60]
    reference = llama_cpp.Llama(model_path=model_path(), n_ctx=128, logits_all=True, verbose=False)
    try:
        reference.eval(ids)
        expected = np.array(reference.scores[: len(ids)], dtype=np.float64)
    finally:
        reference.close()
    answers = make().predict([Prefix(ids[: n + 1]) for n in range(len(ids))])
    divergences = []
    for answer, row in zip(answers, expected, strict=True):
        log_q = row - row.max()
        log_q -= np.log(np.exp(log_q).sum())
        divergences.append(float(np.exp(answer.logprobs) @ (answer.logprobs - log_q)))
    assert max(divergences) < 0.2
    assert np.mean(divergences) < 0.02
