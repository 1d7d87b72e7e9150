"""The common processors: by hand on four tokens, against NumPy on random rows, and each parameter at its bounds."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import CHEAP, Chain, Context, Disclosure, Distribution, ParameterError, PluginError, Undisclosed
from decodekit.plugin import parameter_model
from decodekit.plugin.registry import load

LOG, INF = math.log, math.inf
# Probabilities 1/2, 1/4, 1/8, 1/8.
FOUR = Distribution.dense([LOG(1 / 2), LOG(1 / 4), LOG(1 / 8), LOG(1 / 8)])
NAMES = [info.name for info in decodekit.plugins() if info.group == "processors" and info.distribution == "decodekit"]

rows = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).normal(0, 3, 60).astype(np.float32))
histories = st.lists(st.integers(0, 59), max_size=30)


def probabilities(dist: Distribution) -> list[float]:
    return np.exp(dist.logprobs_of(range(dist.vocab_size or 0))).tolist()


def apply(name: str, dist: Distribution = FOUR, ctx: Context | None = None, **parameters: Any) -> Distribution:
    return Chain([decodekit.processor(name, **parameters)]).apply(dist, ctx or Context())


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores.astype(np.float64) - scores.max())
    return weights / weights.sum()


# -- temperature ---------------------------------------------------------------------------------------------------


def test_temperature_by_hand() -> None:
    # T = 1/2 squares: 16 : 4 : 1 : 1 over 22. T = 2 takes roots.
    assert probabilities(apply("temperature", temperature=0.5)) == pytest.approx([16 / 22, 4 / 22, 1 / 22, 1 / 22])
    roots = np.sqrt([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    assert probabilities(apply("temperature", temperature=2)) == pytest.approx((roots / roots.sum()).tolist())
    assert apply("temperature", temperature=1.0) is FOUR


@settings(max_examples=50)
@given(rows, st.floats(0.01, 1000))
def test_temperature_is_the_softmax_of_the_quotient(row: np.ndarray, temperature: float) -> None:
    expected = softmax(row.astype(np.float64) / temperature)
    assert probabilities(apply("temperature", Distribution.dense(row), temperature=temperature)) == pytest.approx(
        expected.tolist(), rel=1e-10, abs=1e-300
    )


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-300, 5e-324])
def test_temperature_zero_keeps_the_largest_score_and_the_lowest_id_among_equals(temperature: float) -> None:
    assert apply("temperature", Distribution.dense([1.0, 3.0, 3.0]), temperature=temperature).support().tolist() == [1]
    head = Distribution.head([4, 2], [LOG(0.5), LOG(0.3)], 9)
    assert apply("temperature", head, temperature=temperature).support().tolist() == [4]


def test_a_tiny_temperature_approaches_the_limit_without_a_warning() -> None:
    for temperature in (1e-5, 1e-30, 1e-99):
        assert probabilities(apply("temperature", temperature=temperature)) == [1, 0, 0, 0]


def test_temperature_infinity_makes_the_survivors_equal_and_can_be_written_down() -> None:
    dist = Distribution.dense([1.0, -INF, 3.0, -200.0])
    for value in (INF, "inf"):
        assert probabilities(apply("temperature", dist, temperature=value)) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
        assert probabilities(apply("temperature", dist.top(2), temperature=value)) == [0.5, 0, 0.5, 0]
        built = decodekit.processor("temperature", temperature=value)
        described = Chain([built]).describe()["processors"][0]["params"]
        assert described == {"temperature": "inf"} and decodekit.processor("temperature", **described) == built
        assert not built.argmax_invariant  # all are the mode now
    with pytest.raises(Undisclosed):
        apply("temperature", Distribution.head([4, 2], [LOG(0.5), LOG(0.3)], 9), temperature=INF)


# -- truncations ---------------------------------------------------------------------------------------------------


def test_truncations_by_hand() -> None:
    third = pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert probabilities(apply("top_k", top_k=2)) == third
    assert apply("top_k", top_k=3).support().tolist() == [0, 1, 2]  # of two equals the lower id
    assert probabilities(apply("top_p", top_p=0.7)) == third  # 1/2 is short of 0.7, the token that crosses stays
    assert apply("top_p", top_p=0.8).support().tolist() == [0, 1, 2]
    assert apply("top_p", top_p=1.0) is FOUR and apply("top_p", top_p=1e-9).support().tolist() == [0]
    assert probabilities(apply("min_p", min_p=0.4)) == third  # 1/4 is half of 1/2, 1/8 a quarter
    assert apply("min_p", min_p=0.0) is FOUR and apply("min_p", min_p=1.0).support().tolist() == [0]
    assert apply("min_p", min_p=0.25 - 1e-9).support_size == 4


@pytest.mark.parametrize(("name", "value"), [("top_p", 0.01), ("min_p", 0.99)])
def test_min_keep_keeps_so_many_whatever_the_rule_says(name: str, value: float) -> None:
    assert apply(name, **{name: value, "min_keep": 3}).support().tolist() == [0, 1, 2]
    assert apply(name, **{name: value, "min_keep": 9}).support_size == 4


@settings(max_examples=100)
@given(rows, st.integers(1, 80), st.floats(0.01, 0.99), st.floats(0.001, 1))
def test_truncations_are_their_formulas(row: np.ndarray, k: int, p: float, min_p: float) -> None:
    dist, probs = Distribution.dense(row), softmax(row)
    order = np.argsort(-probs, kind="stable")
    mass = np.cumsum(probs[order])
    assume(np.abs(mass - p).min() > 1e-9 and np.abs(probs / probs.max() - min_p).min() > 1e-9)
    expected = {
        "top_k": order[:k],
        "top_p": order[: np.count_nonzero(mass < p) + 1],
        "min_p": np.flatnonzero(probs >= min_p * probs.max()),
    }
    for (name, value), ids in zip({"top_k": k, "top_p": p, "min_p": min_p}.items(), expected.values(), strict=True):
        kept = apply(name, dist, **{name: value})
        assert sorted(kept.support().tolist()) == sorted(ids.tolist()), name
        within = np.zeros(60)
        within[ids] = probs[ids] / probs[ids].sum()
        assert probabilities(kept) == pytest.approx(within.tolist(), abs=1e-12)


def test_truncations_answer_on_heads_where_it_can_be_proved() -> None:
    head = Distribution.head([7, 2, 5], [LOG(0.6), LOG(0.3), LOG(0.05)], 100)
    for name, value, kept in (("top_k", 2, [7, 2]), ("top_p", 0.85, [7, 2]), ("min_p", 0.2, [7, 2])):
        assert apply(name, head, **{name: value}).support().tolist() == kept
    for name, value in (("top_k", 4), ("top_p", 0.97), ("min_p", 0.01)):
        with pytest.raises(Undisclosed):
            apply(name, head, **{name: value})
    assert decodekit.processor("top_k", top_k=9).needs == Disclosure(9)


# -- penalties and bias --------------------------------------------------------------------------------------------

HISTORY = Context(prompt_ids=(3, 3, 1), output_ids=(1, 1, 2))
SIGNED = Distribution.dense([1.0, 2.0, 0.0, -2.0])


@pytest.mark.parametrize(
    ("name", "parameters", "scores"),
    [
        # Positive scores are divided, negative ones multiplied.
        ("repetition_penalty", {"repetition_penalty": 2.0}, [1.0, 1.0, 0.0, -4.0]),
        ("repetition_penalty", {"repetition_penalty": 2.0, "scope": "prompt"}, [1.0, 1.0, 0.0, -4.0]),
        ("repetition_penalty", {"repetition_penalty": 2.0, "scope": "output"}, [1.0, 1.0, 0.0, -2.0]),
        ("repetition_penalty", {"repetition_penalty": 2.0, "window": 1}, [1.0, 2.0, 0.0, -2.0]),
        ("repetition_penalty", {"repetition_penalty": 0.5}, [1.0, 4.0, 0.0, -1.0]),
        # Output: token 1 twice, token 2 once. Both: token 1 three times, 2 once, 3 twice.
        ("frequency_penalty", {"frequency_penalty": 0.5}, [1.0, 1.0, -0.5, -2.0]),
        ("frequency_penalty", {"frequency_penalty": 0.5, "scope": "both"}, [1.0, 0.5, -0.5, -3.0]),
        ("frequency_penalty", {"frequency_penalty": 0.5, "scope": "both", "window": 4}, [1.0, 0.5, -0.5, -2.0]),
        ("frequency_penalty", {"frequency_penalty": -0.5, "scope": "prompt"}, [1.0, 2.5, 0.0, -1.0]),
        ("presence_penalty", {"presence_penalty": 0.5}, [1.0, 1.5, -0.5, -2.0]),
        ("presence_penalty", {"presence_penalty": 0.5, "scope": "both"}, [1.0, 1.5, -0.5, -2.5]),
        ("presence_penalty", {"presence_penalty": 0.5, "window": 1}, [1.0, 2.0, -0.5, -2.0]),
        ("logit_bias", {"logit_bias": {0: 1.5, 3: -1}}, [2.5, 2.0, 0.0, -3.0]),
        ("logit_bias", {"logit_bias": {1: False, 2: 0.5}}, [1.0, -INF, 0.5, -2.0]),
        ("logit_bias", {"logit_bias": {}}, [1.0, 2.0, 0.0, -2.0]),
    ],
)
def test_penalties_and_bias_by_hand(name: str, parameters: dict[str, Any], scores: list[float]) -> None:
    for dist in (SIGNED, Distribution.dense([*SIGNED.scores, -INF]).top(4)):
        assert apply(name, dist, HISTORY, **parameters).scores_of(range(4)).tolist() == scores


@pytest.mark.parametrize(
    ("name", "neutral"), [("repetition_penalty", 1.0), ("frequency_penalty", 0.0), ("presence_penalty", 0.0)]
)
def test_a_neutral_penalty_and_an_empty_history_change_nothing(name: str, neutral: float) -> None:
    assert apply(name, SIGNED, HISTORY, **{name: neutral}) is SIGNED
    assert apply(name, SIGNED, Context(), **{name: 1.7}).scores.tolist() == SIGNED.scores.tolist()


@settings(max_examples=60)
@given(rows, histories, histories, st.sampled_from(["prompt", "output", "both"]), st.none() | st.integers(1, 40))
def test_penalties_are_their_formulas(
    row: np.ndarray, prompt: list[int], output: list[int], scope: str, window: int | None
) -> None:
    dist, ctx = Distribution.dense(row), Context(tuple(prompt), tuple(output))
    history = {"prompt": prompt, "output": output, "both": prompt + output}[scope][-(window or 10**9) :]
    counts = np.bincount(np.array(history, dtype=int), minlength=60)
    exact = row.astype(np.float64)
    options: dict[str, Any] = {"scope": scope, "window": window}
    divided = np.where(counts > 0, np.where(exact > 0, exact / 1.3, exact * 1.3), exact)
    for name, value, expected in (
        ("repetition_penalty", 1.3, divided),
        ("frequency_penalty", 0.7, exact - 0.7 * counts),
        ("presence_penalty", 0.7, exact - 0.7 * (counts > 0)),
    ):
        after = apply(name, dist, ctx, **{name: value}, **options)
        assert after.scores.tolist() == pytest.approx(expected.tolist(), abs=1e-12)


def test_masked_tokens_stay_masked_under_every_penalty() -> None:
    dist = Distribution.dense([1.0, -INF, 0.5, -INF])
    for name in ("repetition_penalty", "frequency_penalty", "presence_penalty"):
        assert apply(name, dist, HISTORY, **{name: 1.5, "scope": "both"}).support().tolist() == [0, 2]


def test_a_repetition_penalty_refuses_logprobs_unless_their_law_is_asked_for() -> None:
    # Scores 2 and 0, penalty 2 on token 1: as a logit, 0 stays 0; as a logprob, -2.127 becomes -4.254.
    row = Distribution.dense([2.0, 0.0])
    logprobs = Distribution.dense(row.logprobs, origin="logprobs")
    ctx = Context(output_ids=(1,))
    with pytest.raises(PluginError, match="this adapter gives logprobs"):
        apply("repetition_penalty", logprobs, ctx, repetition_penalty=2.0)
    lp = row.logprobs
    for dist in (row, logprobs):
        after = apply("repetition_penalty", dist, ctx, repetition_penalty=2.0, law="logprobs")
        assert probabilities(after) == pytest.approx(softmax(np.array([lp[0], 2 * lp[1]])).tolist())
    assert probabilities(apply("repetition_penalty", row, ctx, repetition_penalty=2.0)) == pytest.approx(
        probabilities(row)
    )


def test_on_a_head_a_penalty_asks_for_the_tokens_it_touches_by_name() -> None:
    head = Distribution.head([1, 0], [LOG(0.5), LOG(0.2)], 8)
    for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
        value = {2: 1.0, 3: 1.0} if name == "logit_bias" else 1.0
        options = {} if name == "logit_bias" else {"scope": "both"}
        with pytest.raises(Undisclosed) as caught:
            apply(name, head, HISTORY, **{name: value}, **options)
        assert caught.value.need == Disclosure(2, (2, 3))
        chain = Chain([decodekit.processor(name, **{name: value}, **options)])
        assert set(chain.need(HISTORY).ids) == ({2, 3} if name == "logit_bias" else {1, 2, 3})
    shown = Distribution.head([1, 0, 2, 3], np.log([0.5, 0.2, 0.05, 0.01]), 8, max_hidden=LOG(0.1))
    after = apply("logit_bias", shown, logit_bias={3: 2.0})
    assert after.scores_of([3]).tolist() == [LOG(0.01) + 2.0] and after.tail is not None


def test_a_penalty_with_an_empty_history_asks_for_nothing_in_particular() -> None:
    chain = Chain([decodekit.processor("frequency_penalty", frequency_penalty=1.0)])
    assert chain.need(Context()) == CHEAP


def test_a_bias_table_comes_from_toml_with_text_for_keys() -> None:
    parameters = tomllib.loads('logit_bias = {3 = 1.5, "1" = false, 0 = -2}')
    after = apply("logit_bias", SIGNED, **parameters)
    assert after.scores_of(range(4)).tolist() == [-1.0, -INF, 0.0, -0.5]
    built = decodekit.processor("logit_bias", **parameters)
    described = Chain([built]).describe()["processors"][0]["params"]
    assert decodekit.processor("logit_bias", **described) == built  # the record builds the same plugin


@pytest.mark.parametrize(
    "table",
    [{"": 1.0}, {-1: 1.0}, {"-1": 1.0}, {1.5: 1.0}, {2**63: 1.0}, {1: True}, {1: 1000.5}, {1: math.nan}, {1: INF},
     {1: "2"}, {1: None}, [1, 2], "1=2"],
)  # fmt: skip
def test_a_bias_table_that_makes_no_sense_is_a_typed_error(table: Any) -> None:
    with pytest.raises(ParameterError, match="logit_bias"):
        decodekit.processor("logit_bias", logit_bias=table)


# -- parameters ----------------------------------------------------------------------------------------------------

BOUNDS = [
    ("temperature", "temperature", [0, 0.0, 1000], [-1e-9, 1000.1]),
    ("top_k", "top_k", [1, 10_000_000], [0, -1, 10_000_001, 1.0]),
    ("top_p", "top_p", [1e-300, 1, 1.0], [0, 0.0, -0.1, 1.0000001]),
    ("top_p", "min_keep", [1, 1_000_000], [0, 1_000_001, 1.0]),
    ("min_p", "min_p", [0, 1], [-1e-9, 1.0000001]),
    ("min_p", "min_keep", [1, 1_000_000], [0, 1_000_001]),
    ("dynamic_temperature", "dynamic_temperature", [0, 1000], [-1e-9, 1000.1]),
    ("dynamic_temperature", "spread", [-1000, 1000], [-1000.1, 1000.1]),
    ("dynamic_temperature", "exponent", [0, 100], [-1e-9, 100.1]),
    ("quadratic", "quadratic", [0, 100], [-1e-9, 100.1]),
    ("quadratic", "curve", [1, 10], [0.999, 10.1]),
    ("typical_p", "typical_p", [1e-300, 1], [0, 1.0000001]),
    ("typical_p", "boundary", ["drop", "keep"], ["all", None]),
    ("top_p", "boundary", ["drop", "keep"], ["all", None]),
    ("top_k", "ties", ["lowest", "highest", "all"], ["first", None]),
    ("top_n_sigma", "top_n_sigma", [1e-9, 100], [0, -1, 100.1]),
    ("top_a", "top_a", [0, 1], [-1e-9, 1.0000001]),
    ("tfs", "tfs", [0, 1], [-1e-9, 1.0000001]),
    ("tfs", "law", ["original", "koboldcpp"], ["llama.cpp", None]),
    ("epsilon_cutoff", "epsilon_cutoff", [1e-300, 0.999999], [0, 1]),
    ("eta_cutoff", "eta_cutoff", [1e-300, 0.999999], [0, 1]),
    ("top_h", "top_h", [1e-300, 1], [0, 1.0000001]),
    ("top_h", "candidates", [1, 1_000_000], [0, 1_000_001, 2.0]),
    ("p_less", "p_less", [1e-300, 1], [0, 1.0000001]),
    ("p_less_norm", "p_less_norm", [1e-300, 1], [0, 1.0000001]),
    ("repetition_penalty", "repetition_penalty", [1e-9, 1e9], [0, -1, 2e9]),
    ("repetition_penalty", "window", [1, 10_000_000, None], [0, 10_000_001, 2.0]),
    ("repetition_penalty", "scope", ["prompt", "output", "both"], ["all", "", None]),
    ("repetition_penalty", "law", ["logits", "logprobs"], ["log", None]),
    ("frequency_penalty", "frequency_penalty", [-100, 100], [-100.1, 100.1]),
    ("presence_penalty", "presence_penalty", [-100, 100], [-100.1, 100.1]),
]
REQUIRED = {"top_k": 5, "logit_bias": {}} | dict.fromkeys(
    ("temperature", "top_p", "min_p", "typical_p", "tfs", "top_a", "top_h", "p_less", "p_less_norm", "epsilon_cutoff",
     "eta_cutoff"),
    0.5,
)  # fmt: skip


@pytest.mark.parametrize(("name", "parameter", "good", "bad"), BOUNDS, ids=lambda value: str(value)[:24])
def test_each_parameter_holds_at_its_bounds_and_not_beyond(name: str, parameter: str, good: list, bad: list) -> None:
    required = {name: REQUIRED.get(name, 1.1)}
    for value in good:
        assert getattr(decodekit.processor(name, **{**required, parameter: value}), parameter) == value
    for value in (*bad, True, math.nan, -INF, "1", [1], *([INF] if parameter != "temperature" else [])):
        with pytest.raises(ParameterError, match=rf"processor '{name}': {parameter}"):
            decodekit.processor(name, **{**required, parameter: value})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "json"])  # whose main parameter has a default
def test_each_processor_has_a_main_parameter_of_its_own_name_and_refuses_unknown_ones(name: str) -> None:
    with pytest.raises(ParameterError, match=f"processor '{name}': parameter '{name}' is missing"):
        decodekit.processor(name)
    with pytest.raises(ParameterError, match=f"unknown parameter '{name}s'; did you mean '{name}'"):
        decodekit.processor(name, **{f"{name}s": 1, name: REQUIRED.get(name, 1.1)})


@pytest.mark.parametrize("name", NAMES)
def test_every_number_among_the_parameters_has_both_bounds(name: str) -> None:
    schema = parameter_model(load("processors", name)[0]).model_json_schema()
    numbers = 0

    def walk(node: Any, where: str) -> None:
        nonlocal numbers
        if isinstance(node, dict):
            if node.get("type") in ("number", "integer"):
                numbers += 1
                assert {"minimum", "exclusiveMinimum"} & set(node), f"{where} has no lower bound"
                assert {"maximum", "exclusiveMaximum"} & set(node), f"{where} has no upper bound"
            for key, child in node.items():
                if key not in ("if", "then"):  # conditions on a parameter, not the parameter
                    walk(child, f"{where}.{key}")
        elif isinstance(node, list):
            for child in node:
                walk(child, where)

    walk(schema, name)
    assert (numbers > 0 or name in ("choice", "lark", "regex", "vllm_bad_words")) and schema["description"]


def test_plugins_are_values() -> None:
    one = decodekit.processor("top_p", top_p=0.5)
    assert one == decodekit.processor("top_p", top_p=0.5) != decodekit.processor("top_p", top_p=0.6)
    with pytest.raises(Exception, match="frozen"):
        one.top_p = 0.9


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p"])
def test_a_processor_that_claims_never_to_change_the_mode_never_does(name: str) -> None:
    plugin = decodekit.processor(name, **{name: REQUIRED[name]})
    rng = np.random.default_rng(0)
    assert plugin.argmax_invariant
    for _ in range(50):
        dist = Distribution.dense(np.round(rng.normal(0, 2, 30)))
        assert plugin(dist, HISTORY).mode == dist.mode
