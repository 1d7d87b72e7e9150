"""The llama.cpp preset beside the C samplers, chained in the order of ``common_sampler_init``: the same tokens."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, Randomness
from tests.plugins import llama_cpp_samplers as llama
from tests.plugins.logit_rows import normal_rows

libstdcxx = pytest.mark.skipif(sys.platform != "linux", reason="another standard library draws other uniforms")

VOCAB, STEPS = 400, 40
PROMPT = (*range(20, 50), 3, 4, 5, 3, 4)
ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
DEFAULTS: dict[str, Any] = {
    "seed": 1,
    "min_keep": 0,
    "temp": 0.8,
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "typ_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "repeat_last_n": 64,
    "repeat_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "dry_multiplier": 0.0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "adaptive_target": -1.0,
    "adaptive_decay": 0.9,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
}


def common(samplers: tuple[str, ...] = ORDER, **asked: Any) -> llama.Sampler:
    """The C chain, made as common_sampler_init makes it. DRY has no breakers: there is no vocabulary here."""
    p = {**DEFAULTS, **asked}
    if p["mirostat"]:
        last = (
            llama.build("mirostat", VOCAB, p["seed"], p["mirostat_tau"], p["mirostat_eta"], 100)
            if p["mirostat"] == 1
            else llama.build("mirostat_v2", p["seed"], p["mirostat_tau"], p["mirostat_eta"])
        )
        return llama.chain(llama.build("temp", p["temp"]), last)
    penalties = (p["repeat_last_n"], p["repeat_penalty"], p["frequency_penalty"], p["presence_penalty"])
    repeats = (p["dry_multiplier"], p["dry_base"], p["dry_allowed_length"], p["dry_penalty_last_n"], None, 0)
    keep = p["min_keep"]
    makers = {
        "penalties": ("penalties", VOCAB, *penalties),
        "dry": ("dry", None, *repeats),
        "top_n_sigma": ("top_n_sigma", p["top_n_sigma"]),
        "top_k": ("top_k", p["top_k"]),
        "typ_p": ("typical", p["typ_p"], keep),
        "top_p": ("top_p", p["top_p"], keep),
        "min_p": ("min_p", p["min_p"], keep),
        "xtc": ("xtc", p["xtc_probability"], p["xtc_threshold"], keep, p["seed"]),
        "temperature": ("temp_ext", p["temp"], p["dynatemp_range"], p["dynatemp_exponent"]),
    }
    stages = [llama.build(*makers[name]) for name in samplers if name != "adaptive_p"]
    if "adaptive_p" in samplers:
        stages.append(llama.build("adaptive_p", p["adaptive_target"], p["adaptive_decay"], p["seed"]))
    else:
        stages.append(llama.build("dist", p["seed"]))
    return llama.chain(*stages)


def rows(seed: int) -> list[Any]:
    """Flat enough for several candidates, and leaning to few tokens so that histories repeat."""
    lean = np.zeros(VOCAB, dtype=np.float32)
    lean[:12] = 6.0
    return [row + lean for row in normal_rows(STEPS, VOCAB, seed, 2.0)]


def both(chain: Chain, theirs: llama.Sampler, seed: int) -> tuple[list[int], list[int]]:
    """Their tokens, and ours at each step after their history."""
    llama.accept(theirs, PROMPT)
    chosen: list[int] = []
    ours: list[int] = []
    states = chain.initial(Context(PROMPT))
    for step, row in enumerate(rows(seed)):
        chosen.append(llama.select(theirs, row))
        llama.accept(theirs, chosen[-1:])
        context = Context(PROMPT, tuple(ours))
        _, choice, _, states = chain.step(Distribution.dense(row), context, states, Randomness(0).at(step))
        ours.append(choice.token_id)
    return ours, chosen


CASES: list[dict[str, Any]] = [
    {},
    {"temp": 1.7, "top_k": 0, "top_p": 1.0, "min_p": 0.02},
    {"top_k": 0, "top_p": 0.7, "min_p": 0.0, "temp": 1.2},
    {"repeat_penalty": 1.4, "frequency_penalty": 0.3, "presence_penalty": 0.5, "repeat_last_n": 20},
    {"dry_multiplier": 0.8, "dry_allowed_length": 1, "dry_base": 1.5, "temp": 0.4},
    {"top_n_sigma": 1.5, "temp": 1.3},
    {"typ_p": 0.6, "temp": 1.5},
    {"xtc_probability": 0.6, "xtc_threshold": 0.08, "temp": 1.1},
    {"dynatemp_range": 0.5, "dynatemp_exponent": 1.3},
    {"temp": 0.0},
    {"temp": -1.0},
    {"min_keep": 5, "top_p": 0.01, "min_p": 0.9},
    {"samplers": ("temperature", "top_p", "min_p"), "temp": 1.5, "top_p": 0.9},
    {"samplers": ("min_p", "temperature", "min_p"), "temp": 1.5, "min_p": 0.2},
    {"samplers": ("min_p", "adaptive_p"), "adaptive_target": 0.3},
    {"samplers": ("min_p", "adaptive_p"), "adaptive_target": -1.0},
    {"mirostat": 2, "mirostat_tau": 3.0, "temp": 1.2},
    {"mirostat": 1, "mirostat_tau": 4.0},
    {"mirostat": 2, "mirostat_tau": 0.5},  # often leaves one candidate, which costs no draw
]


@libstdcxx
@pytest.mark.parametrize("asked", CASES, ids=str)
def test_with_the_same_seed_the_tokens_are_llama_cpps(asked: dict[str, Any]) -> None:
    for seed in (1, 77):
        # This harness has no vocabulary in which breakers could be looked up.
        chain = Chain.preset("llama.cpp", seed=seed, dry_sequence_breakers=(), **asked)
        ours, theirs = both(chain, common(**{**asked, "seed": seed}), seed)
        assert ours == theirs
    assert len(set(theirs)) > 1


@pytest.mark.parametrize(
    "asked",
    [
        {"top_k": 0, "top_p": 1.0, "xtc_probability": 0.5},
        {"samplers": "top_k;penalties", "repeat_penalty": 1.2},
        {"samplers": "top_k;adaptive_p", "adaptive_target": 0.3},
    ],
    ids=str,
)
def test_candidates_in_neither_order_give_a_note_instead_of_reproduced_tokens(asked: dict[str, Any]) -> None:
    chain = Chain.preset("llama.cpp", seed=3, **asked)
    assert chain.describe()["sampler"]["name"] == "multinomial" and "not reproduced" in chain.notes[-1]


def test_an_order_that_is_not_reproduced_keeps_the_distribution_and_is_noted() -> None:
    asked = {"top_k": 0, "top_p": 1.0, "typ_p": 0.6, "min_p": 0.0}
    chain = Chain.preset("llama.cpp", seed=3, **asked)
    assert chain.describe()["sampler"]["name"] == "multinomial" and "not reproduced" in chain.notes[0]
    row = rows(5)[0]
    stages = [llama.build("typical", 0.6, 0), llama.build("temp_ext", 0.8, 0.0, 1.0)]
    ids, scores = llama.apply(llama.chain(*stages), row)
    ours = chain.apply(Distribution.dense(row), Context())
    assert sorted(ours.support().tolist()) == sorted(ids.tolist())
    theirs = scores - np.logaddexp.reduce(scores.astype(np.float64))
    np.testing.assert_allclose(ours.logprobs_of(ids), theirs, atol=1e-5)


def test_at_exactly_typ_p_one_more_stays() -> None:
    chain = Chain.preset("llama.cpp", top_k=0, top_p=1.0, min_p=0.0, typ_p=0.5)
    ids, _ = llama.apply(llama.build("typical", 0.5, 0), np.zeros(4))
    assert chain.apply(Distribution.dense(np.zeros(4)), Context()).support_size == len(ids) == 3


def test_samplers_are_read_in_every_spelling() -> None:
    named = Chain.preset("llama.cpp", samplers=["top-k", "typical", "nucleus", "temp"], typ_p=0.9)
    for spelling in ({"samplers": "top_k;typ_p;top_p;temperature"}, {"sampler_seq": "kypt"}):
        assert Chain.preset("llama.cpp", typical=0.9, **spelling).describe() == named.describe()
    with pytest.raises(decodekit.ParameterError, match="did you mean 'typical'"):
        Chain.preset("llama.cpp", samplers=["typicall"])
    with pytest.raises(decodekit.ParameterError, match="infill"):
        Chain.preset("llama.cpp", samplers=["infill"])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mirostat": 2, "top_k": 5, "repeat_penalty": 1.2}, "drops repeat_penalty and top_k"),
        ({"repeat_last_n": -1, "repeat_penalty": 1.2}, "drops repeat_penalty"),
        ({"dry_multiplier": 0.8, "dry_penalty_last_n": -1}, "drops dry_multiplier"),
        ({"dry_multiplier": 0.8, "dry_base": 0.5}, "drops dry_multiplier"),
        ({"xtc_probability": 0.5, "xtc_threshold": 0.6}, "drops xtc_probability"),
        ({"samplers": "top_k", "top_p": 0.5}, "does not name the stage of top_p"),
        ({"adaptive_target": 0.5}, "does not name the stage of adaptive_target"),
        ({"typ_p": 0.9, "logit_bias": {5: False}}, "NaN"),
        ({"dynatemp_range": 0.5, "top_n_sigma": 1.0}, "counts banned candidates"),
    ],
)
def test_what_llama_cpp_drops_in_silence_is_said(asked: dict[str, Any], said: str) -> None:
    (note,) = Chain.preset("llama.cpp", **asked).notes
    assert said in note


def test_a_bias_and_ignore_eos_come_first() -> None:
    chain = Chain.preset("llama.cpp", logit_bias={"7": -2.0, 9: False}, ignore_eos=True)
    assert [type(part).__name__ for part in chain.processors[:2]] == ["LogitBias", "MinNewTokens"]
    assert chain.processors[0].logit_bias == {7: -2.0, 9: False}
