"""decodekit-rng-1 against docs/RNG.md, number by number, and against NumPy's own Philox."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.random import Philox

from decodekit import Context, Distribution, ParameterError, Randomness, derive
from decodekit.draw.randomness import ESTIMATORS, MODELS, PROCESSORS, SINGLE, TOKENS, gumbel_of, uniform_of
from decodekit.draw.samplers import inverse_cdf, multinomial

# seed, domain, step, stream, draw, token, word, u, g
VECTORS = [
    (0, 0, 0, 0, 0, 0, "02f4ba6408e4d89b", "0x1.7a5d3204726c0p-7", -1.49545161157695),
    (0, 0, 0, 0, 0, 1, "3dd62b0b9ca8c5b2", "0x1.eeb1585ce5464p-3", -0.3511371183614868),
    (0, 0, 0, 0, 0, 4, "809bf322883987c3", "0x1.0137e64510731p-1", 0.3733862877981871),
    (0, 0, 1, 0, 0, 0, "363c6d54f81ba26e", "0x1.b1e36aa7c0dd4p-3", -0.4394360086828338),
    (0, 0, 0, 1, 0, 0, "a4c5607fb1206f77", "0x1.498ac0ff6240dp-1", 0.8195706580779715),
    (42, 0, 0, 0, 0, 0, "d1f8817d4d62880e", "0x1.a3f102fa9ac51p-1", 1.6184316138830466),
    (42, 0, 0, 0, 0, 50256, "09237466660dc3ac", "0x1.246e8cccc1b90p-5", -1.2037773094092628),
    (42, 0, 7, 0, 0, 151935, "a3ed143979ad2600", "0x1.47da2872f35a5p-1", 0.8079705730652162),
    (42, 0, 7, 3, 0, 151935, "6867a4fd918f1dca", "0x1.a19e93f6463c6p-2", 0.10880956135204693),
    (2**64 - 1, 0, 2**40, 2**63, 0, 262143, "450098dcdd7df1f5", "0x1.1402637375f7ep-2", -0.270818530923591),
    (42, 1, 0, 0, 0, 0, "719965f2debb5c86", "0x1.c66597cb7aed6p-2", 0.20763828658245365),
    (42, 1, 1, 0, 0, 0, "cd041728f309c7fc", "0x1.9a082e51e6139p-1", 1.5046747126407238),
    (42, 2, 0, 0, 0, 0, "6d4a942db725cf48", "0x1.b52a50b6dc972p-2", 0.16115464332756763),
    (42, 2, 0, 0, 1, 0, "db97d585cede71da", "0x1.b72fab0b9dbcfp-1", 1.8746989084024595),
]

RACES = {
    (multinomial, 0): "6 2 0 0 2 2 1 5 2 2 2 0 0 1 5 0 1 0 0 2 1 0 2 0 0 0 1 1 0 2 0 3",
    (multinomial, 42): "0 2 1 3 4 0 1 0 2 0 2 0 1 1 0 1 0 2 0 0 3 1 1 1 3 2 0 2 2 6 1 0",
    (inverse_cdf, 0): "3 5 6 0 0 0 0 0 1 0 2 4 3 0 4 1 0 2 2 1 0 2 0 3 1 1 0 1 0 0 1 4",
    (inverse_cdf, 42): "1 2 0 2 0 0 1 0 1 3 1 1 1 0 2 0 0 2 1 0 0 1 1 1 2 3 1 0 0 0 0 0",
}
MARGINS = {0: (0.7526959846968193, 0.03430041571964171), 42: (0.6661822631683962, 0.04643149224398191)}

u64 = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(("seed", "domain", "step", "stream", "draw", "token", "word", "u", "g"), VECTORS)
def test_each_published_word_comes_out_of_every_path(
    seed: int, domain: int, step: int, stream: int, draw: int, token: int, word: str, u: str, g: float
) -> None:
    noise = Randomness(seed, stream)
    where = {"step": step, "domain": domain, "draw": draw}
    whole = noise.words(range(token + 1), **where)
    for words in (whole[-1:], noise.words([token], **where), noise.at(step, domain, draw).words(np.array([token]))):
        assert [f"{int(w):016x}" for w in words] == [word]
    assert float(noise.uniform([token], **where)[0]).hex() == u
    assert noise.gumbel([token], **where)[0] == pytest.approx(g, rel=0, abs=1e-14)


@pytest.mark.parametrize(("sampler", "seed"), RACES, ids=lambda key: getattr(key, "__name__", str(key)))
def test_each_published_sequence_of_tokens_is_drawn(sampler, seed: int) -> None:
    scores = np.array([2, 1.5, 1, 0.5, 0, -0.5, -1, -math.inf])
    dist = Distribution.dense(scores - np.log(np.exp(scores[:-1]).sum()))
    choices = [sampler(dist, Context(), Randomness(seed).at(step)) for step in range(32)]
    assert " ".join(str(choice.token_id) for choice in choices) == RACES[sampler, seed]
    if sampler is multinomial:
        margins = [choice.margin for choice in choices]
        assert (margins[0], min(margins)) == pytest.approx(MARGINS[seed], rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("path", "child"),
    [
        ((42,), 0x1689F489F391FE2C),
        ((42, "req-1"), 0x930B595404571731),
        ((42, "req-1", 0), 0xA94EAB5AD7698F65),
        ((42, 1), 0x2B39E0E2DF81F4ED),
        ((0, "é"), 0x6948FB83485FDA43),
    ],
)
def test_each_published_child_seed_is_derived(path: tuple, child: int) -> None:
    assert derive(*path) == child


def test_derived_seeds_tell_names_from_numbers_and_paths_from_their_concatenation() -> None:
    paths = [(1,), ("1",), ("ab",), ("a", "b"), ("", "ab"), (1, 2), (2, 1), (), (0,), ("",)]
    assert len({derive(7, *path) for path in paths}) == len(paths)


@settings(max_examples=100)
@given(u64, u64, st.integers(0, 2**40), st.integers(0, 4), u64, st.integers(1, 300))
def test_a_whole_vocabulary_is_the_output_of_numpys_philox(
    seed: int, stream: int, step: int, domain: int, draw: int, size: int
) -> None:
    key, counter = np.array([seed, domain], dtype=np.uint64), np.array([0, step, stream, draw], dtype=np.uint64)
    expected = Philox(key=key, counter=counter).random_raw(size)
    noise = Randomness(seed, stream)
    assert np.array_equal(noise.words(range(size), step=step, domain=domain, draw=draw), expected)


@settings(max_examples=100)
@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=40), st.integers(0, 3), st.integers(0, 9))
@example([3, 3, 0, 39_999, 3], 0, 0)
def test_sparse_lanes_in_any_order_are_the_words_of_the_dense_range(lanes: list[int], seed: int, step: int) -> None:
    noise = Randomness(seed, stream=5)
    whole = noise.words(range(40_001), step=step)
    for asked in (lanes, np.array(lanes), np.array(lanes, dtype=np.uint32), tuple(lanes), sorted(lanes)):
        assert np.array_equal(noise.words(asked, step=step), whole[np.array(asked, dtype=np.int64)])
    assert np.array_equal(noise.words(range(lanes[0], lanes[0] + 9), step=step)[0], whole[lanes[0]])


@settings(max_examples=100)
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=12))
@example([2**62, 0, 2**62, 5, 4])
def test_far_lanes_are_the_words_of_their_own_block(lanes: list[int]) -> None:
    expected = []
    for lane in lanes:
        counter = np.array([lane // 4, 11, 2, 0], dtype=np.uint64)
        expected.append(Philox(key=np.array([9, 0], dtype=np.uint64), counter=counter).random_raw(4)[lane % 4])
    assert Randomness(9, stream=2).words(lanes, step=11).tolist() == expected


def test_no_lanes_give_no_words() -> None:
    for none in ([], range(0), np.empty(0, dtype=np.int64)):
        words = Randomness(0).words(none, step=0)
        assert words.dtype == np.uint64 and len(words) == 0


def test_a_uniform_never_is_zero_or_one_and_its_gumbel_number_is_finite() -> None:
    u = uniform_of(np.array([0, 2**64 - 1, 2**12 - 1, 2**12], dtype=np.uint64))
    # The lowest cell is [0, 2**-52) with its middle at 2**-53; the highest ends at 1.
    assert u.tolist() == [2.0**-53, 1 - 2.0**-53, 2.0**-53, 3 * 2.0**-53]
    low, high = gumbel_of(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert low == pytest.approx(-math.log(53 * math.log(2))) and high == pytest.approx(53 * math.log(2))


def test_domains_streams_steps_and_draws_are_independent() -> None:
    # 12 sequences of 40,000 uniforms: 66 correlations, each normal with deviation 1/200. Under independence the largest
    # passes 6.0 deviations with p = 66 * 2e-9 = 1.3e-7; and each chi-square over 16 cells (15 degrees of freedom)
    # passes 65 with p = 4e-8.
    noise, lanes = Randomness(2024, 0), range(40_000)
    keys = [(0, 0, domain, 0) for domain in (TOKENS, SINGLE, PROCESSORS, ESTIMATORS, MODELS)]
    keys += [(0, step, 0, 0) for step in (1, 2)] + [(stream, 0, 0, 0) for stream in (1, 2, 1 << 32)]
    keys += [(0, 0, 0, draw) for draw in (1, 2)]
    rows = np.array(
        [
            Randomness(noise.seed, stream).uniform(lanes, step=step, domain=domain, draw=draw)
            for stream, step, domain, draw in keys
        ]
    )
    correlations = np.corrcoef(rows)[np.triu_indices(len(keys), 1)]
    assert np.abs(correlations).max() < 6.0 / math.sqrt(len(lanes))
    for row in rows:
        counts = np.bincount((row * 16).astype(int), minlength=16)
        assert ((counts - 2500) ** 2 / 2500).sum() < 65
    # Neighbouring lanes too: 12 correlations at a lag of one, p = 12 * 2e-9 = 2.4e-8.
    assert max(abs(np.corrcoef(row[:-1], row[1:])[0, 1]) for row in rows) < 6.0 / math.sqrt(len(lanes))


def test_no_seed_draws_a_fresh_one_and_keeps_it() -> None:
    # Two draws of 64 bits are equal with p = 5e-20.
    one, other = Randomness(), Randomness(None)
    assert one.seed != other.seed and 0 <= one.seed < 2**64
    assert np.array_equal(Randomness(one.seed).words(range(8), step=0), one.words(range(8), step=0))


def test_seed_zero_is_a_seed_and_numpy_integers_are_integers() -> None:
    assert Randomness(0).seed == 0
    taken = Randomness(np.uint64(2**64 - 1), np.int32(3))
    assert (taken.seed, taken.stream) == (2**64 - 1, 3) and type(taken.seed) is int


@pytest.mark.parametrize("bad", [-1, 2**64, 1.0, "7", True, math.nan, b"7"])
def test_a_bad_seed_stream_or_path_item_is_a_typed_error(bad: object) -> None:
    with pytest.raises(ParameterError, match="seed must be an integer from 0"):
        Randomness(bad)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="stream must be an integer from 0"):
        Randomness(0, bad)  # type: ignore[arg-type]
    if not isinstance(bad, str):
        with pytest.raises(ParameterError, match="path item"):
            derive(0, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("lanes", [[-1], [3, -4], np.array([-1])])
def test_a_negative_lane_is_a_typed_error(lanes: list[int]) -> None:
    with pytest.raises(ParameterError, match="lane"):
        Randomness(0).words(lanes, step=0)


def test_randomness_is_a_value() -> None:
    noise = Randomness(1, 2)
    assert noise == Randomness(1, 2) and hash(noise) == hash(Randomness(1, 2)) and noise != Randomness(1, 3)
    with pytest.raises(AttributeError):
        noise.seed = 5  # type: ignore[misc]
    bound = noise.at(3, draw=4).within(SINGLE)
    assert (bound.seed, bound.stream, bound.step, bound.domain, bound.draw) == (1, 2, 3, SINGLE, 4)
    assert bound.within(PROCESSORS, 9).draw == 9


def test_the_words_of_a_whole_vocabulary_are_made_once_and_cannot_be_changed() -> None:
    noise = Randomness(3, stream=1).at(4)
    words = noise.all_words(50)
    assert np.array_equal(words, noise.words(range(50)))
    assert noise.all_words(50) is words and not words.flags.writeable
    assert np.array_equal(noise.all_words(60)[:50], words)  # another vocabulary
    assert noise.words(range(50)).flags.writeable and noise == Randomness(3, stream=1).at(4)
