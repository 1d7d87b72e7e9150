"""llama.cpp's draw: its generator, its walk, its order, and the state that is its position.

The comparisons with the C samplers hold where llama-cpp-python was built with libstdc++, as on Linux.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Choice, Distribution, ParameterError, Undisclosed
from decodekit.testing import check_sampler
from decodekit_sampling.mt19937 import uniform_double, uniform_float

from .logit_rows import normal_rows
from .running import decide, tokens

libstdcxx = pytest.mark.skipif(sys.platform != "linux", reason="another standard library draws other uniforms")


def test_the_generator_is_mt19937() -> None:
    # The C++ standard fixes the 10,000th word of the default seed 5489.
    assert int(uniform_float(5489, 9999) * 2**32) == int(np.float32(4123659995))
    low, high = 3499211612, 581869302  # the first two words of that seed, as published with the algorithm
    assert uniform_double(5489, 0) == (low + high * 2**32) / 2**64
    assert uniform_double(5489, 1) != uniform_double(5489, 0)


def test_positions_beyond_what_was_generated_so_far_continue_the_same_sequence() -> None:
    words = np.frombuffer(np.random.RandomState(7).bytes(4 * 5000), dtype="<u4").astype(float)
    for at in (0, 1022, 1023, 1024, 4095, 4998):
        assert uniform_double(7, at) == (words[at] + words[at + 1] * 2.0**32) / 2.0**64


@libstdcxx
@pytest.mark.parametrize("size", [5, 400])
@pytest.mark.parametrize("seed", [0, 42, 2**32 - 2])
def test_a_thousand_draws_are_llama_cpps_own(size: int, seed: int) -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    rows = normal_rows(1000, size, seed % 97)
    for order in ("id", "score"):
        parts = [llama.build("top_k", size)] if order == "score" else []  # it sorts, and leaves all
        theirs = llama.chain(*parts, llama.build("dist", seed))
        ours = Chain([], decodekit.sampler("llamacpp_dist", llamacpp_dist=seed, order=order))
        assert tokens(ours, rows) == [llama.select(theirs, row) for row in rows], order


@libstdcxx
def test_draws_on_a_large_vocabulary_are_llama_cpps_own() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    size, noise = 151_936, np.random.default_rng(0)  # in id order equal scores do no harm
    rows = [noise.normal(0, spread, size).astype(np.float16).astype(np.float32) for spread in (0.1, 1, 2.2, 4) * 8]
    theirs = llama.build("dist", 6)
    ours = Chain([], decodekit.sampler("llamacpp_dist", llamacpp_dist=6, order="id"))
    assert tokens(ours, rows) == [llama.select(theirs, row) for row in rows]


@libstdcxx
def test_a_lone_candidate_costs_a_draw_as_in_the_installed_llama_cpp() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    rows = normal_rows(300, 20, 3)
    for row in rows[::2]:
        row[4] = 60.0  # min_p leaves it alone
    theirs = llama.chain(llama.build("min_p", 0.05, 1), llama.build("dist", 5))
    chain = Chain(
        [decodekit.processor("min_p", min_p=0.05)], decodekit.sampler("llamacpp_dist", llamacpp_dist=5, order="id")
    )
    steps = decide(chain, rows)
    assert [choice.token_id for _, choice, _ in steps] == [llama.select(theirs, row) for row in rows]
    assert steps[-1][2][-1] == 600
    assert steps[0][1].runner_up is None and steps[0][1].margin == math.inf


def test_a_discrete_distribution_draws_nothing_for_a_lone_candidate() -> None:
    rows = [[0.0, 1.0, 2.0], [-math.inf, 1.0, -math.inf], [0.0, 1.0, 2.0]]
    sampler = decodekit.sampler("llamacpp_dist", llamacpp_dist=1, law="discrete")
    assert [states[-1] for _, _, states in decide(Chain([], sampler), rows)] == [2, 2, 4]


def test_the_order_is_that_of_the_walk_and_the_score_the_uniform() -> None:
    u = uniform_double(9, 0)
    cumulative = {"id": np.cumsum([0.1, 0.2, 0.7]), "score": np.cumsum([0.7, 0.2, 0.1])}
    for order, names in (("id", [0, 1, 2]), ("score", [2, 1, 0])):
        sampler = decodekit.sampler("llamacpp_dist", llamacpp_dist=9, order=order)
        ((_, choice, states),) = decide(Chain([], sampler), [np.log([0.1, 0.2, 0.7])])
        assert choice.token_id == names[int(np.searchsorted(cumulative[order], u))]
        assert choice.score == u and states == (2,)
        edges = np.abs(np.append(0, cumulative[order]) - u)[1:-1]
        assert choice.margin == pytest.approx(edges.min(), abs=1e-6)


@pytest.mark.parametrize("law", ["dist", "discrete"])
@pytest.mark.parametrize("order", ["id", "score"])
def test_with_a_seed_of_the_session_it_keeps_the_contract_and_the_law(order: str, law: str) -> None:
    p = check_sampler(decodekit.sampler("llamacpp_dist", order=order, law=law))
    assert p is not None and p > 1e-6


def test_a_seed_of_its_own_ignores_stream_and_session() -> None:
    rows = [np.zeros(50)] * 20
    fixed = Chain([], decodekit.sampler("llamacpp_dist", llamacpp_dist=4))
    free = Chain([], decodekit.sampler("llamacpp_dist"))

    def ids(chain: Chain, **where: int) -> list[int]:
        return [choice.token_id for _, choice, _ in decide(chain, rows, **where)]

    assert ids(fixed) == ids(fixed, stream=1) == ids(fixed, seed=8)
    assert ids(free) != ids(free, stream=1) and ids(free) != ids(free, seed=8)


def test_the_state_is_a_number_that_branches_share() -> None:
    rows = [np.zeros(50)] * 6
    chain = Chain([], decodekit.sampler("llamacpp_dist", llamacpp_dist=4))
    steps = decide(chain, rows)
    assert [states for *_, states in steps] == [(2,), (4,), (6,), (8,), (10,), (12,)]
    (_, after_three, states) = steps[2]
    assert isinstance(after_three, Choice)
    for _ in range(2):  # both branches draw the fourth token alike
        context = decodekit.Context(output_ids=tuple(choice.token_id for _, choice, _ in steps[:3]))
        noise = decodekit.Randomness(0).at(3)
        _, again, _, _ = chain.step(Distribution.dense(rows[3]), context, states, noise)
        assert again == steps[3][1]


def test_on_a_head_it_asks_for_everything() -> None:
    head = Distribution.head([4, 2], np.log([0.5, 0.3]), 9)
    sampler = decodekit.sampler("llamacpp_dist", llamacpp_dist=1)
    with pytest.raises(Undisclosed) as caught:
        sampler(head, decodekit.Context(), decodekit.Randomness(0).at(0), 0)
    assert caught.value.need == decodekit.ALL


@pytest.mark.parametrize(
    "parameters", [{"llamacpp_dist": -1}, {"llamacpp_dist": 2**32 - 1}, {"llamacpp_dist": True}, {"order": "rank"}]
)
def test_parameters_out_of_range_are_refused(parameters: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(parameters))):
        decodekit.sampler("llamacpp_dist", **parameters)
