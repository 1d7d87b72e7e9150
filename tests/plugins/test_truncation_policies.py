"""Ties and boundaries: every engine's rule where tokens are equal or a sum meets its limit, in exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Context, Disclosure, Distribution, Undisclosed

INF = math.inf
CONTEXT = Context()
FOUR = [0.0, 0.0, 0.0, 0.0]
HALF = np.log([0.5, 0.25, 0.25]).tolist()


def apply(name: str, logits: Any, **parameters: Any) -> Distribution:
    dist = logits if isinstance(logits, Distribution) else Distribution.dense(logits)
    return decodekit.processor(name, **parameters)(dist, CONTEXT)


def kept(name: str, logits: Any, **parameters: Any) -> list[int]:
    return sorted(apply(name, logits, **parameters).support().tolist())


# -- what the engines answer ---------------------------------------------------------------------------------------

ENGINES: dict[str, dict[str, dict[str, str]]] = {
    "llama.cpp": {"top_k": {}, "top_p": {}},
    "transformers": {"top_k": {"ties": "all"}, "top_p": {"ties": "highest"}},
    "vllm": {"top_k": {"ties": "all"}, "top_p": {"ties": "highest"}},
    "sglang": {"top_k": {}, "top_p": {"boundary": "keep"}},
    "exllamav3": {"top_k": {}, "top_p": {}},
    "mlx-lm": {"top_k": {}, "top_p": {"ties": "all"}},
}

# Recorded from transformers, MLX and llama.cpp themselves, and from the torch expressions of the others.
GOLDEN: list[tuple[str, float, list[float], dict[str, list[int]]]] = [
    (
        "top_p", 0.5, FOUR,
        {"llama.cpp": [0, 1], "transformers": [2, 3], "vllm": [2, 3], "sglang": [0, 1, 2], "exllamav3": [0, 1],
         "mlx-lm": [0, 1, 2, 3]},
    ),
    (
        "top_p", 0.25, FOUR,
        {"llama.cpp": [0], "transformers": [3], "vllm": [3], "sglang": [0, 1], "exllamav3": [0],
         "mlx-lm": [0, 1, 2, 3]},
    ),
    (
        "top_p", 0.5, HALF,
        {"llama.cpp": [0], "transformers": [0], "vllm": [0], "sglang": [0, 1], "exllamav3": [0], "mlx-lm": [0]},
    ),
    (
        "top_k", 1, [1.0, 1.0, 1.0, 0.0],
        {"llama.cpp": [0], "transformers": [0, 1, 2], "vllm": [0, 1, 2]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "logits", "engine", "ids"),
    [(name, value, logits, *answer) for name, value, logits, answers in GOLDEN for answer in answers.items()],
)
def test_each_engines_answer_has_its_policy(
    name: str, value: float, logits: list[float], engine: str, ids: list[int]
) -> None:
    assert kept(name, logits, **{name: value}, **ENGINES[engine][name]) == ids
    if engine == "llama.cpp":
        harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
        more = (1,) if name == "top_p" else ()
        left, _ = harness.apply(harness.build(name, value, *more), np.float32(logits))
        assert len(left) == len(ids)  # its sort is unstable: among equals any may be left
    if engine == "transformers":
        assert by_transformers({"top_p": "TopPLogitsWarper", "top_k": "TopKLogitsWarper"}[name], value, logits) == ids


def by_transformers(warper: str, value: float, logits: list[float], **options: Any) -> list[int]:
    torch = pytest.importorskip("torch")
    generation = pytest.importorskip("transformers").generation
    scores = getattr(generation, warper)(value, **options)(
        torch.zeros((1, 1), dtype=torch.long), torch.tensor([logits])
    )
    return torch.isfinite(scores[0]).nonzero()[:, 0].tolist()


def test_a_token_exactly_at_the_limit_of_min_p_stays_and_float32_may_lose_it() -> None:
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    after = apply("min_p", logits, min_p=0.1)
    assert after.support().tolist() == [0, 1, 2, 3] and after.ambiguous
    assert by_transformers("MinPLogitsWarper", 0.1, logits.tolist()) == [0, 1, 2]
    harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    assert sorted(harness.apply(harness.build("min_p", 0.1, 1), np.float32(logits))[0].tolist()) == [0, 1, 2, 3]


def test_typical_keeps_all_equals_as_transformers_does_or_one_as_llama_cpp_does() -> None:
    assert by_transformers("TypicalLogitsWarper", 0.3, FOUR) == [0, 1, 2, 3]
    assert kept("typical_p", FOUR, typical_p=0.3, ties="all") == [0, 1, 2, 3]
    assert kept("typical_p", FOUR, typical_p=0.3) == [0, 1]
    assert kept("typical_p", FOUR, typical_p=0.3, ties="highest") == [2, 3]
    # Where the sum meets the limit, llama.cpp goes on until it is above.
    harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    for p, drop, keep in ((0.25, 1, 2), (0.5, 2, 3), (0.75, 3, 4)):
        assert len(kept("typical_p", FOUR, typical_p=p)) == drop
        assert len(kept("typical_p", FOUR, typical_p=p, boundary="keep")) == keep
        assert len(harness.apply(harness.build("typical", p, 1), np.float32(FOUR))[0]) == keep


# -- in exact fractions --------------------------------------------------------------------------------------------

WEIGHTS = [weights for weights in itertools.product((0, 1, 3), repeat=4) if sum(map(bool, weights))]
SHARES = [
    Fraction(1, 6),
    Fraction(1, 4),
    Fraction(1, 3),
    Fraction(1, 2),
    Fraction(2, 3),
    Fraction(3, 4),
    Fraction(9, 10),
]


def with_ties(order: list[int], goodness: dict[int, Any], count: int, ties: str) -> list[int]:
    """The first ``count`` of the order, plainly."""
    count = min(count, len(order))
    edge = goodness[order[count - 1]]
    equals = [i for i in order if goodness[i] == edge]
    before = order[: order.index(equals[0])]
    room = {"lowest": equals[: count - len(before)], "highest": equals[::-1][: count - len(before)], "all": equals}
    return sorted(before + room[ties])


def logits_of(weights: tuple[int, ...]) -> np.ndarray:
    return np.array([math.log(w) if w else -INF for w in weights])


@pytest.mark.parametrize("ties", ["lowest", "highest", "all"])
@pytest.mark.parametrize("boundary", ["drop", "keep"])
@pytest.mark.parametrize("name", ["top_p", "typical_p"])
def test_sums_are_cut_as_fractions_say(name: str, ties: str, boundary: str) -> None:
    met = 0
    for weights, share, least in itertools.product(WEIGHTS, SHARES, (1, 3)):
        total = sum(weights)
        alive = [i for i, w in enumerate(weights) if w]
        if name == "top_p":
            goodness: dict[int, Any] = {i: -weights[i] for i in alive}
        else:
            entropy = -sum(w / total * math.log(w / total) for w in weights if w)
            goodness = {i: round(abs(-math.log(weights[i] / total) - entropy), 12) for i in alive}
            if len(set(goodness.values())) < len({weights[i] for i in alive}):
                continue  # two surprisals on either side of the entropy, as far from it to the last bit: see below
        order = sorted(alive, key=lambda i: (goodness[i], i))
        before, count = Fraction(0), 0
        for i in order:
            met += before == share
            if before > share or (before == share and boundary == "drop"):
                break
            before += Fraction(weights[i], total)
            count += 1
        expected = with_ties(order, goodness, max(count, least), ties)
        for dist in (Distribution.dense(logits_of(weights)), Distribution.dense(logits_of(weights)).top(4)):
            after = apply(name, dist, **{name: float(share)}, ties=ties, boundary=boundary, min_keep=least)
            assert sorted(after.support().tolist()) == expected, (weights, share, least)
    assert met > 50


def test_surprisals_as_far_above_the_entropy_as_below_make_the_order_ambiguous() -> None:
    halves = np.log([0.5, 0.25, 0.25])  # surprisals of 1, 2 and 2 bits, an entropy of 1.5
    for dist in (Distribution.dense(halves), Distribution.dense(halves).top(3)):
        assert apply("typical_p", dist, typical_p=0.1).ambiguous
    assert not apply("typical_p", np.log([0.5, 0.3, 0.2]), typical_p=0.1).ambiguous


@pytest.mark.parametrize("ties", ["lowest", "highest", "all"])
def test_counts_and_min_keep_cut_ties_as_asked(ties: str) -> None:
    for weights, count in itertools.product(WEIGHTS, (1, 2, 3, 5)):
        alive = [i for i, w in enumerate(weights) if w]
        goodness = {i: -weights[i] for i in alive}
        expected = with_ties(sorted(alive, key=lambda i: (goodness[i], i)), goodness, count, ties)
        for dist in (Distribution.dense(logits_of(weights)), Distribution.dense(logits_of(weights)).top(4)):
            assert kept("top_k", dist, top_k=count, ties=ties) == expected
            assert kept("top_k", dist, top_k=1, min_keep=count, ties=ties) == expected
            least = with_ties(sorted(alive, key=lambda i: (goodness[i], i)), goodness, max(count, 1), ties)
            leaders = {i for i in alive if weights[i] == max(weights)}  # a factor of 1 keeps these anyway
            assert kept("min_p", dist, min_p=1.0, min_keep=count, ties=ties) == sorted(
                leaders if len(leaders) >= count else least
            )
            # More than any token has: only min_keep decides.
            if max(weights) / sum(weights) < 0.999:
                assert kept("epsilon_cutoff", dist, epsilon_cutoff=0.999, min_keep=count, ties=ties) == expected


def test_many_equals_are_cut_by_id_in_a_large_vocabulary() -> None:
    row = np.zeros(20_000)
    row[::2] = -1.0
    p = 1 / (1 + math.exp(-1))  # the mass of the odd ones
    odd = np.arange(1, 20_000, 2)
    for ties, ids in (("lowest", odd[:2_500]), ("highest", odd[-2_500:]), ("all", odd)):
        for name in ("top_p", "typical_p"):
            assert kept(name, row, **{name: p / 4}, ties=ties) == ids.tolist(), name
        assert kept("top_k", row, top_k=2_500, ties=ties) == ids.tolist()


# -- narrow decisions ----------------------------------------------------------------------------------------------


def test_a_decision_on_its_boundary_is_marked_and_one_beside_it_is_not() -> None:
    probs = np.array([0.4, 0.3, 0.2, 0.1])
    row = np.log(probs)
    collision, entropy, spread = float((probs**2).sum()), float(-(probs * row).sum()), float(row.std())
    cases: list[tuple[str, float, dict[str, Any]]] = [
        ("top_p", 0.7, {}),
        ("top_p", 0.7, {"ties": "all"}),
        ("top_p", 0.7, {"boundary": "keep"}),
        ("typical_p", 0.3, {}),  # 0.3 is nearest to exp(-entropy) = 0.278
        ("min_p", 0.5, {}),
        ("top_a", 0.1 / 0.16, {}),
        ("epsilon_cutoff", 0.2, {}),
        ("eta_cutoff", (0.1 * math.exp(entropy)) ** 2, {}),
        ("p_less", 0.2 / collision, {}),
        ("p_less_norm", 0.1 / ((4 * 0.52 - 1) / 3), {}),  # of 0.7 and three times 0.1
        ("top_n_sigma", (row[0] - row[2]) / spread, {}),
        ("top_h", -0.4 * row[0] / entropy, {}),
        # Three second differences of 0.05 each.
        ("tfs", 1 / 3, {}),
        ("tfs", 2 / 3, {"law": "koboldcpp"}),
    ]
    for name, value, options in cases:
        logits = {"tfs": np.log([0.4, 0.25, 0.15, 0.1, 0.1]), "p_less_norm": np.log([0.7, 0.1, 0.1, 0.1])}.get(
            name, row
        )
        for moved, marked in ((0.0, True), (1e-11, True), (-1e-11, True), (1e-6, False), (-1e-6, False)):
            after = apply(name, logits, **{name: value + moved}, **options)
            assert after.ambiguous == marked, (name, value, moved)


# -- what others get wrong without a word --------------------------------------------------------------------------


def test_a_masked_token_does_not_turn_typical_into_another_rule() -> None:
    logits = [*np.log([0.5, 0.3, 0.15, 0.05]), -INF]
    assert kept("typical_p", logits, typical_p=0.5) == kept("typical_p", logits[:4], typical_p=0.5) == [0, 1]
    harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    theirs = [
        sorted(harness.apply(harness.build("typical", 0.5, 1), np.float32(row))[0].tolist())
        for row in (logits[:4], logits)
    ]
    assert theirs == [[0, 1], [0]]  # the entropy is NaN, and so is the order


def test_masked_tokens_do_not_count_towards_sigma() -> None:
    logits = [1.0, 3.0, 3.0, 2.0, -INF]
    sigma = math.sqrt(np.mean((np.array([1, 3, 3, 2]) - 2.25) ** 2))
    assert sigma == pytest.approx(0.829, abs=1e-3)
    # 1.25 sigma reaches down to 1.964, which 2 passes; with the mask counted as 0 it would reach 1.37, and 2.4 all.
    assert kept("top_n_sigma", logits, top_n_sigma=1.25) == [1, 2, 3]
    assert kept("top_n_sigma", logits, top_n_sigma=1.6) == [1, 2, 3]  # down to 1.67; 1.304 * 1.6 would let 1 in
    assert 3 - 1.6 * 1.304 < 1 < 3 - 1.6 * sigma
    harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    ids, scores = harness.apply(harness.build("top_n_sigma", 1.6), np.float32(logits))
    assert sorted(ids[scores > -INF].tolist()) == [1, 2, 3]


def test_masked_tokens_do_not_lower_a_dynamic_temperature() -> None:
    alive = np.log([0.5, 0.3, 0.15, 0.05])
    masked = np.concatenate([alive, np.full(12, -INF)])
    options = {"dynamic_temperature": 1.0, "spread": 0.5}
    plain, with_mask = apply("dynamic_temperature", alive, **options), apply("dynamic_temperature", masked, **options)
    assert with_mask.scores[:4].tolist() == pytest.approx(plain.scores.tolist(), rel=1e-12)
    harness = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    sampler = harness.build("temp_ext", 1.0, 0.5, 1.0)
    cooler, warmer = (dict(zip(*harness.apply(sampler, np.float32(row)), strict=True)) for row in (masked, alive))
    assert warmer[3] == pytest.approx(plain.scores[3], rel=1e-6)
    assert cooler[3] < warmer[3] - 0.5  # a third of the entropy share, so a lower temperature


def test_one_far_token_does_not_make_transformers_entropy_differ() -> None:
    logits = [*np.log([0.5, 0.3, 0.15, 0.05]).tolist(), -INF]
    for name, warper, value in (("eta_cutoff", "EtaLogitsWarper", 0.2), ("typical_p", "TypicalLogitsWarper", 0.6)):
        assert kept(name, logits, **{name: value}) == by_transformers(warper, value, logits)


# -- on a head -----------------------------------------------------------------------------------------------------

HEAD = Distribution.head([7, 2, 5], np.log([0.6, 0.3, 0.05]), 100)


@pytest.mark.parametrize(
    ("name", "value", "ids"),
    [
        ("epsilon_cutoff", 0.1, [7, 2]),
        ("eta_cutoff", 0.3, [7, 2]),
        ("top_a", 0.5, [7, 2]),
        ("p_less", 0.5, [7, 2]),
        ("p_less_norm", 0.5, [7, 2]),
    ],
)
def test_a_limit_that_the_shown_part_settles_is_answered(name: str, value: float, ids: list[int]) -> None:
    assert apply(name, HEAD, **{name: value}).support().tolist() == ids
    with pytest.raises(Undisclosed):
        apply(name, HEAD, **{name: value / 1000})


def test_heads_are_asked_for_what_is_missing() -> None:
    with pytest.raises(Undisclosed) as caught:
        apply("typical_p", HEAD, typical_p=0.5)
    assert caught.value.need == decodekit.ALL
    for name, value in (("top_n_sigma", 1.0), ("dynamic_temperature", 1.0), ("quadratic", 0.5)):
        plugin = decodekit.processor(name, **{name: value}, **({"spread": 0.5} if name.startswith("dyn") else {}))
        with pytest.raises(Undisclosed) as caught:
            plugin(HEAD, CONTEXT)
        assert caught.value.need == decodekit.ALL
    for options, need in (({}, 3), ({"ties": "all"}, 4), ({"min_keep": 9}, 9)):
        assert decodekit.processor("top_k", top_k=3, **options).needs == Disclosure(need)
    assert decodekit.processor("top_h", top_h=0.5).needs == Disclosure(100)
    assert apply("top_h", HEAD, top_h=0.9, candidates=2).support().tolist() == [7]
    assert apply("top_h", HEAD, top_h=1.0, candidates=2).support().tolist() == [7, 2]
    with pytest.raises(Undisclosed):
        apply("top_h", HEAD, top_h=0.5, candidates=4)
    # 0.3 - 0.25 over what can still bend: the cut after the first token is sure.
    assert apply("tfs", HEAD, tfs=0.0).support().tolist() == [7]
    with pytest.raises(Undisclosed):
        apply("tfs", HEAD, tfs=0.95)


def test_a_vocabulary_of_unknown_size_is_refused_by_the_law_that_counts_it() -> None:
    unknown = Distribution.head([7, 2, 5], np.log([0.6, 0.3, 0.05])).top(2)
    assert apply("p_less", unknown, p_less=1.0).support().tolist() == [7]
    with pytest.raises(decodekit.ParameterError, match="take p_less"):
        apply("p_less_norm", unknown, p_less_norm=1.0)
